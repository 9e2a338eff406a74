"""Time, as everything in the kernel and in plugins has it."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time, injected so that tests can move it."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def time(self) -> float:
        """Seconds since the epoch."""
        ...
