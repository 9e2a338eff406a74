"""A small MCP client over streamable HTTP, both eras, that hides nothing: dicts in, dicts out.

It exists because an SDK client would repair or reject what a gateway gets wrong before a test could see it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import attrs
import msgspec

Json = dict[str, Any]
Answerer = Callable[[str, Json], Json]

MODERN = "2026-07-28"
META = "io.modelcontextprotocol/"
ROUNDS = 10
"""How often one call may come back with `input_required`."""

_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
_SENTINEL = re.compile(r"=\?base64\?.*\?=\Z")


class RpcError(Exception):
    """The server answered with a JSON-RPC error, or with no JSON-RPC at all."""

    def __init__(self, status: int, error: Json) -> None:
        super().__init__(f"HTTP {status}: {error}")
        self.status = status
        self.error = error


def header_value(value: Any) -> str:
    """A value as `Mcp-Name` and `Mcp-Param-*` carry it (2026-07-28, basic/transports, value encoding)."""
    text = msgspec.json.encode(value).decode() if isinstance(value, bool | int) else str(value)
    if text == "" or (_PLAIN.match(text) and not _SENTINEL.match(text)):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def mirrored(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The arguments a schema wants in headers: the path of each and the header's name."""
    for name, sub in (schema.get("properties") or {}).items():
        if isinstance(sub, dict):
            if "x-mcp-header" in sub:
                yield (name,), f"Mcp-Param-{sub['x-mcp-header']}"
            for path, header in mirrored(sub):
                yield (name, *path), header


@attrs.frozen
class Event:
    """One server-sent event; `data` is None for one that only sets an id or the retry time."""

    id: str | None
    retry: int | None
    data: Any


async def events(stream: aiohttp.StreamReader) -> AsyncIterator[Event]:
    """Parse an event stream until it ends."""
    fields: dict[str, list[str]] = {}
    async for raw in stream:
        line = raw.decode().rstrip("\r\n")
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        if fields:
            text = "\n".join(fields.get("data", []))
            retry = int(fields["retry"][-1]) if "retry" in fields else None
            yield Event(fields.get("id", [None])[-1], retry, msgspec.json.decode(text) if text else None)
            fields = {}


