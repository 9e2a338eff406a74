"""How long calls wait for a server that was not there at the start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from portico.api import Wiring

_LOOK: Final = 0.1
"""Seconds between two looks at whether there may be calls yet."""


class Grace:
    """So many seconds, from when virtual servers are up: the start of other upstreams does not use them up.

    Args:
        wiring: Has the virtual servers.
        seconds: How many.
        over: Told when they have passed.
    """

    def __init__(self, wiring: Wiring, seconds: float, over: Callable[[], object]) -> None:
        self._wiring = wiring
        self._seconds = seconds
        self._over = over
        self._timer: asyncio.TimerHandle | None = None
        self._look()

    def _look(self) -> None:
        later = asyncio.get_running_loop().call_later
        if self._wiring.endpoints:
            self._timer = later(self._seconds, self._over)
        else:
            self._timer = later(_LOOK, self._look)

    def cancel(self) -> None:
        """Tell nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
