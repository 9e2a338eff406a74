"""When the catalog is looked at anew: soon after something was said, in slices, and not all the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from portico._core.steps import Steps, slice_of

_REST: Final = 2
"""After a look at the catalog, as many times its duration belong to everything else first."""

_LONGEST_REST: Final = 0.25
_AGAIN: Final = 5.0
"""Seconds after which what broke is tried again."""

_SHORT: Final = 0.005
"""Seconds; a shorter look is followed by the next at once."""


class Looks:
    """Has one look at a time, and the next when one is due.

    Args:
        begin: Begins a look.
        after: Asked when one broke; gives what to call in a while, so that what it was for is seen yet.
    """

    def __init__(self, begin: Callable[[], Steps[None]], after: Callable[[], Callable[[], None]]) -> None:
        self._begin = begin
        self._after = after
        self._looks = 0
        self._look: Steps[None] | None = None
        self._looked = 0.0
        self._ended = 0.0
        self._due = False
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []

    async def looked(self) -> None:
        """Return when everything said until now has been seen."""
        if self._due or self._look is not None:
            # One that has begun may have passed by what was said since.
            needed = self._looks + (2 if self._look is not None and self._due else 1)
            done = asyncio.get_running_loop().create_future()
            self._awaited.append((needed, done))
            await done

    def soon(self) -> None:
        """Something is new: a look is due."""
        if not self._due:
            self._due = True
            if self._look is None:
                self._schedule()

    def _schedule(self) -> None:
        """Begin the look that is due: at once after a short one, else when others had their time."""
        loop = asyncio.get_running_loop()
        rest = self._ended + min(self._looked * _REST, _LONGEST_REST) - time.perf_counter()
        if self._looked < _SHORT or rest <= 0:
            loop.call_soon(self._go_on)
        else:
            loop.call_later(rest, self._go_on)

    def _go_on(self) -> None:
        """Look on for a moment, or begin to."""
        if self._look is None:
            self._look, self._looked, self._due = self._begin(), 0.0, False
        began, more = time.perf_counter(), False
        try:
            more = slice_of(self._look)
        except Exception:
            asyncio.get_running_loop().call_later(_AGAIN, self._after())
            raise
        finally:  # what breaks one look breaks neither the next nor who waits for it
            self._ended = time.perf_counter()
            self._looked += self._ended - began
            if more:
                asyncio.get_running_loop().call_soon(self._go_on)
            else:
                self._look = None
                self._over()

    def _over(self) -> None:
        self._looks += 1
        waiting, self._awaited = self._awaited, []
        for needed, done in waiting:
            if needed > self._looks:
                self._awaited.append((needed, done))
            elif not done.done():
                done.set_result(None)
        if self._due:
            self._schedule()
