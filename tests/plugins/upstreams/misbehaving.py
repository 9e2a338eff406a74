"""Servers that behave until they are told not to, and what each kind of upstream asks of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs

from portico.api import Json, Refused

MODERN = "2026-07-28"


@attrs.frozen
class Asked:
    """A request as it arrived.

    Attributes:
        head: Its lines.
        body: Its body, decoded, {} for none.
    """

    head: str
    body: Json

    @property
    def http(self) -> str:
        """The HTTP method."""
        return self.head.partition(" ")[0]


@attrs.define(eq=False)
class Line:
    """A connection on which a server misbehaves."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    asked: Asked

    async def say(self, data: bytes) -> None:
        """Send this."""
        self.writer.write(data)
        await self.writer.drain()

    async def trickle(self, data: bytes) -> None:
        """Send this over and over, a byte at a time, for as long as somebody takes it."""
        while True:
            for at in range(len(data)):
                await self.say(data[at : at + 1])
                await asyncio.sleep(0.002)

    async def flood(self, data: bytes) -> None:
        """Send this over and over, as fast as it is taken."""
        while True:
            await self.say(data)

    async def hang(self) -> None:
        """Wait until the other side closes."""
        await self.reader.read()


Failure = Callable[[Line], Awaitable[None]]
Answers = Callable[[Asked], bytes]


@attrs.define(eq=False)
class Server:
    """A server.

    Attributes:
        answers: What it answers while it behaves.
        is_call: Says of a request whether it is one to fail.
        failure: What it does to calls; None while it behaves.
        port: Its port.
        accepted: How many connections were made to it.
        failing: The connections on which it misbehaves now.
        tasks: What serves its connections.
    """

    answers: Answers
    is_call: Callable[[Asked], bool]
    failure: Failure | None = None
    port: int = 0
    accepted: int = 0
    failing: set[asyncio.StreamWriter] = attrs.field(factory=set)
    tasks: set[asyncio.Task[Any]] = attrs.field(factory=set)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = attrs.field(factory=set)

    @property
    def origin(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen: on the same port as before, if it has been one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything, at once."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        if self.tasks:
            await asyncio.wait(tuple(self.tasks))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        self.accepted += 1
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            self.failing.discard(writer)
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = next(
            (int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0
        )
        body = await reader.readexactly(length)
        asked = Asked(head, json.loads(body) if body else {})
        if self.failure is not None and self.is_call(asked):
            self.failing.add(writer)
            await self.failure(Line(reader, writer, asked))
            return False
        writer.write(self.answers(asked))
        await writer.drain()
        return True


@contextlib.asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    """A server that listens."""
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def eventually(call: Callable[[], Awaitable[Json]]) -> None:
    """Call until it goes well: on a busy machine even a good answer may be later than a short limit."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(Refused):
                if not (await call()).get("isError"):
                    return
            await asyncio.sleep(0)


def answer(body: bytes | Json, kind: str = "application/json", status: str = "200 OK", *more: str) -> bytes:
    """The bytes of a whole answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *more]
    if kind:
        lines.append(f"Content-Type: {kind}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


# --- what each kind asks -------------------------------------------------------------------------


def http_api(asked: Asked) -> bytes:
    """An HTTP API with one operation."""
    return answer({"ok": True})


def mcp(era: str) -> Answers:
    """An MCP server with one tool, of one era."""

    def found(asked: Asked) -> bytes:
        method, ident = asked.body.get("method"), asked.body.get("id")
        if asked.http != "POST":
            return answer(b"", "", "405 Method Not Allowed")
        if ident is None:
            return answer(b"", "", "202 Accepted")
        results: Json = {
            "ping": {},
            "tools/list": {"tools": [{"name": "op", "inputSchema": {"type": "object"}}]},
            "tools/call": {"content": [{"type": "text", "text": "fine"}]},
        }
        if era == "modern":
            results["server/discover"] = {"supportedVersions": [MODERN], "capabilities": {"tools": {}}}
        else:
            info = {"name": "legacy", "version": "1"}
            hello = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
            results["initialize"] = hello
        if method not in results:
            error = {"code": -32601, "message": "Method not found"}
            return answer({"jsonrpc": "2.0", "id": ident, "error": error}, status="400 Bad Request")
        more = ("Mcp-Session-Id: s",) if method == "initialize" else ()
        return answer(
            {"jsonrpc": "2.0", "id": ident, "result": results[method]}, "application/json", "200 OK", *more
        )

    return found


def is_tool_call(asked: Asked) -> bool:
    """Whether a request is an MCP tool call."""
    return asked.body.get("method") == "tools/call"


DOCUMENT: Json = {
    "openapi": "3.1.0",
    "paths": {
        "/x": {
            "get": {
                "operationId": "op",
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "required": ["ok"],
                                    "properties": {"ok": {"type": "boolean"}},
                                }
                            }
                        }
                    }
                },
            }
        }
    },
}


def table(kind: str, server: Server, folder: Path, **more: Any) -> str:
    """The configuration of the upstream `bad` of a kind."""
    lines = ["[upstreams.bad]"]
    if kind == "rest":
        (folder / "openapi.json").write_text(json.dumps(DOCUMENT))
        more = {
            "openapi_file": str(folder / "openapi.json"),
            "base_url": server.origin,
            "output": "full",
            "max_response_bytes": 4096,
        } | more
        lines.append('use = "rest"')
    else:
        more = {"url": f"{server.origin}/mcp", "protocol": kind, "max_message_bytes": 4096} | more
        lines.append('use = "mcp"')
    return "\n".join([*lines, *(f"{name} = {json.dumps(value)}" for name, value in more.items())]) + "\n"
