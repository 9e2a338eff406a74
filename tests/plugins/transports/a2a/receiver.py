"""A webhook: takes POSTs on a socket of its own, and answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import msgspec

from tests.plugins.transports.web import PATIENCE


@attrs.frozen
class Notice:
    """One that has come."""

    target: str
    headers: dict[str, str]
    body: Any


class Receiver:
    """What has come.

    Attributes:
        url: Where it is.
        answers: What to answer with, one after the other; then 200.
        connections: How many there were.
    """

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[bytes] = []
        self.connections = 0
        self._notices: asyncio.Queue[Notice] = asyncio.Queue()

    async def next(self) -> Notice:
        """The next one."""
        async with asyncio.timeout(PATIENCE):
            return await self._notices.get()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
            body = await reader.readexactly(int(headers["content-length"]))
            writer.write(
                self.answers.pop(0) if self.answers else b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
            )
            await writer.drain()
            self._notices.put_nowait(Notice(head[0].split(" ")[1], headers, msgspec.json.decode(body)))
        finally:
            writer.close()


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """A webhook that listens."""
    made = Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made
