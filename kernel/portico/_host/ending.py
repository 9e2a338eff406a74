"""How serving ends, and what a process does that only serves from now on."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs


@attrs.frozen(eq=False)
class Ending:
    """How a serving gateway is told to end.

    Attributes:
        stop: Set when it is to end in good order.
        hurry: Set when it is to end at once.
        retired: Set, before `stop`, when other workers take its place: then clients get time to move over,
            and to come back to parked calls.
    """

    stop: asyncio.Event = attrs.field(factory=asyncio.Event)
    hurry: asyncio.Event = attrs.field(factory=asyncio.Event)
    retired: asyncio.Event = attrs.field(factory=asyncio.Event)

    def signal(self) -> None:
        """The first time, end in good order; the second, at once."""
        (self.hurry if self.stop.is_set() else self.stop).set()

    def retire(self) -> None:
        """Other workers take its place."""
        self.retired.set()
        self.stop.set()


@contextmanager
def signals(handler: Callable[[], object], *numbers: signal.Signals) -> Iterator[None]:
    """Have the running loop call `handler` on these signals."""
    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def settle() -> None:
    """Keep what is alive now out of every later garbage collection; for a process that only serves."""
    gc.collect()
    gc.freeze()
    # Python puts a full collection off until a quarter of what the last one left is new. What is frozen is
    # never looked at and must not count, or what is left of a million calls would pile up before the next.
    gc.collect()
    gc.set_threshold(20_000, 20, 10)
