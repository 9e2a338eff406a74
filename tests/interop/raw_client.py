"""The client over streamable HTTP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import aiohttp
import attrs
import msgspec

from tests.interop.speaking import META, MODERN, Answerer, Call, Json, RpcError, Speaker

__all__ = ["META", "MODERN", "Answerer", "Json", "RawClient", "RpcError", "events", "header_value"]

LONGEST = 32 << 20
"""Bytes of the longest line a client takes."""

_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"} | dict.fromkeys(
    ("tasks/get", "tasks/update", "tasks/cancel"), "taskId"
)
_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
_SENTINEL = re.compile(r"=\?base64\?.*\?=\Z")


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


async def events(stream: aiohttp.StreamReader, decode: bool = True) -> AsyncIterator[Event]:
    """Parse an event stream until it ends; without `decode`, data stays text."""
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
            data = msgspec.json.decode(text) if text and decode else text or None
            yield Event(fields.get("id", [None])[-1], retry, data)
            fields = {}


@attrs.define(eq=False)
class RawClient(Speaker):
    """A client of one endpoint."""

    _session: str | None = None
    _schemas: dict[str, Json] = attrs.field(factory=dict)
    _http: aiohttp.ClientSession = attrs.field(init=False)
    _listener: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Nothing is said yet."""
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60), read_bufsize=LONGEST)

    async def opened(self) -> None:
        """Open the GET stream of the session, if it has one."""
        opened = asyncio.Event()
        self._listener = asyncio.create_task(self._listen(opened))
        await opened.wait()

    async def leave(self) -> None:
        """End the session, if there is one."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        if self._session is not None:
            async with self._http.delete(self.url, headers=self._headers()) as response:
                await response.read()
        await self._http.close()

    async def tools(self) -> list[Json]:
        """Every page of `tools/list`; remembers the schemas for `Mcp-Param-*`."""
        found = await super().tools()
        self._schemas = {tool["name"]: tool["inputSchema"] for tool in found}
        return found

    async def exchange(self, message: Json) -> Json | None:
        """POST a request."""
        return await self._post(message)

    async def send(self, message: Json) -> None:
        """POST a notification or an answer."""
        await self._post(message)

    async def cancel(self, call: Call) -> None:
        """In the modern era, closing the stream is what cancels."""
        if self.modern:
            await call.drop()
        else:
            await super().cancel(call)

    def _headers(self, message: Json | None = None) -> dict[str, str]:
        headers = {"Accept": "application/json, text/event-stream"}
        method = (message or {}).get("method")
        if method != "initialize":
            headers["MCP-Protocol-Version"] = self.version
        if self._session is not None:
            headers["Mcp-Session-Id"] = self._session
        if not self.modern or message is None or method is None:
            return headers
        params = message["params"]
        headers["Mcp-Method"] = method
        name = params.get(_NAMED.get(method, ""))
        if name is not None:
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
        async with self._http.post(self.url, data=io.BytesIO(data), headers=headers) as response:
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
                    answer = None if event.data is None else await self.take(event.data, request_id)
                    if answer is not None:
                        return answer
                if last is None or self.modern:
                    raise RpcError(200, {"message": "the stream ended without an answer"})
                await asyncio.sleep(retry / 1000)
                headers = {**self._headers(), "Last-Event-ID": last}
                response = await resumed.enter_async_context(self._http.get(self.url, headers=headers))
                if response.content_type != "text/event-stream":
                    raise RpcError(response.status, {"message": "the stream cannot be resumed"})
                stream = response.content

    async def _listen(self, opened: asyncio.Event) -> None:
        """The GET stream of a legacy session, where unrelated requests arrive."""
        timeout = aiohttp.ClientTimeout(total=None)
        try:
            async with self._http.get(self.url, headers=self._headers(), timeout=timeout) as response:
                opened.set()
                if response.content_type == "text/event-stream":
                    async for event in events(response.content):
                        if event.data is not None:
                            await self.take(event.data, None)
        finally:
            opened.set()
