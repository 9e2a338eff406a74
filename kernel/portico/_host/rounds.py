"""The rounds made of the upstreams: each is probed by one worker, which tells the others what it finds."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec

from portico._config.components import Component
from portico._core.contracts.clock import Clock
from portico._core.contracts.json import Json
from portico._core.contracts.log import Log
from portico._core.contracts.upstreams import Offer, Probed, State
from portico._core.errors import UPSTREAM_UNAVAILABLE, Refused
from portico._core.health import Condition, Health
from portico._core.plane import Plane
from portico._core.timers import timers
from portico._host.known import Known, visits
from portico._host.seen import Due, Seen

_COMES_WITHIN: Final = 30.0
"""Seconds after which one that comes by itself is not about to come any more."""

_LIMIT: Final = 30.0
"""Seconds a probe may take."""


def _after(seconds: float, call: Callable[[], object]) -> Due:
    return timers().after(seconds, call)


class Rounds:
    """Probes the upstreams that are this worker's to probe, and knows how all of them are.

    Args:
        plane: Has the upstreams.
        interval: Seconds between probes of upstreams that do not say otherwise; 0 for none.
        threshold: How many probes in a row have to fail.
        clock: Time.
        log: The kernel's.
        known: Keeps what upstreams offered last; None keeps nothing.
        after: Has something called in so many seconds.
        chance: Random numbers, at least 0 and below 1.

    Attributes:
        tell: Takes what the other workers are to hear; None while there are none.
        quarantined: How many definitions of an upstream wait for approval, and since when.
    """

    def __init__(
        self,
        plane: Plane,
        interval: float,
        threshold: int,
        clock: Clock,
        log: Log,
        known: Known | None = None,
        after: Callable[[float, Callable[[], object]], Due] = _after,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.tell: Callable[[Json], object] | None = None
        self.quarantined: Callable[[str], tuple[int, float]] = lambda name: (0, 0.0)
        self._plane = plane
        self._interval = interval
        self._threshold = threshold
        self._clock = clock
        self._log = log
        self._known = known
        self._after = after
        self._chance = chance
        self._seen: dict[str, Seen] = {}
        self._heard: dict[str, Json] = {}
        self._slots: tuple[int, ...] = ()
        self._slot = 0
        self._refreshing: set[asyncio.Task[None]] = set()
        plane.tending = self

    # --- the upstreams ---------------------------------------------------------------------------------

    def take_up(self, component: Component) -> None:
        """An upstream is there, or has been put in another's place."""
        name = component.name
        self._drop(name)
        health = Health(self._threshold, self._clock.time())
        seen = self._seen[name] = Seen(
            component, health, self._interval_of(component), self._clock.monotonic()
        )
        upstream = self._plane.upstreams.get(name)
        away = upstream is not None and upstream.state is not State.READY
        if away and self._known is not None and self._known.keeps(upstream):
            seen.last = self._known.read(component)
        self.changed(name)

    def adjust(self, component: Component) -> None:
        """An upstream may be probed at other intervals from now on."""
        seen = self._seen.get(component.name)
        interval = self._interval_of(component)
        if seen is not None and seen.interval != interval:
            seen.interval = interval
            seen.quit()
            self._go_on(component.name, seen)

    def _interval_of(self, component: Component) -> float:
        return self._interval if component.health_interval is None else component.health_interval

    def let_go(self, name: str) -> None:
        """An upstream is no more."""
        self._drop(name)
        self._heard.pop(name, None)
        if self._known is not None:
            self._known.forget(name)

    def _drop(self, name: str) -> None:
        seen = self._seen.pop(name, None)
        if seen is not None:
            seen.quit()

    async def close(self) -> None:
        """Make no more rounds."""
        for name in list(self._seen):
            self._drop(name)
        for task in self._refreshing:
            task.cancel()
        if self._known is not None:
            await self._known.close()

    def changed(self, name: str) -> None:
        """An upstream said something: how it is, or that its offer is another."""
        seen, upstream = self._seen.get(name), self._plane.upstreams.get(name)
        if seen is not None and upstream is not None:
            seen.health.says(upstream.state, upstream.reason, self._clock.time())
            if upstream.state is State.READY:
                seen.last = None
                if self._known is not None and self._known.keeps(upstream) and self.mine(name):
                    self._known.keep_soon(seen.component, upstream.offer)
            self._go_on(name, seen)

    def awaiting(self) -> bool:
        """Whether an upstream is missing here that comes by itself, and was there for the workers before."""
        now = self._clock.monotonic()
        return any(
            seen.last is not None
            and now < seen.since + _COMES_WITHIN
            and visits(self._plane.upstreams.get(name))
            for name, seen in self._seen.items()
        )

    def condition(self, name: str) -> Condition:
        """How an upstream is; every worker says the same."""
        seen = self._seen.get(name)
        if seen is None:
            return Condition(State.STOPPED)
        condition = seen.health.condition
        if not self.mine(name) and (heard := self._heard.get(name)) is not None:
            condition = _condition(heard)
        if condition.state is State.READY:
            count, since = self.quarantined(name)
            if count:
                waits = "definition waits" if count == 1 else "definitions wait"
                return Condition(State.QUARANTINED, f"{count} changed {waits} for approval", since)
        return condition

    def offer(self, name: str) -> Offer:
        """What an upstream offers; what it offered last, if it has been away since this process began."""
        seen, offer = self._seen.get(name), self._plane.upstreams[name].offer
        something = offer.tools or offer.resources or offer.templates or offer.prompts
        return offer if something or seen is None or seen.last is None else seen.last

    async def refresh(self, name: str) -> bool:
        """Have an upstream's lists fetched again, by all workers; whether there is one that can."""
        refresh = getattr(self._plane.upstreams.get(name), "refresh", None)
        if refresh is None:
            return False
        await refresh()
        if self.tell is not None:
            self.tell({"refresh": name})
        return True

    # --- probing ---------------------------------------------------------------------------------------

    def _go_on(self, name: str, seen: Seen) -> None:
        """Have the next probe when it is time for it, and the others know what they do not know yet."""
        upstream = self._plane.upstreams.get(name)
        wanted = seen.interval and seen.health.probed and self.mine(name) and isinstance(upstream, Probed)
        if not wanted:
            seen.quit()
        elif seen.due is None and seen.probing is None:
            seconds = seen.health.pause(seen.interval, self._chance())
            if seen.fresh:  # those that begin together are not probed together
                seconds, seen.fresh = seconds * self._chance(), False
            seen.due = self._after(seconds, lambda: self._begin(name, seen))
        self._report(name, seen)

    def _begin(self, name: str, seen: Seen) -> None:
        seen.due = None
        seen.probing = asyncio.get_running_loop().create_task(self._probe(name, seen))

    async def _probe(self, name: str, seen: Seen) -> None:
        upstream: Any = self._plane.upstreams.get(name)
        failed: tuple[State, str] | None = None
        try:
            async with asyncio.timeout(_LIMIT):
                await upstream.probe()
        except Refused as refusal:
            away = refusal.code == UPSTREAM_UNAVAILABLE
            failed = State.UNAVAILABLE if away else State.DEGRADED, _reason(refusal)
        except TimeoutError:
            failed = State.DEGRADED, "probe_timeout"
        except Exception as error:  # a plugin's mistake, which the others are not to suffer for
            self._log.error("upstream.probe_failed", upstream=name, exc_info=error)
            failed = State.DEGRADED, f"the probe failed: {type(error).__name__}"
        seen.probing = None
        if not seen.health.probed:
            return
        now = self._clock.time()
        if failed is None:
            news = seen.health.answered(now)
            if news:
                self._log.info("upstream.back", upstream=name)
        else:
            news = seen.health.failed(*failed, now)
            if news:
                self._log.warning("upstream.away", upstream=name, state=str(failed[0]), reason=failed[1])
        self._go_on(name, seen)
        # One that is back may have other lists; one that has gone begins to look for its server itself.
        if news and (failed is None or failed[0] is State.UNAVAILABLE):
            self._refresh(name)

    def _refresh(self, name: str) -> None:
        refresh = getattr(self._plane.upstreams.get(name), "refresh", None)
        if refresh is not None:
            task = asyncio.get_running_loop().create_task(refresh())
            self._refreshing.add(task)
            task.add_done_callback(self._refreshing.discard)

    # --- the other workers -----------------------------------------------------------------------------

    def mine(self, name: str) -> bool:
        """Whether an upstream is this worker's to see to: of all that are there, each takes its share."""
        if not self._slots:
            return True
        return max(self._slots, key=lambda slot: (_weight(name, slot), slot)) == self._slot

    def hear(self, message: Json) -> None:
        """Take what comes from the other workers, or from the supervisor about them.

        Args:
            message: `{"crew": {"slots", "mine", "heard"}}`: who is there, and what was found before; or
                `{"finding": {...}}`, as another worker's `tell` was given it.
        """
        crew = message.get("crew")
        if crew is not None:
            for finding in crew["heard"]:
                self._listen(finding)
            self._among(crew["slots"], crew["mine"])
        else:
            self._listen(message["finding"])

    def _among(self, slots: Collection[int], mine: int) -> None:
        first = not self._slots
        before = {name for name in self._seen if self.mine(name)}
        self._slots, self._slot = tuple(slots), mine
        for name, seen in self._seen.items():
            if self.mine(name) and name not in before:
                heard = self._heard.get(name)
                if heard is not None:
                    seen.health.takes_over(_condition(heard))
                if not first:
                    self._refresh(name)  # what has changed since its last owner looked
                seen.told = None
            self._go_on(name, seen)

    def _listen(self, finding: Json) -> None:
        if "refresh" in finding:
            self._refresh(finding["refresh"])
            return
        name = finding["name"]
        self._heard[name] = finding
        seen, upstream = self._seen.get(name), self._plane.upstreams.get(name)
        if seen is None or upstream is None or self.mine(name):
            return
        if upstream.state is not State.READY:
            stale = finding["state"] == State.READY
        else:
            stale = bool(finding["digest"]) and finding["digest"] != self._digest(seen, upstream.offer)
        if stale:
            self._refresh(name)

    def _report(self, name: str, seen: Seen) -> None:
        """Tell the others how one of ours is, if that is new."""
        upstream = self._plane.upstreams.get(name)
        if self.tell is None or upstream is None or len(self._slots) < 2 or not self.mine(name):
            return
        condition = seen.health.condition
        finding: Json = {
            "name": name,
            "state": str(condition.state),
            "reason": condition.reason,
            "since": condition.since,
            "digest": self._digest(seen, upstream.offer) if upstream.state is State.READY else "",
        }
        if finding != seen.told:
            seen.told = self._heard[name] = finding
            self.tell(finding)

    def _digest(self, seen: Seen, offer: Offer) -> str:
        if offer is not seen.offer:
            lists = (offer.tools, offer.resources, offer.templates, offer.prompts)
            seen.offer, seen.digest = offer, hashlib.sha256(msgspec.json.encode(lists)).hexdigest()
        return seen.digest


def _weight(name: str, slot: int) -> bytes:
    return hashlib.blake2b(f"{slot}:{name}".encode(), digest_size=8).digest()


def _condition(finding: Json) -> Condition:
    return Condition(State(finding["state"]), finding["reason"], finding["since"])


def _reason(refusal: Refused) -> str:
    gateway = refusal.data.get("gateway") if isinstance(refusal.data, dict) else None
    said = gateway.get("reason") if isinstance(gateway, dict) else None
    return str(said or f"error {refusal.code}: {refusal.message[:200]}")
