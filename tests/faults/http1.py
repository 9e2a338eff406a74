"""As much HTTP/1.1 as raw clients and a raw upstream need: messages read and written by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import attrs
import msgspec

Json = dict[str, Any]

BROKEN = (OSError, EOFError, asyncio.LimitOverrunError, ValueError)
"""What reading from a peer that fails, or talks nonsense, can raise."""


@attrs.frozen
class Head:
    """The first line of a message, in words, and its headers with lower-case names."""

    start: tuple[str, str, str]
    headers: Mapping[str, str]

    @property
    def is_events(self) -> bool:
        """Whether the body is an event stream."""
        return self.headers.get("content-type", "").startswith("text/event-stream")


async def read_head(reader: asyncio.StreamReader) -> Head:
    """Read a head.

    Raises:
        EOFError: The peer closed.
        ValueError: It is none.
    """
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) < 2:
        raise ValueError("not HTTP")
    pairs = (line.partition(":") for line in lines[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Head((words[0], words[1], words[2] if len(words) > 2 else ""), headers)


async def pieces(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    """The body, as it comes.

    Raises:
        EOFError: It ends before its end.
        ValueError: Its framing is broken.
    """
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while True:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            data = await reader.readexactly(size)
            if await reader.readexactly(2) != b"\r\n":
                raise ValueError("a chunk without its end")
            if not size:
                return
            yield data
    elif "content-length" in headers:
        left = int(headers["content-length"])
        while left > 0:
            data = await reader.read(min(left, 65536))
            if not data:
                raise EOFError
            left -= len(data)
            yield data
    elif headers.get("connection", "").lower() == "close":
        while data := await reader.read(65536):
            yield data


async def read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    """The whole body; raises as `pieces`."""
    return b"".join([piece async for piece in pieces(reader, headers)])


async def events(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> AsyncIterator[Json]:
    """The messages of an event stream, until it ends as it should; raises as `pieces`."""
    rest = b""
    async for piece in pieces(reader, headers):
        *whole, rest = (rest + piece).split(b"\n\n")
        for event in whole:
            data = b"\n".join(
                line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")
            )
            if data:
                yield decoded(data)


def decoded(data: bytes) -> Json:
    """A JSON-RPC message.

    Raises:
        ValueError: It is no JSON object.
    """
    value = msgspec.json.decode(data)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def head(start: str, headers: Mapping[str, str]) -> bytes:
    """A head as bytes."""
    lines = [start, *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body; an empty one is its end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(message: Json) -> bytes:
    """A message as a server-sent event."""
    return b"data: " + msgspec.json.encode(message) + b"\n\n"
