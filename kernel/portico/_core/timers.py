"""Deadlines by the thousand: those of the same twentieth of a second share one timer of the loop.

Most deadlines are cancelled long before they are due. A timer of the loop costs a heap entry and a handle
each; here, setting and cancelling one is a dictionary entry. The price is that one may be `TICK` late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

TICK: Final = 0.05
"""Seconds by which a timer may be late."""
_EARLY: Final = 0.002
"""Loops that count milliseconds may call a little too soon."""


class Timer:
    """Something to be called at its time, unless it is cancelled before."""

    __slots__ = ("_args", "_call", "_shelf")

    def __init__(
        self, shelf: dict[Timer, None], call: Callable[..., object] | None, args: tuple[Any, ...]
    ) -> None:
        self._shelf = shelf
        self._call = call
        self._args = args
        shelf[self] = None

    def cancel(self) -> None:
        """It will not be called; doing so twice, or when it has been, changes nothing."""
        if self._call is not None:
            self._call = None
            self._args = ()
            self._shelf.pop(self, None)

    def ring(self) -> None:
        """Call it, unless one that rang in the same moment has cancelled it."""
        call, args = self._call, self._args
        self._call, self._args = None, ()
        if call is not None:
            call(*args)


class Timers:
    """The timers of one event loop.

    Args:
        loop: It.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._shelves: dict[int, dict[Timer, None]] = {}
        self._armed: asyncio.TimerHandle | None = None
        self._next = 0

    def at(self, when: float, call: Callable[..., object], *args: Any) -> Timer:
        """Have `call(*args)` called at a time of the loop's clock, or up to `TICK` seconds after it."""
        number = int(when / TICK) + 1
        shelf = self._shelves.get(number)
        if shelf is None:
            shelf = self._shelves[number] = {}
            if self._armed is None or number < self._next:
                self._arm(number)
        return Timer(shelf, call, args)

    def after(self, seconds: float, call: Callable[..., object], *args: Any) -> Timer:
        """The same, so many seconds from now."""
        return self.at(self.loop.time() + seconds, call, *args)

    def _arm(self, number: int) -> None:
        if self._armed is not None:
            self._armed.cancel()
        self._next = number
        self._armed = self.loop.call_at(number * TICK, self._ring)

    def _ring(self) -> None:
        self._armed = None
        due = int((self.loop.time() + _EARLY) / TICK)
        for number in sorted(self._shelves):
            shelf = self._shelves[number]
            if number <= due:
                del self._shelves[number]
                for timer in tuple(shelf):
                    # One that fails must not silence the others: the loop reports it like any callback.
                    self.loop.call_soon(timer.ring)
            elif not shelf:
                del self._shelves[number]  # all of them were cancelled
        if self._shelves and self._armed is None:
            self._arm(min(self._shelves))


_running: Timers | None = None


def timers() -> Timers:
    """The timers of the running loop."""
    global _running
    loop = asyncio.get_running_loop()
    if _running is None or _running.loop is not loop:
        _running = Timers(loop)
    return _running
