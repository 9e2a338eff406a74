"""The ways to talk to a gateway, each as one conversation: messages are said, and messages are heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import aiohttp
import msgspec

from portico.api import META_VERSION, NAME_PARAM, Principal, SseParser, encode_header_value
from portico_plugins.transports.stdio.pipe import Pipe
from portico_plugins.transports.talking.talk import Talk
from tests.plugins.transports.kit import modern
from tests.plugins.transports.listening import listening
from tests.plugins.transports.web import PATIENCE, Web, gateway

TABLES: Final = """
[transports.sse]
[transports.websocket]
[transports.jsonrpc]
"""


class Conversation:
    """One client's conversation with a gateway.

    Attributes:
        web: The gateway.
        principal: Who the client is.
    """

    principal = Principal("anonymous", "anonymous")

    def __init__(self, web: Web) -> None:
        self.web = web
        self.upstream = web.upstream
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._said: asyncio.Queue[bytes] = asyncio.Queue()
        self._streams: list[aiohttp.ClientResponse] = []
        self._tasks = [asyncio.ensure_future(self._speak())]

    def say(self, *lines: bytes) -> None:
        """Send messages, in this order."""
        for line in lines:
            self._said.put_nowait(line)

    async def hear_raw(self) -> bytes:
        """The next message, byte for byte."""
        async with asyncio.timeout(PATIENCE):
            return await self.heard.get()

    async def hear(self) -> Any:
        """The next message."""
        return msgspec.json.decode(await self.hear_raw())

    async def ask(self, line: bytes) -> Any:
        """Send a message and give the next that comes."""
        self.say(line)
        return await self.hear()

    async def silent(self) -> bool:
        """Whether nothing was said before the answer to a request of our own."""
        answer = await self.ask(modern("silent?", "tools/list"))
        return bool(answer.get("id") == "silent?")

    async def leave(self) -> None:
        """End the conversation."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stream in self._streams:
            stream.close()

    async def _speak(self) -> None:
        while True:
            await self.send(await self._said.get())

    async def send(self, line: bytes) -> None:
        """Send one message."""
        raise NotImplementedError

    def follow(self, coming: Any) -> asyncio.Task[None]:
        """Have something run until the end."""
        task: asyncio.Task[None] = asyncio.ensure_future(coming)
        self._tasks.append(task)
        return task

    async def events(self, answer: aiohttp.ClientResponse) -> AsyncIterator[Any]:
        """The events of a stream."""
        self._streams.append(answer)
        parser = SseParser()
        async for chunk in answer.content.iter_any():
            for event in parser.feed(chunk):
                yield event


class _Heard(Pipe):
    def __init__(self, queue: asyncio.Queue[bytes]) -> None:
        super().__init__()
        self._queue = queue

    def push(self, frame: bytes) -> None:
        assert b"\n" not in frame
        self._queue.put_nowait(frame)


class Stdio(Conversation):
    """Without a process; `test_stdio` has one."""

    principal = Principal("me", "stdio")

    def __init__(self, web: Web) -> None:
        super().__init__(web)
        endpoint = web.gateway.plane.endpoints["default"]
        self.talk = Talk(endpoint, self.principal, _Heard(self.heard))

    def say(self, *lines: bytes) -> None:
        for line in lines:
            self.talk.receive(line)

    async def leave(self) -> None:
        await super().leave()
        await self.talk.close()


class OverHttp(Conversation):
    """What needs a connection."""

    def __init__(self, web: Web, client: aiohttp.ClientSession, base: str) -> None:
        super().__init__(web)
        self.client = client
        self.base = base


