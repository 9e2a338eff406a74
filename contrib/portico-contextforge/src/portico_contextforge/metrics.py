"""Counts of calls, for `/metrics`."""

from __future__ import annotations

from typing import Final

import attrs

from portico.api import Clock, Event, Json
from portico_contextforge.shown import moment

_KINDS: Final = {"tools/call": "tools", "resources/read": "resources", "prompts/get": "prompts"}


@attrs.define
class Count:
    """Calls of one kind of thing.

    Attributes:
        good: How many were answered.
        bad: How many were refused, or failed.
        least: The shortest, in seconds.
        most: The longest.
        total: All together.
        last: When the last one ended; 0 for never.
    """

    good: int = 0
    bad: int = 0
    least: float = 0.0
    most: float = 0.0
    total: float = 0.0
    last: float = 0.0

    def add(self, good: bool, seconds: float, now: float) -> None:
        """Count one."""
        self.least = seconds if not self.good + self.bad else min(self.least, seconds)
        self.most = max(self.most, seconds)
        self.total += seconds
        self.good += good
        self.bad += not good
        self.last = now

    def shown(self) -> Json:
        """As ContextForge shows it."""
        number = self.good + self.bad
        return {
            "totalExecutions": number,
            "successfulExecutions": self.good,
            "failedExecutions": self.bad,
            "failureRate": round(self.bad / number, 4) if number else 0.0,
            "minResponseTime": self.least if number else None,
            "maxResponseTime": self.most if number else None,
            "avgResponseTime": self.total / number if number else None,
            "lastExecutionTime": moment(self.last) if number else None,
        }


class Metrics:
    """An observer that counts the calls of this process since it began.

    Args:
        clock: Time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[str, Count] = {}
        self.reset()

    def reset(self, *kinds: str) -> None:
        """Begin anew, with these kinds or all."""
        for kind in kinds or ("tools", "resources", "servers", "prompts"):
            self._counts[kind] = Count()

    def observe(self, event: Event) -> None:
        """Take note of a call that has ended."""
        if event.name != "call.finished":
            return
        facts, now = event.facts, self._clock.time()
        good, seconds = facts["outcome"] == "ok", facts["ms"] / 1000
        self._counts["servers"].add(good, seconds, now)
        kind = _KINDS.get(facts["method"])
        if kind is not None:
            self._counts[kind].add(good, seconds, now)

    def shown(self) -> Json:
        """Everything that was counted."""
        return {kind: count.shown() for kind, count in self._counts.items()}
