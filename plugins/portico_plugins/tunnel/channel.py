"""One channel of a tunnel: whole messages in both directions, each side no further ahead than it may be."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from .frames import PIECE, WINDOW, Code, Kind, Violation, credit, frame

_AHEAD: Final = 256 * 1024
"""Bytes that wait here to be sent, from which on whoever sends waits."""

_WORTH_IT: Final = WINDOW // 4
"""Bytes from which on credit is given back."""


class ChannelLost(Exception):
    """The channel is closed; its text says why in a word."""


class TooLong(Exception):
    """A message is longer than the other side takes; nothing of it is sent."""


class Channel:
    """One channel.

    Args:
        number: Its number on its tunnel.
        longest: Bytes of a message that are taken.
        most: Bytes of a message that the other side takes.
        urgent: Sends a small frame before everything else.
        wake: Tells the tunnel that there is something to send.
        forget: Tells the tunnel that it is closed.

    Attributes:
        received: Takes each message. Set before any can come.
        on_lost: Told once, in a word, why it is closed, unless this side closed it.
        lost: Why it is closed; "" while it is open.
    """

    def __init__(
        self,
        number: int,
        longest: int,
        most: int,
        urgent: Callable[[bytes], None],
        wake: Callable[[Channel], None],
        forget: Callable[[Channel], None],
    ) -> None:
        self.number = number
        self.received: Callable[[bytes], None] = lambda _: None
        self.on_lost: Callable[[str], None] = lambda _: None
        self.lost = ""
        self._longest = longest
        self._most = most
        self._urgent = urgent
        self._wake = wake
        self._forget = forget
        self._out: deque[bytes] = deque()
        self._sent = 0
        self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()
        self._sent_all = asyncio.Event()
        self._credit = WINDOW
        self._in = bytearray()
        self._unpaid = 0
        self._held = 0
        self._allowed = WINDOW

    # --- out --------------------------------------------------------------------------------------

    async def send(self, message: bytes) -> None:
        """Have a message sent; waits while the other side is slow.

        Raises:
            ChannelLost: It is closed.
            TooLong: The other side would not take it.
        """
        while not self._room.is_set():
            await self._room.wait()
        self.post(message)

    def post(self, message: bytes) -> None:
        """Have a message sent, whoever is slow.

        Raises:
            ChannelLost: It is closed.
            TooLong: The other side would not take it.
        """
        if self.lost:
            raise ChannelLost(self.lost)
        if len(message) > self._most:
            raise TooLong
        self._out.append(message)
        self._waiting += len(message)
        if self._waiting > _AHEAD:
            self._room.clear()
        if self._credit:
            self._wake(self)

    async def flush(self) -> None:
        """Return when everything has been sent, or never will be."""
        while self._out:
            self._sent_all.clear()
            await self._sent_all.wait()

    def piece(self) -> bytes | None:
        """The next frame to send; None when there is none, or no credit."""
        if not self._out or not self._credit:
            return None
        message = self._out[0]
        end = min(self._sent + min(PIECE, self._credit), len(message))
        part = memoryview(message)[self._sent : end]
        last = end == len(message)
        self._credit -= len(part)
        self._waiting -= len(part)
        if last:
            self._out.popleft()
            self._sent = 0
            self._sent_all.set()
        else:
            self._sent = end
        if self._waiting <= _AHEAD:
            self._room.set()
        return frame(Kind.LAST if last else Kind.MORE, self.number, part)

    @property
    def ready(self) -> bool:
        """Whether there is something that may be sent."""
        return bool(self._out) and self._credit > 0

    @property
    def idle(self) -> bool:
        """Whether everything has been sent."""
        return not self._out

    def credited(self, count: int) -> None:
        """The other side has taken so many bytes.

        Raises:
            Violation: More than it was sent.
        """
        if not 0 < count <= WINDOW - self._credit:
            raise Violation("credit_out_of_range")
        self._credit += count
        if self._out:
            self._wake(self)

    # --- in ---------------------------------------------------------------------------------------

    def take(self, part: memoryview, last: bool) -> None:
        """Take a piece.

        Raises:
            Violation: It is longer than it may be by now, or empty.
        """
        size = len(part)
        if size > self._allowed or not size:
            raise Violation("credit_exceeded" if size else "empty_piece", Code.BROKEN)
        self._allowed -= size
        self._unpaid += size
        if len(self._in) + size > self._longest:
            self.close("message_too_large")
            self.on_lost("message_too_large")
            return
        self._in += part
        if not last:
            self._pay()
            return
        message = bytes(self._in)
        self._in.clear()
        self._held += len(message)
        self.received(message)

    def consumed(self, message: bytes) -> None:
        """A message that `received` was given needs no room any more."""
        self._held -= len(message)
        self._pay()

    def _pay(self) -> None:
        """Give credit back, unless whole messages wait here: a long one gets room to become whole."""
        if self._held or self._unpaid < _WORTH_IT or self.lost:
            return
        count, self._unpaid = self._unpaid, 0
        self._allowed += count
        self._urgent(credit(self.number, count))

    # --- the end ----------------------------------------------------------------------------------

    def close(self, why: str = "done") -> None:
        """Close it; the other side is told why."""
        if not self.lost:
            self._urgent(frame(Kind.CLOSE, self.number, why.encode()))
            self._end(why)

    def lose(self, why: str) -> None:
        """It is closed by the other side, or with the tunnel."""
        if not self.lost:
            self._end(why)
            self.on_lost(why)

    def _end(self, why: str) -> None:
        self.lost = why
        self._out.clear()
        self._in.clear()
        self._room.set()
        self._sent_all.set()
        self._forget(self)
