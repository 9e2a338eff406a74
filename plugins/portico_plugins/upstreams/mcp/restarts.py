"""How often something that ends by itself may be started again, and how soon."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


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
