"""The transport under a fast-lane connection: writing within bounds, one timer, and how it closes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Final, cast

from portico_plugins.servers.hypercorn.service import Service

CHUNK: Final = 64 * 1024
NEVER: Final = math.inf
_SOON: Final = 0.001
_LONG: Final = 16 * 1024


class Wire(asyncio.Protocol):
    """What a connection does that has nothing to do with requests.

    It has two deadlines and one timer. The timer is not moved with each request: when it fires it looks
    whether one of them has passed, and is set anew.

    Args:
        service: What it shares with the others.
    """

    __slots__ = ("_read_by", "_rings", "_roomy", "_stuck", "_timer", "_write_by", "full", "loop", "lost",
                 "secure", "service", "transport")  # fmt: skip

    def __init__(self, service: Service) -> None:
        self.service = service
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.secure = False
        self.full = False  # more is written than the client has taken
        self.lost = True  # it is not there, or not any more
        self._read_by = NEVER
        self._write_by = NEVER
        self._stuck = 0
        self._roomy: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings = NEVER

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.lost = False
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=CHUNK)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; nobody waits any longer."""
        self.lost = True
        self.full = False
        self.forget()
        if self._roomy is not None:
            self._roomy.set()

    # --- time ---------------------------------------------------------------------------------

    def expect(self, seconds: float) -> None:
        """`expired` is called if nothing else has been expected, or `not_expecting`, by then."""
        self._read_by = by = self.loop.time() + seconds
        if by < self._rings:
            self._arm(by)

    def not_expecting(self) -> None:
        """No deadline for the client."""
        self._read_by = NEVER

    def forget(self) -> None:
        """No deadline at all."""
        self._read_by = self._write_by = self._rings = NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def expired(self) -> None:
        """What was expected has not come."""
        raise NotImplementedError

    def _arm(self, by: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = by
        self._timer = self.loop.call_at(by, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._rings = NEVER
        now = self.loop.time() + _SOON
        if self._write_by <= now:
            self._not_written()
        if self._read_by <= now:
            self._read_by = NEVER
            self.expired()
        by = min(self._read_by, self._write_by)
        if by < self._rings and not self.lost:
            self._arm(by)

    # --- writing ------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes; `full` tells whether to wait before the next ones."""
        self.transport.write(data)

    def write_all(self, pieces: Sequence[bytes]) -> None:
        """Send pieces in their order; long ones are not copied for it."""
        if sum(map(len, pieces)) > _LONG:
            self.transport.writelines(pieces)
        else:
            self.transport.write(b"".join(pieces))

    def pause_writing(self) -> None:
        """The client is slow: it has `write_timeout` seconds for every 64 KiB."""
        self.full = True
        self._watch_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        self.full = False
        self._write_by = NEVER
        if self.transport.is_closing():
            self._watch_writing()  # the little that is left is not to hold the connection for ever
        if self._roomy is not None:
            self._roomy.set()

    async def room(self) -> None:
        """Return when the client has caught up, or has gone."""
        if self._roomy is None:
            self._roomy = asyncio.Event()
        self._roomy.clear()
        if self.full:
            await self._roomy.wait()

    def _watch_writing(self) -> None:
        self._stuck = self.transport.get_write_buffer_size()
        self._write_by = by = self.loop.time() + self.service.bounds.write_timeout
        if by < self._rings:
            self._arm(by)

    def _not_written(self) -> None:
        self._write_by = NEVER
        left = self.transport.get_write_buffer_size()
        if not left:
            return
        if self._stuck - left >= CHUNK:
            self._watch_writing()
            return
        self.service.log.warning("server.slow_reader", seconds=self.service.bounds.write_timeout)
        self.transport.abort()

    def close(self) -> None:
        """Close it when all is written; a client that does not take it is cut off."""
        self.transport.close()
        if not self.lost and self._write_by == NEVER and self.transport.get_write_buffer_size():
            self._watch_writing()
