"""Work that is done a little at a time, so that whatever else the event loop has to do comes between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Final, TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work that pauses often (after some 100 us, say) and gives its result at last."""

SLICE: Final = 0.001
"""Seconds of it at a time."""


def finished(steps: Steps[T]) -> T:
    """The result of work done all at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def slice_of(steps: Steps[T]) -> bool:
    """Do a slice of some work; whether there is more. Its result, if it has one, is not asked for."""
    until = time.perf_counter() + SLICE
    return any(time.perf_counter() >= until for _ in steps)


async def unhurried(steps: Steps[T]) -> T:
    """The result of work done in slices, with the rest of the event loop's between them."""
    until = time.perf_counter() + SLICE
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if time.perf_counter() >= until:
            await asyncio.sleep(0)
            until = time.perf_counter() + SLICE
