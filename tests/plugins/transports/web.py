"""An ASGI client of the tests' own: it sees each step of an answer, can stop reading, and can leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from portico._host.gateway import Gateway
from portico.api import (
    LATEST_LEGACY,
    LATEST_MODERN,
    META_CAPABILITIES,
    META_VERSION,
    NAME_PARAM,
    Json,
    SseParser,
    encode_header_value,
)
from portico.testing import running_gateway
from tests.plugins.transports import scripted
from tests.plugins.transports.scripted import Scripted

PATIENCE = 30.0
Headers = Mapping[str, str] | Sequence[tuple[str, str]]

BASE = {
    "host": "localhost",
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
}


class Answer:
    """One request under way.

    Attributes:
        status: Of the answer; 0 before its head.
        headers: Of the answer, names in lower case.
        reading: While clear, `send` does not return: a client that does not read.
        done: Whether the application has returned.
    """

    def __init__(self, app: Any, scope: Json, body: bytes) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.reading = asyncio.Event()
        self.reading.set()
        self.ended = False
        self._data = bytearray()
        self._parser = SseParser()
        self._events: list[Any] = []
        self._requests: list[Json] = [{"type": "http.request", "body": body, "more_body": False}]
        self._gone = asyncio.Event()
        self._news = asyncio.Condition()
        self.task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: Any, scope: Json) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            async with self._news:
                self._news.notify_all()

    async def _receive(self) -> Json:
        if self._requests:
            return self._requests.pop(0)
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Json) -> None:
        await self.reading.wait()
        async with self._news:
            assert not self.ended, f"sent after the end: {message}"
            if message["type"] == "http.response.start":
                assert not self.status, "a second head"
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                assert self.status, "a body before the head"
                self._data += message.get("body", b"")
                if not message.get("more_body", False):
                    self.ended = True
                    self._gone.set()
            self._news.notify_all()

    async def until(self, condition: Any) -> None:
        """Wait until `condition()` holds or the application has returned."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: condition() or self.task.done())
        if self.task.done():
            self.task.result()

    def leave(self) -> None:
        """Close the connection."""
        self._gone.set()

    async def gone(self) -> None:
        """Close the connection and wait until the application has noticed."""
        self.leave()
        await self.over()

    async def over(self) -> None:
        """Wait until the application has returned."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.shield(self.task)

    async def head(self) -> int:
        """The status."""
        await self.until(lambda: self.status)
        return self.status

    async def body(self) -> bytes:
        """Everything."""
        await self.until(lambda: self.ended)
        return bytes(self._data)

    async def json(self) -> Any:
        """The whole body, decoded."""
        body = await self.body()
        assert self.headers.get("content-type") == "application/json", (self.status, self.headers, body)
        return msgspec.json.decode(body)

    async def event(self) -> Any:
        """The next event with its id; comments are skipped."""
        await self.until(self._next)
        assert self._events, f"the stream ended: {bytes(self._data)!r}"
        return self._events.pop(0)

    def _next(self) -> bool:
        self._events += self._parser.feed(bytes(self._data))
        self._data.clear()
        return bool(self._events)

    async def message(self) -> Any:
        """The next JSON-RPC message on the stream; events without data are skipped."""
        while True:
            event = await self.event()
            if event.data:
                return msgspec.json.decode(event.data)

    async def rest(self) -> list[Any]:
        """All messages up to the end of the stream."""
        await self.until(lambda: self.ended)
        self._next()
        events, self._events = self._events, []
        return [msgspec.json.decode(event.data) for event in events if event.data]


class Web:
    """The way into a gateway."""

    def __init__(self, gateway: Gateway, upstream: Scripted, log: Any) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.log = log
        self._open: list[Answer] = []

    @property
    def http(self) -> Any:
        """The transport."""
        return self.gateway.transports["streamable_http"]

    @property
    def sessions(self) -> Any:
        """The legacy sessions of the default server."""
        return self.http.endpoints.apps["default"].sessions

    def open(
        self, method: str, headers: Headers | None = None, body: bytes = b"", path: str = "/mcp", **scope: Any
    ) -> Answer:
        """Begin a request."""
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers or ())
        if body or method == "POST":
            pairs.append(("content-length", str(len(body))))
        asgi = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 4444),
            "state": {},
            **scope,
        }
        answer = Answer(self.gateway.app, asgi, body)
        self._open.append(answer)
        return answer

    def modern(
        self,
        method: str,
        params: Json | None = None,
        *,
        ident: Any = 1,
        meta: Json | None = None,
        headers: Json | None = None,
        capabilities: Json | None = None,
    ) -> Answer:
        """POST a modern request; a header of value None is left out."""
        meta = {META_VERSION: LATEST_MODERN, META_CAPABILITIES: capabilities or {}, **(meta or {})}
        sent: Json = {**(params or {}), "_meta": {k: v for k, v in meta.items() if v is not None}}
        lines = {**BASE, "mcp-protocol-version": LATEST_MODERN, "mcp-method": method}
        if method in NAME_PARAM:
            lines["mcp-name"] = encode_header_value(str(sent.get(NAME_PARAM[method])))
        lines.update(headers or {})
        return self.open(
            "POST", {k: v for k, v in lines.items() if v is not None}, frame(ident, method, sent)
        )

    def call(self, name: str, arguments: Json | None = None, **options: Any) -> Answer:
        """Call a tool, modern."""
        more = options.pop("more", {})
        return self.modern("tools/call", {"name": name, "arguments": arguments or {}, **more}, **options)

    async def session(
        self,
        version: str = LATEST_LEGACY,
        capabilities: Json | None = None,
        headers: Json | None = None,
    ) -> Legacy:
        """Open a legacy session."""
        params = {
            "protocolVersion": version,
            "capabilities": capabilities or {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        answer = self.open("POST", {**BASE, **(headers or {})}, frame(0, "initialize", params))
        body = await answer.json()
        assert answer.status == 200, body
        out = Legacy(self, answer.headers["mcp-session-id"], version, headers or {}, body["result"])
        assert await out.post({"jsonrpc": "2.0", "method": "notifications/initialized"}).head() == 202
        return out

    async def close(self) -> None:
        """Leave whatever is open."""
        for answer in self._open:
            answer.leave()
            self.upstream.gate.set()
            answer.reading.set()
        for answer in self._open:
            if not answer.task.cancelled():
                await answer.over()


class Legacy:
    """A legacy session as its client has it."""

    def __init__(self, web: Web, ident: str, version: str, headers: Json, result: Json) -> None:
        self.web = web
        self.id = ident
        self.result = result
        self.headers = {**BASE, **headers, "mcp-session-id": ident}
        if version >= "2025-06-18":
            self.headers["mcp-protocol-version"] = version

    def post(self, message: Any, **headers: str) -> Answer:
        """POST a message, or a batch."""
        return self.web.open("POST", {**self.headers, **headers}, msgspec.json.encode(message))

    def request(self, method: str, params: Json | None = None, ident: Any = 1) -> Answer:
        """POST a request."""
        return self.web.open("POST", self.headers, frame(ident, method, params or {}))

    def call(self, name: str, arguments: Json | None = None, ident: Any = 1, **meta: Any) -> Answer:
        """Call a tool."""
        params: Json = {"name": name, "arguments": arguments or {}}
        if meta:
            params["_meta"] = meta
        return self.request("tools/call", params, ident)

    def get(self, last: str | None = None) -> Answer:
        """Open a GET stream, or resume one."""
        headers = {**self.headers, "accept": "text/event-stream"}
        return self.web.open("GET", headers if last is None else {**headers, "last-event-id": last})

    def delete(self) -> Answer:
        """End the session."""
        return self.web.open("DELETE", self.headers)


def frame(ident: Any, method: str, params: Json) -> bytes:
    """A request."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})


@asynccontextmanager
async def gateway(config: str = "", auth: str = "") -> AsyncIterator[Web]:
    """A gateway in front of a `Scripted` upstream; `config` are keys of the transport."""
    toml = f"""
        [upstreams.one]
        use = "scripted"
        [transports.streamable_http]
        {config}
        {auth}
    """
    async with running_gateway(toml, plugins=[scripted]) as running:
        upstream = running.gateway.plane.upstreams["one"]
        assert isinstance(upstream, Scripted)
        web = Web(running.gateway, upstream, running.log)
        try:
            yield web
        finally:
            await web.close()
