"""Frames on their way to one client: bounded, waited for, and (legacy) remembered for resumption."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import Final, Protocol

import attrs

MAX_UNREAD: Final = 64
MAX_UNREAD_BYTES: Final = 1 << 20
KEEP_EVENTS: Final = 256
_SOON: Final = 0.001
MOST_UNREAD: Final = 1024
MOST_UNREAD_BYTES: Final = 8 << 20


@attrs.frozen
class Unread:
    """How far behind a client may be with one stream.

    Attributes:
        frames: Frames it has not taken.
        bytes: The same in bytes; a single frame may be longer.
    """

    frames: int = MAX_UNREAD
    bytes: int = MAX_UNREAD_BYTES


DEFAULT_UNREAD: Final = Unread()


class Sink(Protocol):
    """Takes frames: a stream of its own, or the one pipe of a stdio session."""

    @property
    def attached(self) -> bool:
        """Whether somebody reads just now."""
        ...

    def push(self, frame: bytes) -> None:
        """Take a frame at once."""
        ...

    async def put(self, frame: bytes) -> None:
        """Take a frame, when the reader has caught up."""
        ...

    def offer(self, frame: bytes) -> bool:
        """Take a frame at once, unless the reader has to catch up first; whether it was taken."""
        ...

    def end(self, *last: bytes) -> None:
        """No more frames will come, after this one if there is one; it may come in pieces."""
        ...


class Stream:
    """Numbered frames with at most one reader at a time, who may come back for what it missed.

    Frames the reader has had are kept up to `KEEP_EVENTS` and `MAX_UNREAD_BYTES` (the bounded event log of
    2025-11-25, resumability). While nobody reads, the oldest go first.

    Args:
        ident: Names the stream in event ids.
        unread: How far behind its reader may be before `put` waits.
        notices: It carries what nobody can be made to wait with. If its reader is stalled and that far
            behind, it ends: going on as though nothing was missing would be worse.

    Attributes:
        stalled: The reader can take nothing just now, since its client does not.
    """

    __slots__ = (
        "_bytes",
        "_due",
        "_events",
        "_read",
        "_room",
        "_timer",
        "_waiter",
        "ended",
        "ident",
        "last",
        "notices",
        "reader",
        "retry",
        "stalled",
        "unread",
    )

    def __init__(self, ident: str = "", unread: Unread = DEFAULT_UNREAD, notices: bool = False) -> None:
        self.ident = ident
        self.unread = unread
        self.notices = notices
        self.stalled = False
        self.last = 0
        self.ended = False
        self.reader: object | None = None
        self.retry: int | None = None
        self._events: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._read = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    @property
    def attached(self) -> bool:
        """Whether somebody reads just now."""
        return self.reader is not None

    def attach(self) -> object:
        """Begin to read, in place of whoever did; gives the token that `reader` is while this lasts."""
        self.reader = reader = object()
        self.wake()
        return reader

    def detach(self, reader: object) -> None:
        """Stop reading, unless another reader has taken over."""
        if self.reader is reader:
            self.reader = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._make_room()  # whoever waits for a reader that has left would wait for ever

    def push(self, frame: bytes) -> None:
        """Take a frame at once, forgetting the oldest beyond the limits."""
        if self.ended:
            return
        if self.stalled and self.notices and self._behind():
            self.end()
            return
        self.last += 1
        self._events.append((self.last, frame))
        self._bytes += len(frame)
        while len(self._events) > KEEP_EVENTS or (self._bytes > MAX_UNREAD_BYTES and len(self._events) > 1):
            unread = self.attached and self._events[0][0] > self._read
            if unread and len(self._events) <= MOST_UNREAD and self._bytes - len(frame) <= MOST_UNREAD_BYTES:
                break  # a reader is entitled to what it has not had yet, unless it has stopped reading
            self._bytes -= len(self._events.popleft()[1])
        self.wake()

    async def put(self, frame: bytes) -> None:
        """Take a frame once the reader is less than `unread` behind; at once if nobody reads."""
        while self.attached and not self.ended and self._behind():
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)
        self.push(frame)

    def offer(self, frame: bytes) -> bool:
        """Take a frame unless `put` would wait."""
        if self.reader is not None and self._behind() and not self.ended:
            return False
        self.push(frame)
        return True

    def _behind(self) -> bool:
        unread = self.last - self._read
        return unread >= self.unread.frames or (unread > 1 and self._bytes > self.unread.bytes)

    def end(self, *last: bytes) -> None:
        """No more frames will come, after `last` if there is one; the reader finishes what there is."""
        if last:
            self.push(b"".join(last))
        self.ended = True
        self.wake()
        self._make_room()

    def poll(self, retry_ms: int) -> None:
        """Send the reader away; it shall come back for the rest after `retry_ms`."""
        self.retry = retry_ms
        self.wake()

    def wake(self) -> None:
        """Let the reader look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _make_room(self) -> None:
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None

    def ready(self, after: int) -> bool:
        """Whether `take` would return at once."""
        return self.last > after or self.ended or self.retry is not None

    async def wait(self, after: int, seconds: float) -> bool:
        """Wait up to `seconds` for something to take; whether there is."""
        if not self.ready(after):
            loop = asyncio.get_running_loop()
            # One timer for many frames: it is not moved with each, it looks when it fires.
            self._due = due = loop.time() + seconds
            if self._timer is not None and self._timer.when() > due:
                self._timer.cancel()
                self._timer = None
            if self._timer is None:
                self._timer = loop.call_at(due, self._ring)
            self._waiter = loop.create_future()
            await self._waiter
        return self.ready(after)

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        if self._due <= loop.time() + _SOON:
            self.wake()
        elif self._waiter is not None and not self._waiter.done():
            self._timer = loop.call_at(self._due, self._ring)

    def take(self, after: int) -> list[tuple[int, bytes]]:
        """The frames after number `after`, and take note that they were read."""
        self._read = max(self._read, self.last)
        self._make_room()
        events = self._events
        # They are numbered without a gap, and nearly always it is the last few of many.
        found = list(islice(reversed(events), min(max(self.last - after, 0), len(events))))
        found.reverse()
        return found
