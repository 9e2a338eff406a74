"""Frames on Unix sockets between workers: one byte for the kind, four for the length, the payload."""

from __future__ import annotations

import asyncio
import struct
from typing import Final, cast

_HEAD: Final = struct.Struct(">BI")
_HIGH: Final = 64 * 1024

REQUEST, WHOLE, START, DATA, END = range(5)
"""Kinds: a request; a whole answer; an answer's head, a piece of it, its end."""


class Framed(asyncio.Protocol):
    """One end of a connection that carries frames."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.lost = False
        self.full = False
        self._held = bytearray()
        self._room: asyncio.Event = asyncio.Event()
        self._room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=_HIGH)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing can be sent any more, so nobody needs to wait for room."""
        self.lost = True
        self.resume_writing()

    def pause_writing(self) -> None:
        """The other end is behind."""
        self.full = True
        self._room.clear()

    def resume_writing(self) -> None:
        """The other end has caught up."""
        self.full = False
        self._room.set()

    async def room(self) -> None:
        """Return when the other end has caught up or gone."""
        await self._room.wait()

    def data_received(self, data: bytes) -> None:
        """Cut what has come into frames."""
        held = self._held
        held += data
        at = 0
        while len(held) - at >= _HEAD.size and not self.lost:
            kind, length = _HEAD.unpack_from(held, at)
            end = at + _HEAD.size + length
            if end > len(held):
                break
            self.frame(kind, bytes(held[at + _HEAD.size : end]))
            at = end
        if at:
            del held[:at]

    def frame(self, kind: int, payload: bytes) -> None:
        """Take a frame."""
        raise NotImplementedError

    def put(self, kind: int, payload: bytes = b"") -> None:
        """Send a frame; does nothing when the other end has gone."""
        if not self.lost:
            self.transport.write(_HEAD.pack(kind, len(payload)) + payload)
