"""A small real MCP server over streamable HTTP, of one era, on plain asyncio streams.

`python -m tests.faults.upstream --era legacy --port 0` runs it as a process: it prints its port and then what
happens, one JSON object a line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Callable
from typing import Any, Literal, Self

import msgspec

from tests.faults import http1
from tests.faults.http1 import BROKEN, Head, Json
from tests.faults.tools import META, MODERN, Journal, Tools, respond

Era = Literal["legacy", "modern"]
_EVENTS = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}


class Upstream:
    """The server.

    Args:
        era: The only one it speaks.
        journal: Where it writes what happens.
        port: 0 for any free one.
    """

    def __init__(self, era: Era, journal: Journal | None = None, port: int = 0) -> None:
        self.era = era
        self.port = port
        self.journal = journal or Journal()
        self.tools = Tools(self.journal)
        self.sessions: dict[str, Session] = {}
        self._server: asyncio.Server | None = None
        self._served: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._served):
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        self._writers.add(writer)
        try:
            while True:
                head = await http1.read_head(reader)
                body = await http1.read_body(reader, head.headers)
                reply = Reply(writer)
                lasting = self.era == "legacy" and head.start[0] == "POST"
                if not await self._until_gone(reader, self._request(head, body, reply), lasting):
                    return
        except BROKEN:
            pass  # the client's affair
        except asyncio.CancelledError:
            pass  # the server ends
        finally:
            self._served.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _until_gone(self, reader: asyncio.StreamReader, work: Any, lasting: bool) -> bool:
        """Carry out one request; False when its client left, which ends what is not lasting."""
        working = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                if not lasting:
                    working.cancel()
                await asyncio.wait({working})
                return False
            working.result()
            return not gone.done()
        finally:
            for each in (working, gone):
                each.cancel()
            await asyncio.gather(working, gone, return_exceptions=True)

    async def _request(self, head: Head, body: bytes, reply: Reply) -> None:
        serve: Callable[[Head, bytes, Reply], Any] = self._modern if self.era == "modern" else self._legacy
        await serve(head, body, reply)

    async def _modern(self, head: Head, body: bytes, reply: Reply) -> None:
        if head.start[0] != "POST":
            await reply.send(405)
            return
        try:
            message = http1.decoded(body)
            version = message["params"]["_meta"][META + "protocolVersion"]
        except (ValueError, LookupError, TypeError):
            await reply.send(400, _error(None, -32600, "Invalid request"))
            return
        if version != MODERN or head.headers.get("mcp-protocol-version") != MODERN:
            data = {"supported": [MODERN], "requested": str(version)}
            await reply.send(400, _error(message.get("id"), -32022, "Unsupported protocol version", data))
        elif message.get("method") == "subscriptions/listen":
            ident = {META + "subscriptionId": message.get("id")}
            params = {"notifications": {"toolsListChanged": True}, "_meta": ident}
            await reply.notify("notifications/subscriptions/acknowledged", params)
            await asyncio.get_running_loop().create_future()
        else:
            reply.token = message["params"]["_meta"].get("progressToken")
            await reply.answer(await respond(message, self.tools, reply, modern=True))

    async def _legacy(self, head: Head, body: bytes, reply: Reply) -> None:
        session = self.sessions.get(head.headers.get("mcp-session-id", ""))
        if head.start[0] == "POST":
            try:
                message = http1.decoded(body)
            except ValueError:
                await reply.send(400, _error(None, -32700, "Parse error"))
                return
            if message.get("method") == "initialize":
                ident = secrets.token_hex(8)
                self.sessions[ident] = Session()
                reply.extra = {"mcp-session-id": ident}
                await reply.answer(await respond(message, self.tools, reply, modern=False))
            elif session is None:
                known = "mcp-session-id" in head.headers
                await reply.send(404 if known else 400, _error(message.get("id"), -32600, "No session"))
            elif "id" in message and "method" in message:
                await session.perform(message, self.tools, reply)
            else:
                session.heard(message)
                await reply.send(202)
        elif session is None:
            await reply.send(404)
        elif head.start[0] == "GET":
            await reply.begin()
            await session.ended.wait()
            await reply.end()
        else:
            session.end()
            del self.sessions[head.headers["mcp-session-id"]]
            await reply.send(204)


class Session:
    """A legacy session: its calls, which go on when their client's connection is lost."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.calls: dict[str, asyncio.Task[Json]] = {}
        self.asked: dict[str, asyncio.Future[Json]] = {}

    def end(self) -> None:
        """Its client does not want it any more."""
        self.ended.set()
        for task in self.calls.values():
            task.cancel()

    async def perform(self, message: Json, tools: Tools, reply: Reply) -> None:
        """Carry out a request, unless it is cancelled."""
        meta = (message.get("params") or {}).get("_meta") or {}
        reply.token = meta.get("progressToken")
        reply.asked = self.asked
        key = repr(message["id"])
        task = asyncio.ensure_future(respond(message, tools, reply, modern=False))
        self.calls[key] = task
        try:
            await asyncio.wait({task})
        finally:
            self.calls.pop(key, None)
            task.cancel()
        if task.cancelled():
            await reply.end()
        else:
            await reply.answer(task.result())

    def heard(self, message: Json) -> None:
        """Take a notification or a response."""
        if message.get("method") == "notifications/cancelled":
            task = self.calls.get(repr((message.get("params") or {}).get("requestId")))
            if task is not None:
                task.cancel()
        elif "method" not in message:
            asked = self.asked.pop(repr(message.get("id")), None)
            if asked is not None and not asked.done():
                asked.set_result(message.get("result") or {"action": "error"})