@attrs.define
class RawClient:
    """A client of one endpoint, in one revision.

    Args:
        url: The endpoint.
        version: A legacy revision (opens a session) or 2026-07-28 (does not).
        answer: Answers what the server asks: `(method, params) -> result`.
        capabilities: What is declared.
    """

    url: str
    version: str
    answer: Answerer
    capabilities: Json = attrs.field(factory=lambda: {"elicitation": {}, "sampling": {}, "roots": {}})
    notifications: list[Json] = attrs.field(factory=list)
    _session: str | None = None
    _ids: int = 0
    _schemas: dict[str, Json] = attrs.field(factory=dict)
    _http: aiohttp.ClientSession = attrs.field(init=False)
    _listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Open the connection; in a legacy revision also the session and its GET stream."""
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        if self.version != MODERN:
            info = {"name": "raw-client", "version": "1"}
            opening = {"protocolVersion": self.version, "capabilities": self.capabilities, "clientInfo": info}
            await self.request("initialize", opening)
            await self._post({"jsonrpc": "2.0", "method": "notifications/initialized"})
            opened = asyncio.Event()
            self._listener = asyncio.create_task(self._listen(opened))
            await opened.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the session, if there is one."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        if self._session is not None:
            async with self._http.delete(self.url, headers=self._headers()) as response:
                await response.read()
        await self._http.close()

    async def call(self, name: str, arguments: Json | None = None) -> Json:
        """`tools/call`, answering whatever is asked on the way."""
        return await self.complete("tools/call", {"name": name, "arguments": arguments or {}})

    async def tools(self) -> list[Json]:
        """Every page of `tools/list`; remembers the schemas for `Mcp-Param-*`."""
        found: list[Json] = []
        params: Json = {}
        while True:
            page = await self.request("tools/list", params)
            found += page["tools"]
            if page.get("nextCursor") is None:
                break
            params = {"cursor": page["nextCursor"]}
        self._schemas = {tool["name"]: tool["inputSchema"] for tool in found}
        return found

    async def complete(self, method: str, params: Json) -> Json:
        """A request, sent again with answers as long as it comes back `input_required`."""
        sent = params
        for _ in range(ROUNDS):
            result = await self.request(method, sent)
            if result.get("resultType") != "input_required":
                return result
            asked: Json = result.get("inputRequests") or {}
            answers = {key: self.answer(one["method"], one.get("params") or {}) for key, one in asked.items()}
            sent = {**params, "inputResponses": answers}
            if "requestState" in result:
                sent["requestState"] = result["requestState"]
        raise RpcError(200, {"message": f"still input_required after {ROUNDS} rounds"})

    async def request(self, method: str, params: Json | None = None) -> Json:
        """One JSON-RPC request; in the modern era with its `_meta` and headers.

        Raises:
            RpcError: The answer is an error.
        """
        self._ids += 1
        body = dict(params or {})
        if self.version == MODERN:
            body["_meta"] = {
                META + "protocolVersion": self.version,
                META + "clientCapabilities": self.capabilities,
                META + "clientInfo": {"name": "raw-client", "version": "1"},
                **body.get("_meta", {}),
            }
        answer = await self._post({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": body})
        if answer is None:
            raise RpcError(202, {"message": "no answer"})
        if "error" in answer:
            raise RpcError(200, answer["error"])
        result: Json = answer["result"]
        return result

    def _headers(self, message: Json | None = None) -> dict[str, str]:
        headers = {"Accept": "application/json, text/event-stream"}
        method = (message or {}).get("method")
        if method != "initialize":
            headers["MCP-Protocol-Version"] = self.version
        if self._session is not None:
            headers["Mcp-Session-Id"] = self._session
        if self.version != MODERN or message is None or method is None:
            return headers
        params = message["params"]
        headers["Mcp-Method"] = method
        name = params.get("uri") if method == "resources/read" else params.get("name")
        if method in {"tools/call", "prompts/get", "resources/read"} and name is not None:
            headers["Mcp-Name"] = header_value(name)
        if method == "tools/call":
            for path, header in mirrored(self._schemas.get(str(name), {})):
                value: Any = params.get("arguments")
                for step in path:
                    value = value.get(step) if isinstance(value, dict) else None
                if value is not None:
                    headers[header] = header_value(value)
        return headers

    async def _post(self, message: Json) -> Json | None:
        headers = {**self._headers(message), "Content-Type": "application/json"}
        data = msgspec.json.encode(message)
        async with self._http.post(self.url, data=data, headers=headers) as response:
            self._session = response.headers.get("Mcp-Session-Id", self._session)
            if response.content_type == "text/event-stream":
                return await self._read(response.content, message["id"])
            raw = await response.read()
            if response.status == 202:
                return None
            try:
                answer: Json = msgspec.json.decode(raw)
            except msgspec.DecodeError:
                raise RpcError(response.status, {"message": raw.decode(errors="replace")[:200]}) from None
            if "error" in answer:
                raise RpcError(response.status, answer["error"])
            return answer

    async def _read(self, stream: aiohttp.StreamReader, request_id: int) -> Json:
        """Read a call's stream to its answer; a legacy stream that ends early is resumed."""
        last, retry = None, 1000
        async with contextlib.AsyncExitStack() as resumed:
            while True:
                async for event in events(stream):
                    last, retry = event.id or last, event.retry or retry
                    answer = None if event.data is None else await self._take(event.data, request_id)
                    if answer is not None:
                        return answer
                if last is None or self.version == MODERN:
                    raise RpcError(200, {"message": "the stream ended without an answer"})
                await asyncio.sleep(retry / 1000)
                headers = {**self._headers(), "Last-Event-ID": last}
                response = await resumed.enter_async_context(self._http.get(self.url, headers=headers))
                if response.content_type != "text/event-stream":
                    raise RpcError(response.status, {"message": "the stream cannot be resumed"})
                stream = response.content

    async def _take(self, message: Json, request_id: int | None) -> Json | None:
        """Handle one message of a stream; returns it when it answers `request_id`."""
        if "method" not in message:
            return message if message.get("id") == request_id else None
        if "id" not in message:
            self.notifications.append(message)
            return None
        result = self.answer(message["method"], message.get("params") or {})
        await self._post({"jsonrpc": "2.0", "id": message["id"], "result": result})
        return None

    async def _listen(self, opened: asyncio.Event) -> None:
        """The GET stream of a legacy session, where unrelated requests arrive."""
        timeout = aiohttp.ClientTimeout(total=None)
        try:
            async with self._http.get(self.url, headers=self._headers(), timeout=timeout) as response:
                opened.set()
                if response.content_type == "text/event-stream":
                    async for event in events(response.content):
                        if event.data is not None:
                            await self._take(event.data, None)
        finally:
            opened.set()
