"""An MCP server over HTTP whose every answer a test can script, byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from portico.api import Json, sse_event

MODERN = "2026-07-28"


@attrs.define
class Seen:
    """One request as it arrived."""

    http: str
    headers: dict[str, str]
    body: Any

    @property
    def method(self) -> str:
        return str((self.body or {}).get("method", ""))

    @property
    def params(self) -> Json:
        return dict(self.body.get("params") or {})

    @property
    def id(self) -> Any:
        return (self.body or {}).get("id")


Answer = Callable[[Seen], Awaitable[Response]]


def result(seen: Seen, text: str | bytes | Json, status: int = 200) -> Response:
    """A JSON answer with this result."""
    text = text if isinstance(text, bytes | str) else json.dumps(text)
    raw = text if isinstance(text, bytes) else text.encode()
    body = b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (json.dumps(seen.id).encode(), raw)
    return Response(body, status, media_type="application/json")


def error(seen: Seen, code: int, message: str = "no", data: Any = None, status: int = 200) -> Response:
    """A JSON error answer."""
    body = {"code": code, "message": message} | ({"data": data} if data is not None else {})
    answer = {"jsonrpc": "2.0", "id": seen.id, "error": body}
    return Response(json.dumps(answer), status, media_type="application/json")


def stream(events: AsyncIterator[bytes], **headers: str) -> Response:
    """An event stream."""
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def event(message: Json | bytes, **fields: Any) -> bytes:
    """One event that carries a JSON-RPC message."""
    return sse_event(message if isinstance(message, bytes) else json.dumps(message).encode(), **fields)


def notice(method: str, **params: Any) -> bytes:
    """An event that carries a notification."""
    return event({"jsonrpc": "2.0", "method": method, "params": params})


class Scripted:
    """An ASGI app that answers like a small server of one era, except where a test says otherwise.

    Attributes:
        seen: Every request, in order.
        on: JSON-RPC or HTTP method -> how to answer it.
        tools: What `tools/list` gives.
        sessions: Session ids that are alive (legacy).
    """

    def __init__(self, era: str = "modern", capabilities: Json | None = None) -> None:
        self.era = era
        self.seen: list[Seen] = []
        self.on: dict[str, Answer] = {}
        self.tools: list[Json] = [{"name": "t", "inputSchema": {"type": "object"}}]
        self.capabilities = {"tools": {}} if capabilities is None else capabilities
        self.sessions: set[str] = set()
        self.gets: list[asyncio.Queue[bytes]] = []
        self.news = asyncio.Condition()

    def of(self, method: str) -> list[Seen]:
        """The requests of one JSON-RPC or HTTP method."""
        return [seen for seen in self.seen if method in (seen.method, seen.http)]

    async def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        """Wait for requests."""
        async with asyncio.timeout(seconds), self.news:
            await self.news.wait_for(condition)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        raw = await request.body()
        seen = Seen(request.method, dict(request.headers), json.loads(raw) if raw else None)
        async with self.news:
            self.seen.append(seen)
            self.news.notify_all()
        answer = self.on.get(seen.method) or self.on.get(seen.http) or self.default
        await (await answer(seen))(scope, receive, send)

    async def default(self, seen: Seen) -> Response:
        """Answer as a server of the era would."""
        if self.era == "modern":
            return self._modern(seen)
        session = seen.headers.get("mcp-session-id")
        if seen.method == "initialize":
            fresh = f"s{len(self.of('initialize'))}"
            self.sessions.add(fresh)
            answer = result(
                seen,
                {
                    "protocolVersion": "2025-11-25",
                    "capabilities": self.capabilities,
                    "serverInfo": {"name": "scripted", "version": "1"},
                },
            )
            answer.headers["Mcp-Session-Id"] = fresh
            return answer
        if seen.headers.get("mcp-protocol-version") == MODERN or session is None:
            return error(seen, -32600, "Bad Request: Missing session ID", status=400)
        if session not in self.sessions:
            return error(seen, -32600, "Session not found", status=404)
        if seen.http == "GET":
            return self._get()
        if seen.http == "DELETE":
            self.sessions.discard(session)
            return Response(status_code=200)
        if "id" not in seen.body or not seen.method:
            return Response(status_code=202)
        return self._common(seen)

    def _modern(self, seen: Seen) -> Response:
        if seen.http != "POST":
            return Response(status_code=405)
        if seen.method == "server/discover":
            return result(seen, {"supportedVersions": [MODERN], "capabilities": self.capabilities})
        if seen.method == "initialize":
            return error(seen, -32022, data={"supported": [MODERN], "requested": "2025-11-25"}, status=400)
        return self._common(seen)

    def _common(self, seen: Seen) -> Response:
        if seen.method == "tools/list":
            return result(seen, {"tools": self.tools})
        if seen.method == "ping":
            return result(seen, {})
        if seen.method == "tools/call":
            return result(seen, {"content": [{"type": "text", "text": "called"}]})
        return error(seen, -32601, "Method not found", status=404 if self.era == "modern" else 200)

    def _get(self) -> Response:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.gets.append(queue)

        async def events() -> AsyncIterator[bytes]:
            yield b": open\n\n"
            while chunk := await queue.get():
                yield chunk

        return stream(events())
