"""How soon a server that fails is tried again."""

from __future__ import annotations

import random
from typing import Final

_FIRST: Final = 0.5
_MOST: Final = 30.0


class Backoff:
    """Growing pauses with jitter, so that many gateways do not come back in step."""

    def __init__(self) -> None:
        self._pause = _FIRST

    def next(self) -> float:
        """Seconds to wait now."""
        pause = self._pause
        self._pause = min(pause * 2, _MOST)
        return pause * (0.75 + random.random() / 2)  # noqa: S311

    def reset(self) -> None:
        """It worked."""
        self._pause = _FIRST
