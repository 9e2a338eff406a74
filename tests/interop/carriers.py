"""The client over everything but streamable HTTP: connections that carry all, and single requests."""

from __future__ import annotations

import asyncio
import contextlib
import io
import shlex
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urljoin

import aiohttp
import attrs
import msgspec

from tests.interop.raw_client import LONGEST, RawClient, events
from tests.interop.speaking import PATIENCE, Call, Json, RpcError, Speaker


@attrs.define(eq=False)
class Connected(Speaker):
    """All messages of both sides are on one connection."""

    _waiting: dict[tuple[type, Any], asyncio.Future[Json]] = attrs.field(factory=dict)
    _reading: asyncio.Task[None] | None = None
    unexpected: list[Json] = attrs.field(factory=list)
    """Answers to what was not asked, or not any more."""

    async def messages(self) -> AsyncIterator[bytes | str]:
        """What comes, until the server ends it."""
        raise NotImplementedError
        yield b""

    async def put(self, data: bytes) -> None:
        """Send one message."""
        raise NotImplementedError

    def listen(self) -> None:
        """Begin to read."""
        self._reading = asyncio.create_task(self._read())

    async def leave(self) -> None:
        """Close the connection."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def exchange(self, message: Json) -> Json | None:
        """Send a request and wait for the answer with its id."""
        key = type(message["id"]), message["id"]
        answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        try:
            await self.send(message)
            return await answer
        finally:
            self._waiting.pop(key, None)

    async def send(self, message: Json) -> None:
        """Send a message."""
        await self.put(msgspec.json.encode(message))

    async def _read(self) -> None:
        try:
            async for data in self.messages():
                message = msgspec.json.decode(data)
                if "method" in message:
                    await self.take(message, None)
                    continue
                waiting = self._waiting.get((type(message.get("id")), message.get("id")))
                if waiting is None or waiting.done():
                    self.unexpected.append(message)
                else:
                    waiting.set_result(message)
        finally:
            for each in self._waiting.values():
                if not each.done():
                    each.set_exception(RpcError(0, {"message": "the connection was closed"}))


@attrs.define(eq=False)
class OnStdio(Connected):
    """A process that the client has started; `url` is its command line."""

    process: asyncio.subprocess.Process = attrs.field(init=False)

    async def connect(self) -> None:
        """Start it."""
        self.process = await asyncio.create_subprocess_exec(
            *shlex.split(self.url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST,
        )
        self.listen()

    async def messages(self) -> AsyncIterator[bytes | str]:
        """Lines of stdout."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            yield line

    async def put(self, data: bytes) -> None:
        """A line on stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(data + b"\n")
        await self.process.stdin.drain()

    async def leave(self) -> None:
        """Close stdin: the process ends, with status 0."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                assert await self.process.wait() == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await super().leave()


@attrs.define(eq=False)
class OverWebSocket(Connected):
    """Text frames."""

    _http: aiohttp.ClientSession = attrs.field(init=False)
    _socket: aiohttp.ClientWebSocketResponse = attrs.field(init=False)

    async def connect(self) -> None:
        """The handshake."""
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(self.url, protocols=["mcp"], max_msg_size=LONGEST)
        self.listen()

    async def messages(self) -> AsyncIterator[bytes | str]:
        """Frames."""
        async for frame in self._socket:
            assert frame.type is aiohttp.WSMsgType.TEXT
            yield frame.data

    async def put(self, data: bytes) -> None:
        """A frame."""
        await self._socket.send_str(data.decode())

    async def leave(self) -> None:
        """Close it."""
        await super().leave()
        await self._socket.close()
        await self._http.close()


@attrs.define(eq=False)
class OverSse(Connected):
    """A stream, and messages posted beside it (2024-11-05)."""

    _http: aiohttp.ClientSession = attrs.field(init=False)
    _stream: aiohttp.ClientResponse = attrs.field(init=False)
    _where: asyncio.Future[str] = attrs.field(init=False)

    async def connect(self) -> None:
        """Open the stream, which says where to post."""
        self._http = aiohttp.ClientSession(
            read_bufsize=LONGEST, timeout=aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE)
        )
        self._where = asyncio.get_running_loop().create_future()
        self._stream = await self._http.get(self.url, headers={"Accept": "text/event-stream"})
        assert self._stream.status == 200
        self.listen()
        async with asyncio.timeout(PATIENCE):
            await asyncio.shield(self._where)

    async def messages(self) -> AsyncIterator[bytes | str]:
        """Events; the first says where to post."""
        async for event in events(self._stream.content, decode=False):
            if not self._where.done():
                self._where.set_result(urljoin(self.url, event.data))
            elif event.data is not None:
                yield event.data

    async def put(self, data: bytes) -> None:
        """A POST."""
        headers = {"Content-Type": "application/json"}
        async with self._http.post(await self._where, data=io.BytesIO(data), headers=headers) as answer:
            if answer.status != 202:
                raise RpcError(answer.status, {"message": (await answer.text())[:200]})

    async def leave(self) -> None:
        """Close the stream."""
        await super().leave()
        self._stream.close()
        await self._http.close()


@attrs.define(eq=False)
class ByRequests(Speaker):
    """Plain JSON-RPC: a POST is a request, its body is the answer, and nothing else comes."""

    _http: aiohttp.ClientSession = attrs.field(init=False)

    async def connect(self) -> None:
        """Nothing is said yet."""
        self._http = aiohttp.ClientSession()

    async def leave(self) -> None:
        """There is no session to end."""
        await self._http.close()

    async def exchange(self, message: Json) -> Json | None:
        """POST a request."""
        headers = {"Content-Type": "application/json"}
        data = msgspec.json.encode(message)
        async with self._http.post(self.url, data=io.BytesIO(data), headers=headers) as answer:
            body = await answer.read()
        found: Json | None = msgspec.json.decode(body) if body else None
        return found

    async def send(self, message: Json) -> None:
        """POST a notification."""
        await self.exchange(message)

    async def cancel(self, call: Call) -> None:
        """Close the connection, in either era: there is nothing else to say it with."""
        await call.drop()


CARRIERS: dict[str, type[Speaker]] = {
    "streamable_http": RawClient,
    "sse": OverSse,
    "websocket": OverWebSocket,
    "jsonrpc": ByRequests,
    "stdio": OnStdio,
}
"""Transport -> the client that speaks it."""
