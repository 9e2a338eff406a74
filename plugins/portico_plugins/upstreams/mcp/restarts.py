"""How often something that fails may be tried again, and how soon."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable


class Backoff:
    """Growing pauses with jitter, so that many gateways do not come back in step.

    Args:
        first: Seconds of the first pause.
        most: Seconds of the longest.
    """

    def __init__(self, first: float = 0.5, most: float = 30.0) -> None:
        self._first = first
        self._most = most
        self._pause = first

    def next(self) -> float:
        """Seconds to wait now."""
        pause = self._pause
        self._pause = min(pause * 2, self._most)
        return pause * (0.75 + random.random() / 2)  # noqa: S311

    def reset(self) -> None:
        """It worked."""
        self._pause = self._first


class Restarts:
    """A budget of restarts in a moving window, with growing pauses in between.

    Args:
        budget: How many in one window.
        window: Seconds.
        now: The time, in seconds.
    """

    def __init__(self, budget: int, window: float, now: Callable[[], float]) -> None:
        self._budget = budget
        self._window = window
        self._now = now
        self._crashes: deque[float] = deque()

    def crashed(self) -> None:
        """It ended without being asked to."""
        self._crashes.append(self._now())

    def wait(self) -> float:
        """Seconds until it may be started again; 0 for now."""
        now = self._now()
        while self._crashes and self._crashes[0] <= now - self._window:
            self._crashes.popleft()
        count = len(self._crashes)
        if not count:
            return 0.0
        if count > self._budget:
            return self._crashes[count - self._budget - 1] + self._window - now
        return max(0.0, self._crashes[-1] + min(0.1 * 2.0 ** (count - 1), 10.0) - now)

    @property
    def exhausted(self) -> bool:
        """Whether the budget of this window is used up."""
        self.wait()
        return len(self._crashes) > self._budget
