"""A gRPC server by hand, HTTP/2 frame by frame: for what no library would do to its clients."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
import h2.config
import h2.connection
import h2.events

OK = [(":status", "200"), ("content-type", "application/grpc")]
Work = Callable[["Stream"], Awaitable[None]]


def framed(raw: bytes, compressed: int = 0) -> bytes:
    """A message as gRPC frames it."""
    return struct.pack(">BI", compressed, len(raw)) + raw


@attrs.define(eq=False)
class Stream:
    """One call: what was asked, and what can be done about it."""

    number: int
    headers: dict[str, str]
    h2: h2.connection.H2Connection
    writer: asyncio.StreamWriter

    def head(self, *fields: tuple[str, str], end: bool = False) -> None:
        self.h2.send_headers(self.number, list(fields) or OK, end_stream=end)
        self.flush()

    def message(self, raw: bytes) -> None:
        self.h2.send_data(self.number, framed(raw))
        self.flush()

    def raw(self, data: bytes, end: bool = False) -> None:
        self.h2.send_data(self.number, data, end_stream=end)
        self.flush()

    def status(self, code: int) -> None:
        self.h2.send_headers(self.number, [("grpc-status", str(code))], end_stream=True)
        self.flush()

    def refuse(self, code: int) -> None:
        self.head(*OK, ("grpc-status", str(code)), end=True)

    def goaway(self, last: int, error: int = 0) -> None:
        # By hand: to the library a connection is closed when it has said so.
        self.writer.write(struct.pack(">IBIII", 8 << 8 | 7, 0, 0, last, error))

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def cut(self) -> None:
        self.writer.transport.abort()  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def wire_server(work: Work, *, early: bool = False) -> AsyncIterator[int]:
    """Serve each call with `work`, once all of the request has come, or with `early` only its head.

    Gives the port. Health is not there.
    """
    tasks: set[asyncio.Task[Any]] = set()
    serving: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving[writer] = asyncio.current_task()
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        conn.initiate_connection()
        writer.write(conn.data_to_send())
        heads: dict[int, dict[str, str]] = {}
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            while data := await reader.read(65536):
                for event in conn.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        heads[event.stream_id] = {
                            key.decode(): value.decode("latin-1") for key, value in event.headers
                        }
                    if isinstance(event, h2.events.RequestReceived if early else h2.events.StreamEnded):
                        stream = Stream(event.stream_id, heads[event.stream_id], conn, writer)
                        if stream.headers[":path"].startswith("/grpc.health."):
                            stream.refuse(12)
                            continue
                        task = asyncio.create_task(work(stream))  # type: ignore[arg-type]
                        tasks.add(task)
                if not writer.is_closing():
                    writer.write(conn.data_to_send())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        for writer in serving:
            writer.transport.abort()
        ending = [task for task in (*tasks, *serving.values()) if task is not None]
        if ending:
            await asyncio.wait(ending)
        await server.wait_closed()
