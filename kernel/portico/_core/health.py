"""How an upstream is: what it says of itself, and what probing it shows. No I/O, no clock of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from portico._core.contracts.upstreams import Offer, State, Upstream

_RETRY = 1.0
"""Seconds to the next probe after the first that failed."""
_LONGEST = 30.0
"""Seconds between probes of an upstream that does not answer, unless they are further apart anyway."""
_JITTER = 0.2


@attrs.frozen
class Condition:
    """How an upstream is.

    Attributes:
        state: In a word.
        reason: Why it is not ready; "" when it is.
        since: When it came into this state, in seconds since 1970; 0 for not known.
    """

    state: State
    reason: str = ""
    since: float = 0.0


class Health:
    """The health of one upstream.

    What an upstream says of itself holds as soon as it says so: it has a connection to lose. While it says
    that it is ready, failed probes count: `threshold` of them in a row change the state, one that is answered
    changes it back.

    Args:
        threshold: How many probes in a row have to fail.
        now: Seconds since 1970.
    """

    def __init__(self, threshold: int, now: float) -> None:
        self._threshold = threshold
        self._failed = 0
        self._says: tuple[State, str] = (State.STARTING, "")
        self._found: tuple[State, str] | None = None
        self._condition = Condition(State.STARTING, "", now)

    @property
    def condition(self) -> Condition:
        """How it is."""
        return self._condition

    @property
    def probed(self) -> bool:
        """Whether probing has anything to find out: what says that it is not ready recovers by itself."""
        return self._says[0] is State.READY

    def says(self, state: State, reason: str, now: float) -> None:
        """The upstream says how it is; being ready again makes up for probes that failed before."""
        if state is not State.READY or self._says[0] is not State.READY:
            self._failed, self._found = 0, None
        self._says = (state, "" if state is State.READY else reason)
        self._settle(now)

    def answered(self, now: float) -> bool:
        """A probe was answered; gives whether that is news."""
        back = self._found is not None
        self._failed, self._found = 0, None
        self._settle(now)
        return back

    def failed(self, state: State, reason: str, now: float) -> bool:
        """A probe failed; gives whether the upstream is taken for away from now on.

        Args:
            state: What a single failure would show: `degraded` or `unavailable`.
            reason: Why.
            now: Seconds since 1970.
        """
        before = self._found
        self._failed += 1
        if self._failed >= self._threshold:
            self._found = (state, reason)
            self._settle(now)
        return self._found is not None and (before is None or before[0] is not state)

    def takes_over(self, condition: Condition) -> None:
        """Whoever probed it before found this; it holds until a probe shows something else."""
        if self.probed and condition.state in (State.DEGRADED, State.UNAVAILABLE):
            self._failed, self._found = self._threshold, (condition.state, condition.reason)
            self._condition = condition
        elif condition.state is self._condition.state:
            self._condition = attrs.evolve(self._condition, since=condition.since)

    def pause(self, interval: float, random: float) -> float:
        """Seconds to the next probe.

        Args:
            interval: Seconds between probes that are answered.
            random: Evenly distributed, at least 0 and below 1.
        """
        seconds = interval
        if self._failed:
            first = min(_RETRY, interval)
            seconds = min(first * 2.0 ** min(self._failed - 1, 30), max(interval, _LONGEST))
        return seconds * (1 - _JITTER + 2 * _JITTER * random)

    def _settle(self, now: float) -> None:
        state, reason = self._found or self._says if self.probed else self._says
        same = state is self._condition.state
        self._condition = Condition(state, reason, self._condition.since if same else now)


class Tending(Protocol):
    """Sees to it that the upstreams are well."""

    def mine(self, name: str) -> bool:
        """Whether an upstream is this worker's to see to."""
        ...

    def changed(self, name: str) -> None:
        """An upstream said something: how it is, or that its offer is another."""
        ...

    def condition(self, name: str) -> Condition:
        """How an upstream is, by all that is known of it."""
        ...

    def offer(self, name: str) -> Offer:
        """What an upstream offers; what it offered last, if it has been away since this process began."""
        ...


class Untended:
    """Nobody does: each upstream is as it says.

    Args:
        upstreams: By name.
    """

    def __init__(self, upstreams: Mapping[str, Upstream]) -> None:
        self._upstreams = upstreams

    def mine(self, name: str) -> bool:
        """All are."""
        return True

    def changed(self, name: str) -> None:
        """Nobody cares."""

    def condition(self, name: str) -> Condition:
        """As it says."""
        return own_word(self._upstreams[name])

    def offer(self, name: str) -> Offer:
        """As it says."""
        return self._upstreams[name].offer


def own_word(upstream: Upstream) -> Condition:
    """What an upstream says of itself."""
    return Condition(upstream.state, "" if upstream.state is State.READY else upstream.reason)


def status(upstreams: Mapping[str, Upstream], tending: Tending) -> dict[str, Any]:
    """Upstreams as this worker has them: one that it has lost is not ready here, whatever others found."""
    shown: dict[str, Any] = {}
    for name, upstream in upstreams.items():
        condition = own_word(upstream)
        if condition.state is State.READY:
            condition = tending.condition(name)
        offer = tending.offer(name)
        shown[name] = {
            "state": str(condition.state),
            **({"reason": condition.reason} if condition.state is not State.READY else {}),
            "tools": len(offer.tools),
            "resources": len(offer.resources) + len(offer.templates),
            "prompts": len(offer.prompts),
        }
    return shown
