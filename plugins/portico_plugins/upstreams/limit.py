"""The time limit of one call, which stands still while its client is being asked something."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Limit:
    """A limit as an async context manager; leaves it with `TimeoutError` when it passes.

    Args:
        seconds: How long the call may take.
    """

    __slots__ = ("_asking", "_left", "_over", "_timeout")

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._asking = 0
        self._over = False
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

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
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._left)
