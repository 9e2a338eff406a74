"""Frames on their way to the one client of a connection."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import attrs

from portico.api import Unread

MOST_FRAMES: Final = 1024
MOST_BYTES: Final = 8 << 20


@attrs.frozen
class Bounds:
    """How far behind a client may be.

    Attributes:
        unread: From here on it is waited for by whoever can wait.
        most_frames: More than this many frames it has not taken end the conversation.
        most_bytes: The same in bytes; a single frame may be longer.
    """

    unread: Unread
    most_frames: int = MOST_FRAMES
    most_bytes: int = MOST_BYTES


class Outbox:
    """The one sink of a conversation: what is pushed waits here until it is taken.

    Args:
        bounds: What may wait. Some frames come from those who cannot wait (answers, notices), so a client
            that takes nothing has to be given up at some point.

    Attributes:
        overrun: Whether the client was so far behind that it was given up.
    """

    attached = True

    def __init__(self, bounds: Bounds) -> None:
        self.overrun = False
        self._bounds = bounds
        self._frames: list[bytes] = []
        self._bytes = 0
        self._closed = False
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    @property
    def behind(self) -> bool:
        """Whether the client has to catch up."""
        return not self._drained.is_set()

    def push(self, frame: bytes) -> None:
        """Take a frame at once."""
        if self._closed:
            return
        before, bounds = self._bytes, self._bounds
        self._frames.append(frame)
        self._bytes += len(frame)
        if len(self._frames) > bounds.unread.frames or before > bounds.unread.bytes:
            self._drained.clear()
            if len(self._frames) > bounds.most_frames or before > bounds.most_bytes:
                self.overrun = True
                self._frames.clear()
                self.close()
        self._wake.set()

    async def put(self, frame: bytes) -> None:
        """Take a frame when the client has caught up."""
        await self._drained.wait()
        self.push(frame)

    def offer(self, frame: bytes) -> bool:
        """Take a frame at once, unless the client has to catch up first."""
        if self.behind:
            return False
        self.push(frame)
        return True

    async def room(self) -> None:
        """Wait until the client has caught up: who does not read is not listened to either."""
        await self._drained.wait()

    def end(self, *last: bytes) -> None:
        """One message is answered; the conversation goes on."""
        if last:
            self.push(b"".join(last))

    def close(self) -> None:
        """What there is may still be taken; then there will be no more. Nobody is waited for any longer."""
        self._closed = True
        self._wake.set()
        self._drained.set()

    async def take(self, seconds: float | None = None) -> list[bytes] | None:
        """The frames that wait, once there are any; what was taken before has been written by now.

        Args:
            seconds: After which the list is empty, if nothing has come.

        Returns:
            The frames; None when the outbox is closed and empty.
        """
        unread = self._bounds.unread
        if len(self._frames) <= unread.frames and self._bytes <= unread.bytes:
            self._drained.set()
        if not self._frames and not self._closed:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
        frames, self._frames, self._bytes = self._frames, [], 0
        return frames if frames or not self._closed else None