class Reply:
    """The answer to one POST: JSON, or an event stream once something is sent before it."""

    _asks = itertools.count(1)

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._streaming = False
        self.token: Any = None
        self.extra: dict[str, str] = {}
        self.asked: dict[str, asyncio.Future[Json]] = {}

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def send(self, status: int, message: Json | None = None) -> None:
        """Send a whole answer."""
        body = msgspec.json.encode(message) if message is not None else b""
        headers = {"content-type": "application/json", "content-length": str(len(body)), **self.extra}
        await self._write(http1.head(f"HTTP/1.1 {status} X", headers) + body)

    async def begin(self) -> None:
        """Make it an event stream."""
        if not self._streaming:
            self._streaming = True
            await self._write(http1.head("HTTP/1.1 200 OK", _EVENTS | self.extra))

    async def notify(self, method: str, params: Json) -> None:
        """Send a notification."""
        await self.begin()
        if method == "notifications/progress":
            params = {**params, "progressToken": self.token}
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        await self._write(http1.chunk(http1.event(message)))

    async def ask(self, method: str, params: Json) -> Json:
        """Ask the client on this stream."""
        await self.begin()
        ident = next(self._asks)
        asked: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self.asked[repr(ident)] = asked
        message = {"jsonrpc": "2.0", "id": ident, "method": method, "params": params}
        await self._write(http1.chunk(http1.event(message)))
        return await asked

    async def answer(self, message: Json) -> None:
        """Send the answer."""
        if self._streaming:
            await self._write(http1.chunk(http1.event(message)))
            await self.end()
        else:
            await self.send(200, message)

    async def end(self) -> None:
        """There is no more."""
        if not self._streaming:
            await self.send(202)
        else:
            await self._write(http1.chunk(b""))


def _error(ident: Any, code: int, message: str, data: Json | None = None) -> Json:
    error = {"code": code, "message": message, **({"data": data} if data else {})}
    return {"jsonrpc": "2.0", "id": ident, "error": error}


async def _main(era: Era, port: int) -> None:
    def tell(entry: Json) -> None:
        print(msgspec.json.encode(entry).decode(), flush=True)

    async with Upstream(era, Journal(tell), port) as upstream:
        tell({"port": upstream.port})
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--era", choices=("legacy", "modern"), required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(options.era, options.port))
