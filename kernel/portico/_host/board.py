"""What the workers of a gateway know of each other at any moment: a page of memory that they share.

Each worker has a slot: how many connections it has open, and when its event loop last turned. With the first,
workers that accept on the same sockets take as many connections each; with the second, they do not wait for
one that is stuck, and the supervisor finds it.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Final

_SLOTS: Final = 2047
_SIZE: Final = (1 + _SLOTS) * 16
_LEAD: Final = 4
"""How many connections more than the worker with the fewest a worker takes without waiting for it."""

_STUCK_MS: Final = 500
"""A worker whose loop has not turned for so long is not waited for."""

_ALL: Final = 1 << 30


class Board:
    """The page. Made by the supervisor; the others map what it made.

    Args:
        fd: Of a page that is there already; None makes one.

    Attributes:
        fd: Its file, to hand on; closed with the board.
    """

    def __init__(self, fd: int | None = None) -> None:
        self.fd = _file() if fd is None else fd
        # Integers of eight bytes are written and read whole. The first says how many slots to look at.
        self._words = memoryview(mmap.mmap(self.fd, _SIZE)).cast("q")
        self._free = list(range(_SLOTS, 0, -1))

    def claim(self) -> int:
        """A slot for a new worker: the first that is free.

        Raises:
            IndexError: There is none.
        """
        slot = self._free.pop()
        self._words[0] = max(self._words[0], slot)
        return slot

    def release(self, slot: int) -> None:
        """A worker has ended."""
        self._words[2 * slot] = self._words[2 * slot + 1] = 0
        self._free.append(slot)
        self._free.sort(reverse=True)

    def held(self, slot: int) -> int | None:
        """How many connections a worker has open; None if it takes none."""
        held = self._words[2 * slot]
        return held - 1 if held else None

    def hold(self, slot: int, held: int | None) -> None:
        """Say how many connections a worker has open; None: it takes none any more."""
        self._words[2 * slot] = 0 if held is None else held + 1

    def turned(self, slot: int) -> int:
        """When a worker's loop last turned: milliseconds on the monotonic clock, 0 for never."""
        return self._words[2 * slot + 1]

    def turn(self, slot: int) -> None:
        """A worker's loop turns."""
        self._words[2 * slot + 1] = time.monotonic_ns() // 1_000_000

    def fewest(self, but: int) -> int | None:
        """The fewest connections that a worker has which takes some and is not stuck; one is left aside."""
        words = self._words
        since = time.monotonic_ns() // 1_000_000 - _STUCK_MS
        found: int | None = None
        for slot in range(1, words[0] + 1):
            held = words[2 * slot]
            if held and slot != but and words[2 * slot + 1] >= since and (found is None or held <= found):
                found = held - 1
        return found

    def close(self) -> None:
        """Part with the file; what is mapped stays."""
        os.close(self.fd)


def _file() -> int:
    if sys.platform == "linux":
        fd = os.memfd_create("portico")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, _SIZE)
    return fd


class Slot:
    """A worker's own place on the board. Implements `contracts.Share`.

    Attributes:
        eager: Whether the connection that comes next may be one that this worker needs: then none is left to
            the others, however many are open here.
    """

    def __init__(self, board: Board, number: int) -> None:
        self.board = board
        self.number = number
        self.eager: Callable[[], bool] = lambda: False

    def hold(self, held: int | None) -> None:
        """See `contracts.Share`."""
        self.board.hold(self.number, held)

    def room(self, held: int) -> int:
        """See `contracts.Share`."""
        fewest = self.board.fewest(self.number)
        room = _ALL if fewest is None else fewest + _LEAD - held
        return max(room, 1) if room < 1 and self.eager() else room

    def turn(self) -> None:
        """The event loop turns."""
        self.board.turn(self.number)
