"""A tunnel: one WebSocket, the channels on it, and whether the other side is still there."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
import msgspec

from portico.api import Clock, Json

from .channel import Channel, ChannelLost
from .frames import Code, Kind, Socket, Violation, count_of, frame, parsed

_TICK: Final = 1.0
"""Seconds between two looks at the clock."""

_MOST_NUMBERS: Final = 2**32 - 1
_CLOSING: Final = 2.0
"""Seconds that closing a WebSocket may take."""


@attrs.frozen
class Pace:
    """When a silent peer is asked, and when it is given up.

    Attributes:
        quiet: Seconds of silence after which it is asked.
        patience: Seconds it has to say anything then.
    """

    quiet: float = 15.0
    patience: float = 10.0


class Link:
    """One tunnel, of either side.

    Args:
        socket: What it runs on, the handshake done.
        clock: Time.
        pace: About silence.
        longest: Bytes of a message that are taken.
        most: Bytes of a message that the other side takes.
        opened: Given each channel that the other side opens, and what it says; None where it may not.

    Attributes:
        channels: Those that are open, by number.
        leaving: Whether the other side wants channels opened elsewhere.
        ended: Why it has ended, in a word; "" while it has not.
        on_change: Told when `leaving` or `ended` is new.
    """

    def __init__(
        self,
        socket: Socket,
        clock: Clock,
        pace: Pace,
        longest: int,
        most: int,
        opened: Callable[[Channel, Json], None] | None = None,
    ) -> None:
        self.channels: dict[int, Channel] = {}
        self.leaving = False
        self.ended = ""
        self.on_change: list[Callable[[], None]] = []
        self._socket = socket
        self._clock = clock
        self._pace = pace
        self._longest = longest
        self._most = most
        self._opened = opened
        self._last = 0
        self._urgent: deque[bytes] = deque()
        self._turns: deque[Channel] = deque()
        self._wake = asyncio.Event()
        self._flushed = asyncio.Event()
        self._over = asyncio.Event()
        self._code = Code.DONE
        self._heard = clock.monotonic()
        self._asked: float | None = None
        self._pong = False
        self._retired = False

    # --- the life of it -----------------------------------------------------------------------------

    async def run(self) -> str:
        """Carry messages until it ends; gives why, in a word."""
        tasks = [asyncio.create_task(work()) for work in (self._read, self._write, self._watch)]
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait([*tasks, over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.end("gone")
            for task in (*tasks, over):
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CLOSING):
                    await self._socket.close(self._code, self.ended)
        for each in ends:
            if isinstance(each, Exception):
                raise each
        return self.ended

    def end(self, why: str, code: Code = Code.DONE) -> None:
        """End it at once, with everything on it."""
        if self.ended:
            return
        self.ended, self._code = why, code
        for channel in list(self.channels.values()):
            channel.lose(why)
        self._over.set()
        self._tell()

    def leave(self) -> None:
        """Ask for channels to be opened elsewhere from now on."""
        self._post(frame(Kind.LEAVE))

    def retire(self) -> None:
        """Open no more channels, and end when there are none."""
        if not self.leaving:
            self.leaving = True
            self._tell()
        self._retired = True
        if not self.channels:
            self.end("leaving", Code.AWAY)

    async def flush(self, seconds: float) -> None:
        """Return when everything has been sent, or so many seconds have passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.ended and (self._urgent or not all(c.idle for c in self.channels.values())):
                    self._flushed.clear()
                    await self._flushed.wait()

    def _tell(self) -> None:
        for tell in list(self.on_change):
            tell()

    # --- channels -----------------------------------------------------------------------------------

    def open(self, said: Json) -> Channel:
        """Open a channel.

        Raises:
            ChannelLost: The tunnel has ended, or takes no more.
        """
        if self.ended or self.leaving or self._last >= _MOST_NUMBERS:
            raise ChannelLost(self.ended or "leaving")
        self._last += 1
        self._post(frame(Kind.OPEN, self._last, msgspec.json.encode(said)))
        return self._channel(self._last)

    def _channel(self, number: int) -> Channel:
        channel = Channel(number, self._longest, self._most, self._post, self._turn, self._forget)
        self.channels[number] = channel
        return channel

    def _forget(self, channel: Channel) -> None:
        self.channels.pop(channel.number, None)
        self._flushed.set()
        if self._retired and not self.channels:
            self.end("leaving", Code.AWAY)

    # --- out ----------------------------------------------------------------------------------------

    def _post(self, data: bytes) -> None:
        self._urgent.append(data)
        self._wake.set()

    def _turn(self, channel: Channel) -> None:
        if channel not in self._turns:
            self._turns.append(channel)
        self._wake.set()

    async def _write(self) -> None:
        """Send what there is: small frames first, then a piece of each channel in turn."""
        try:
            while True:
                while self._urgent:
                    await self._socket.send(self._urgent.popleft())
                if self._pong:
                    self._pong = False
                    await self._socket.send(frame(Kind.PONG))
                if self._turns:
                    channel = self._turns.popleft()
                    data = channel.piece()
                    if channel.ready:
                        self._turns.append(channel)
                    if data is not None:
                        await self._socket.send(data)
                    continue
                if not self._urgent:
                    self._flushed.set()
                    self._wake.clear()
                    await self._wake.wait()
        except OSError:
            self.end("connection_lost")

    # --- in -----------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while (data := await self._socket.receive()) is not None:
                self.take(data)
            self.end("closed_by_peer")
        except Violation as violation:
            self.end(str(violation), violation.code)
        except OSError:
            self.end("connection_lost")

    def take(self, data: bytes) -> None:
        """Take a frame.

        Raises:
            Violation: It is none, or may not come now.
        """
        self._heard, self._asked = self._clock.monotonic(), None
        kind, number, payload = parsed(data)
        if kind in (Kind.LAST, Kind.MORE):
            channel = self._of(number)
            if channel is not None:
                channel.take(payload, kind is Kind.LAST)
        elif kind is Kind.CREDIT:
            channel = self._of(number)
            if channel is not None:
                channel.credited(count_of(payload))
        elif kind is Kind.PING:
            self._pong = True
            self._wake.set()
        elif kind is Kind.LEAVE:
            self.leaving = True
            self._tell()
        elif kind is Kind.CLOSE:
            channel = self._of(number)
            if channel is not None:
                channel.lose(bytes(payload[:64]).decode("ascii", "replace"))
        elif kind is Kind.OPEN:
            self._open(number, bytes(payload))

    def _of(self, number: int) -> Channel | None:
        """An open channel; None for one that has been closed here, of which the other side may not know."""
        if not 0 < number <= self._last:
            raise Violation("unknown_channel")
        return self.channels.get(number)

    def _open(self, number: int, said: bytes) -> None:
        if self._opened is None or number != self._last + 1:
            raise Violation("unexpected_open")
        try:
            about = msgspec.json.decode(said, type=dict)
        except (ValueError, RecursionError):
            raise Violation("malformed_open") from None
        self._last = number
        self._opened(self._channel(number), about)

    # --- silence ------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self.look()

    def look(self) -> None:
        """Ask a peer that has been silent for long, and give it up when it stays so."""
        now = self._clock.monotonic()
        if self._asked is None:
            if now - self._heard >= self._pace.quiet:
                self._asked = now
                self._post(frame(Kind.PING))
        elif now - self._asked >= self._pace.patience:
            self.end("peer_silent")
