"""The deadline of one call, which stands still while its client is being asked something."""

from __future__ import annotations

import asyncio
from types import TracebackType

from portico.api import Clock, Exchange


class Limit:
    """An absolute deadline as an async context manager; leaves it with `TimeoutError` when it passes.

    Args:
        exchange: Its `deadline` counts, also when it is moved while a client is asked.
        clock: The clock the deadline is on.
        most: The most seconds the call may take, or None.
    """

    __slots__ = ("_asking", "_clock", "_exchange", "_left", "_over", "_timeout")

    def __init__(self, exchange: Exchange, clock: Clock, most: float | None) -> None:
        self._exchange = exchange
        self._clock = clock
        left = exchange.deadline - clock.monotonic()
        self._left = left if most is None else min(left, most)
        self._asking = 0
        self._over = False
        self._timeout = asyncio.timeout(max(self._left, 0))

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        await self._timeout.__aexit__(kind, error, trace)

    def pause(self) -> None:
        """A client is being asked: its time does not count."""
        self._asking += 1
        when = self._timeout.when()
        if self._asking == 1 and not self._over and not self._timeout.expired() and when is not None:
            self._left = when - asyncio.get_running_loop().time()
            self._timeout.reschedule(None)

    def resume(self) -> None:
        """The client has answered."""
        self._asking -= 1
        if self._asking == 0 and not self._over and not self._timeout.expired():
            left = max(self._left, self._exchange.deadline - self._clock.monotonic())
            self._timeout.reschedule(asyncio.get_running_loop().time() + left)
