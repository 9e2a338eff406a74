"""What the tests of `rest` upstreams share: servers that say what arrived, and servers that misbehave."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs

from portico.api import Host, Json
from portico_plugins.upstreams.rest import REST
from portico_plugins.upstreams.rest.config import RestConfig
from tests.plugins.upstreams.kit import HERE, Clock, Log, Running, Wiring


@contextlib.asynccontextmanager
async def running(component: Any = None, **config: Any) -> AsyncIterator[Running]:
    """An upstream, started with this configuration."""
    wiring, log = Wiring(), Log()
    host = Host("up", "upstreams", log, Clock(), HERE, lambda _: component, wiring)
    async with REST.create(RestConfig(**config), host) as upstream:
        yield Running(upstream, wiring, log)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI app that answers with what arrived."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    said = {
        "method": scope["method"],
        "path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "headers": {name.decode(): value.decode("latin-1") for name, value in scope["headers"]},
        "body": base64.b64encode(body).decode(),
    }
    data = json.dumps(said).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": data})


@attrs.define(eq=False)
class Files:
    """An ASGI app with files, each of them with an ETag.

    Attributes:
        files: What there is: path -> content, or the status that is answered.
        asked: What was asked for: path and status.
    """

    files: dict[str, Any]
    asked: list[tuple[str, int]] = attrs.field(factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["raw_path"].decode()
        content = self.files.get(path, 404)
        headers = [(b"content-type", b"application/json")]
        body, status = b"", content
        if not isinstance(content, int):
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            tag = b'"%d"' % hash(body)
            headers.append((b"etag", tag))
            status = 304 if dict(scope["headers"]).get(b"if-none-match") == tag else 200
        if isinstance(content, bytes) and content.startswith(b"/"):
            headers.append((b"location", content))
            status = 302
        self.asked.append((path, status))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body if status == 200 else b""})


@attrs.define
class Raw:
    """A server that answers each connection with given bytes.

    Attributes:
        origin: Its URL.
        heads: What it was asked.
        connections: How many connections it has taken.
    """

    origin: str = ""
    heads: list[bytes] = attrs.field(factory=list)
    connections: int = 0


Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw(answer: bytes | list[bytes] | Handler) -> AsyncIterator[Raw]:
    """A server that answers with these bytes and closes; of a list, with one after the other."""
    server = Raw()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            server.heads.append(head)
            if callable(answer):
                await answer(head, writer)
            else:
                at = min(len(server.heads), len(answer)) - 1
                writer.write(answer[at] if isinstance(answer, list) else answer)
                await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.origin = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for writer in writers:
            writer.close()


def http(body: bytes, kind: str = "application/json", status: str = "200 OK", *more: str) -> bytes:
    """The bytes of an answer."""
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body)}",
        *([f"Content-Type: {kind}"] if kind else []),
        *more,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def simple(**operation: Any) -> Json:
    """A document with one operation, `GET /x`, called `op`."""
    return {"openapi": "3.1.0", "paths": {"/x": {"get": {"operationId": "op", **operation}}}}
