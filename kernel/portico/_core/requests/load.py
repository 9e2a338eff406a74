"""How much is going on in this process, and whether more is taken on."""

from __future__ import annotations

from portico._core.errors import OVERLOADED, SHUTTING_DOWN, Refused, failure
from portico._core.protocol.call import Call


class Load:
    """How many exchanges are in flight in this process, and whether more are welcome.

    Attributes:
        most: How many there may be.
        calls: Those that are.
        draining: Whether the process is about to end.
        strain: Why no more are taken on just now ("loop_lag", "memory"); "" if they are.
        lag: Seconds the event loop was late when that was last looked at.
        refused: How many were refused because of that, or because there were too many.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.calls: set[Call] = set()
        self.draining = False
        self.strain = ""
        self.lag = 0.0
        self.refused = 0

    def take_on(self) -> None:
        """Whether one more is welcome.

        Raises:
            Refused: 50302 or 50303: it is not.
        """
        if self.draining:
            raise failure(SHUTTING_DOWN, "The gateway is shutting down", reason="shutting_down")
        if len(self.calls) >= self.most:
            raise self.refusal("in_flight_limit")
        if self.strain:
            raise self.refusal(self.strain)

    def refusal(self, reason: str) -> Refused:
        """What to answer a request with that is not taken on."""
        self.refused += 1
        return failure(OVERLOADED, "The gateway is busy; try again shortly", reason=reason)
