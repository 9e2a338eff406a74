"""Whether this process can take more work: how late its event loop is, and how large its memory."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable
from functools import partial
from typing import Final

from portico._config.tables import GatewaySettings
from portico._core.contracts.clock import Clock
from portico._core.contracts.log import Log
from portico._core.requests.load import Load
from portico._host.system import memory, memory_limit

EACH: Final = 0.1
"""Seconds between two looks."""

_TWICE: Final = 2
"""How many late looks in a row are too many. One is a pause, and what waited for its end is still served."""

_CALM: Final = 5
"""How many calm looks in a row end it."""


class Strain:
    """Sets `Load.strain` while the loop is too late or memory too large, and says so in the log.

    Args:
        load: What refuses work; costs it no more than reading an attribute.
        clock: Time.
        log: The kernel's.
        max_lag: Seconds the loop may be late; 0 for any.
        max_memory: Bytes this process may have; 0 for any.
        memory: Reads how many it has.
        turned: Told at each look that the loop turns.
    """

    def __init__(
        self,
        load: Load,
        clock: Clock,
        log: Log,
        *,
        max_lag: float,
        max_memory: int,
        memory: Callable[[], int | None],
        turned: Callable[[], object] | None = None,
    ) -> None:
        self._load = load
        self._clock = clock
        self._log = log
        self._max_lag = max_lag
        self._max_memory = max_memory
        self._memory = memory
        self._turned = turned
        self._due = 0.0
        self._late = 0
        self._calm = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look every `EACH` seconds, on the running loop, from now on."""
        self._due = self._clock.monotonic() + EACH
        self._timer = asyncio.get_running_loop().call_later(EACH, self._again)
        if self._turned is not None:
            self._turned()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _again(self) -> None:
        lag = max(self._clock.monotonic() - self._due, 0.0)
        self.start()
        self.look(lag)

    def look(self, lag: float) -> None:
        """Judge.

        Args:
            lag: Seconds the loop is late.
        """
        self._load.lag = lag
        used = self._memory() if self._max_memory else None
        strain, calm = self._judged(lag, used or 0)
        if strain:
            self._calm = 0
            if not self._load.strain:
                if strain == "memory":
                    gc.collect()  # nobody knows when the collector would next look at what has grown old
                self._log.warning("load.refusing", reason=strain, lag=round(lag, 3), memory=used)
                self._load.strain = strain
        elif self._load.strain:
            self._calm = self._calm + 1 if calm else 0
            if self._calm >= _CALM:
                self._calm = 0
                self._log.info("load.accepting", after=self._load.strain, refused=self._load.refused)
                self._load.strain = ""

    def _judged(self, lag: float, used: int) -> tuple[str, bool]:
        """Why to refuse work, "" if it is not; and whether all is well below what it may be."""
        late = bool(self._max_lag) and lag > self._max_lag
        self._late = self._late + 1 if late else 0
        if self._max_memory and used > self._max_memory:
            return "memory", False
        if self._late >= _TWICE:
            return "loop_lag", False
        calm = not self._max_lag or lag <= self._max_lag / 2
        return "", calm and (not self._max_memory or used <= self._max_memory * 0.95)


def strain_of(
    gateway: GatewaySettings, load: Load, clock: Clock, log: Log, turned: Callable[[], object] | None
) -> Strain:
    """What watches this process, as it is configured."""
    most = gateway.max_memory
    if most is None:
        most = (memory_limit() or 0) * 9 // 10 // gateway.workers
    return Strain(
        load,
        clock,
        log,
        max_lag=gateway.max_loop_lag,
        max_memory=most,
        memory=partial(memory, os.getpid()),
        turned=turned,
    )
