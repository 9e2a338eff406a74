"""How soon a server that fails is tried again."""

from __future__ import annotations

import random


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