class WebSocket(OverHttp):
    """Text frames."""

    async def begin(self) -> None:
        self.socket = await self.client.ws_connect(f"{self.base}/ws", protocols=["mcp"])
        self.follow(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            assert message.type is aiohttp.WSMsgType.TEXT
            self.heard.put_nowait(message.data.encode())

    async def send(self, line: bytes) -> None:
        await self.socket.send_str(line.decode())

    async def leave(self) -> None:
        await self.socket.close()
        await super().leave()


class Sse(OverHttp):
    """A stream, and messages posted beside it."""

    async def begin(self) -> None:
        answer = await self.client.get(f"{self.base}/sse", headers={"accept": "text/event-stream"})
        assert answer.status == 200
        events = self.events(answer)
        first = await anext(events)
        assert first.event == "endpoint"
        self.where = self.base + first.data
        self.follow(self._read(events))

    async def _read(self, events: AsyncIterator[Any]) -> None:
        async for event in events:
            self.heard.put_nowait(event.data.encode())

    async def send(self, line: bytes) -> None:
        headers = {"content-type": "application/json"}
        async with self.client.post(self.where, data=line, headers=headers) as answer:
            if answer.status != 202:
                self.heard.put_nowait(await answer.read())


class Posting(OverHttp):
    """Every message is a request of its own."""

    path = ""

    def __init__(self, web: Web, client: aiohttp.ClientSession, base: str) -> None:
        super().__init__(web, client, base)
        self.headers: dict[str, str] = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
        }
        self._open: dict[tuple[type, Any], asyncio.Task[None]] = {}

    async def begin(self) -> None:
        """Nothing."""

    async def send(self, line: bytes) -> None:
        message = msgspec.json.decode(line)
        message = message if isinstance(message, dict) else {}
        params = message.get("params", {})
        if message.get("method") == "notifications/cancelled":
            ident = params["requestId"]
            cancelled = self._open.pop((type(ident), ident), None)
            if cancelled is not None:  # in the modern era, closing is what cancels
                cancelled.cancel()
            if cancelled is not None or "mcp-session-id" not in self.headers:
                return
        posted = asyncio.Event()
        task = self.follow(self._post(line, message, posted))
        if isinstance(params.get("_meta"), dict) and META_VERSION in params["_meta"]:
            self._open[type(message.get("id")), message.get("id")] = task
        else:
            await posted.wait()

    def lines(self, message: Any) -> dict[str, str]:
        """The headers of a message."""
        params = message.get("params", {})
        version = params.get("_meta", {}).get(META_VERSION)
        if version is None:
            return self.headers
        lines = {**self.headers, "mcp-protocol-version": version, "mcp-method": message["method"]}
        lines.pop("mcp-session-id", None)
        if message["method"] in NAME_PARAM:
            lines["mcp-name"] = encode_header_value(str(params.get(NAME_PARAM[message["method"]])))
        return lines

    async def _post(self, line: bytes, message: Any, posted: asyncio.Event) -> None:
        async with self.client.post(self.base + self.path, data=line, headers=self.lines(message)) as answer:
            await self.answered(answer, message)
            posted.set()
            if answer.content_type == "text/event-stream":
                async for event in self.events(answer):
                    if event.data:
                        self.heard.put_nowait(event.data.encode())
            elif body := await answer.read():
                self.heard.put_nowait(body)

    async def answered(self, answer: aiohttp.ClientResponse, message: Any) -> None:
        """The head of an answer has come."""


class StreamableHttp(Posting):
    """With the GET stream that is there after the handshake."""

    path = "/mcp"

    async def answered(self, answer: aiohttp.ClientResponse, message: Any) -> None:
        if "mcp-session-id" in answer.headers:
            self.headers["mcp-session-id"] = answer.headers["mcp-session-id"]
            stream = await self.client.get(self.base + self.path, headers=self.headers)
            self.follow(self._listen(stream))

    async def _listen(self, answer: aiohttp.ClientResponse) -> None:
        async for event in self.events(answer):
            if event.data:
                self.heard.put_nowait(event.data.encode())


class JsonRpc(Posting):
    """One request, one answer."""

    path = "/rpc"


WAYS: Final[dict[str, Any]] = {
    "stdio": Stdio,
    "websocket": WebSocket,
    "sse": Sse,
    "streamable_http": StreamableHttp,
    "jsonrpc": JsonRpc,
}


@asynccontextmanager
async def conversation(way: str) -> AsyncIterator[Conversation]:
    """A conversation with a gateway of its own, over a real socket where there is one."""
    async with AsyncExitStack() as stack:
        web = await stack.enter_async_context(gateway("stream_after = 0.01", TABLES))
        if way == "stdio":
            talk: Conversation = Stdio(web)
        else:
            _, port = await stack.enter_async_context(listening(web))
            client = await stack.enter_async_context(aiohttp.ClientSession())
            made = WAYS[way](web, client, f"http://127.0.0.1:{port}")
            await made.begin()
            talk = made
        try:
            yield talk
        finally:
            web.upstream.gate.set()
            await talk.leave()
