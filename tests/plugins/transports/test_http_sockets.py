"""The same over real sockets, through the hypercorn listener: what only a connection can show."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from portico.api import LATEST_LEGACY, LATEST_MODERN, Json, SseParser
from tests.plugins.transports.kit import META, happened
from tests.plugins.transports.listening import listening
from tests.plugins.transports.web import BASE, PATIENCE, Web, frame, gateway


class Socket:
    """One connection, with one answer on it at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self._parser = SseParser()
        self._events: list[Any] = []

    def send(self, method: str, headers: Json, body: bytes = b"") -> None:
        lines = [f"{method} /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if body:
            lines.append(f"content-length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    async def head(self) -> int:
        async with asyncio.timeout(PATIENCE):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode().strip().split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
        return self.status

    async def body(self) -> Any:
        await self.head()
        async with asyncio.timeout(PATIENCE):
            raw = await self.reader.readexactly(int(self.headers["content-length"]))
        return msgspec.json.decode(raw) if raw else None

    async def chunk(self) -> bytes:
        """The next chunk; b"" at the end."""
        async with asyncio.timeout(PATIENCE):
            size = int((await self.reader.readline()).strip() or b"0", 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def message(self) -> Any:
        """The next JSON-RPC message on an event stream."""
        while True:
            while self._events:
                event = self._events.pop(0)
                if event.data:
                    return msgspec.json.decode(event.data)
            chunk = await self.chunk()
            assert chunk, "the stream ended"
            self._events += self._parser.feed(chunk)

    async def close(self) -> None:
        self.writer.close()


class Served:
    def __init__(self, web: Web, address: tuple[str, int]) -> None:
        self.web = web
        self.address = address
        self._open: list[Socket] = []

    async def connect(self, receive_buffer: int = 0) -> Socket:
        sock = socket.create_connection(self.address)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        made = Socket(*await asyncio.open_connection(sock=sock, limit=max(receive_buffer, 1 << 16)))
        self._open.append(made)
        return made

    async def modern(
        self, name: str, arguments: Json | None = None, on: Socket | None = None, **meta: Any
    ) -> Socket:
        """A connection on which a tool has been called."""
        made = on or await self.connect()
        headers = {
            **BASE,
            "mcp-protocol-version": LATEST_MODERN,
            "mcp-method": "tools/call",
            "mcp-name": name,
        }
        params = {"name": name, "arguments": arguments or {}, "_meta": {**META, **meta}}
        made.send("POST", headers, frame(1, "tools/call", params))
        return made

    async def close(self) -> None:
        for each in self._open:
            await each.close()


@asynccontextmanager
async def served(config: str = "", more: str = "", *, whole: bool = False) -> AsyncIterator[Served]:
    """A gateway on a socket.

    Args:
        config: Keys of the transport.
        more: Further tables.
        whole: Whether the server may hand requests in without ASGI.
    """
    async with (
        gateway(f"stream_after = 0.01\n{config}", more) as web,
        listening(web, whole=whole) as address,
    ):
        out = Served(web, address)
        try:
            yield out
        finally:
            await out.close()


async def test_answers_follow_each_other_on_one_connection() -> None:
    async with served() as it:
        wire = await it.modern("echo", {"n": 2**70})
        assert (await wire.body())["result"]["structuredContent"] == {"n": 2**70}
        wire.send("POST", {**BASE, "content-type": "text/plain"}, b"{}")
        assert await wire.head() == 415
        await wire.reader.readexactly(int(wire.headers["content-length"]))
        params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}}
        wire.send("POST", BASE, frame(1, "initialize", params))
        assert (await wire.body())["result"]["protocolVersion"] == LATEST_LEGACY


async def test_frames_arrive_while_the_call_still_runs() -> None:
    async with served() as it:
        wire = await it.modern("gate", {"n": 2}, progressToken="t")
        assert await wire.head() == 200
        assert wire.headers["content-type"] == "text/event-stream"
        assert [(await wire.message())["params"]["progress"] for _ in range(2)] == [0, 1]
        assert it.web.gateway.plane.load.calls
        it.web.upstream.gate.set()
        assert "result" in await wire.message()


async def test_closing_the_connection_cancels_a_modern_call_that_has_sent_nothing() -> None:
    async with served() as it:
        wire = await it.modern("hang")
        await happened(it.web.upstream.begun)
        await wire.close()
        await happened(it.web.upstream.cancelled)


async def test_closing_the_connection_cancels_a_modern_call_that_streams() -> None:
    async with served() as it:
        wire = await it.modern("hang", {"n": 1}, progressToken="t")
        await wire.head()
        await wire.message()
        await wire.close()
        await happened(it.web.upstream.cancelled)


async def test_closing_the_connection_does_not_cancel_a_legacy_call() -> None:
    async with served() as it:
        first = await it.connect()
        params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}}
        first.send("POST", BASE, frame(0, "initialize", params))
        await first.body()
        headers = {**BASE, "mcp-session-id": first.headers["mcp-session-id"]}
        first.send("POST", headers, frame(1, "tools/call", {"name": "gate", "arguments": {}}))
        assert await first.head() == 200
        primed = SseParser().feed(await first.chunk())[0]
        await first.close()
        it.web.upstream.gate.set()
        third = await it.connect()
        third.send("GET", {**headers, "last-event-id": primed.id})
        assert await third.head() == 200
        assert (await third.message())["id"] == 1
        assert not it.web.upstream.cancelled.is_set()


async def test_a_client_that_does_not_read_stops_the_upstream() -> None:
    async with served() as it:
        wire = await it.modern("flood", {"n": 100_000}, progressToken="t" * 1000)
        await wire.head()
        sent = -1
        while sent != it.web.upstream.sent:
            sent = it.web.upstream.sent
            # Another connection's answer gives the first one time to go on, if it can.
            for _ in range(20):
                assert "result" in await (await it.modern("echo")).body()
        assert sent < 100_000
        await wire.close()
        async with asyncio.timeout(PATIENCE):
            while it.web.gateway.plane.load.calls:
                await (await it.modern("echo")).body()
