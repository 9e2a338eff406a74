"""What tests of the rounds share: time that stands still unless moved, upstreams, and workers around them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from portico._config.components import Component
from portico._core.plane import Plane
from portico._core.requests.load import Load
from portico._host.rounds import Rounds
from portico.api import Json, Offer, Refused, State, failure
from portico.testing import RecordingLog


class Timers:
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[tuple[float, Callable[[], object]]] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def after(self, seconds: float, call: Callable[[], object]) -> Any:
        entry = (self.now + seconds, call)
        self.due.append(entry)

        class Due:
            def cancel(_) -> None:
                if entry in self.due:
                    self.due.remove(entry)

        return Due()

    async def on(self, seconds: float) -> None:
        """Have everything happen that is due within so many seconds."""
        until = self.now + seconds
        while self.due and min(each[0] for each in self.due) <= until:
            entry = min(self.due, key=lambda each: each[0])
            self.due.remove(entry)
            self.now = entry[0]
            entry[1]()
            await settle()
        self.now = until


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Up:
    """An upstream that can be probed."""

    def __init__(self) -> None:
        self.offer = Offer()
        self.state, self.reason = State.READY, ""
        self.probes = self.refreshed = 0
        self.error: BaseException | None = None

    async def send(self, exchange: Any, target: Any) -> Any:
        raise AssertionError

    async def probe(self) -> None:
        self.probes += 1
        if self.error is not None:
            raise self.error

    async def refresh(self) -> None:
        self.refreshed += 1


class Plain:
    """One that cannot."""

    offer = Offer()
    state, reason = State.READY, ""

    async def send(self, exchange: Any, target: Any) -> Any:
        raise AssertionError


def gone(reason: str = "connection_refused") -> Refused:
    return failure(50300, "gone", reason=reason, upstream="a")


def component(name: str, **config: Any) -> Component:
    return Component("upstreams", name, "x", None, None, "p", **config)  # type: ignore[arg-type]


class Worker:
    """A worker's rounds."""

    def __init__(self, timers: Timers, interval: float = 30.0, threshold: int = 3, known: Any = None) -> None:
        self.log = RecordingLog()
        self.plane = Plane(Load(10), self.log)
        self.rounds = Rounds(
            self.plane, interval, threshold, timers, self.log, known, timers.after, chance=lambda: 0.5
        )
        self.told: list[Json] = []

    def add(self, name: str, upstream: Any = None, **config: Any) -> Any:
        self.plane.upstreams[name] = upstream = upstream or Up()
        self.rounds.take_up(component(name, **config))
        return upstream

    def says(self, name: str, state: State, reason: str = "") -> None:
        upstream: Any = self.plane.upstreams[name]
        upstream.state, upstream.reason = state, reason
        self.plane.offer_changed(name)
