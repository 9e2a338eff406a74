"""Probing upstreams: when, and what becomes of the answers."""

from __future__ import annotations

import asyncio

import pytest

from portico._core.health import Condition
from portico.api import UPSTREAM_BAD_RESPONSE, Refused, State, failure
from tests.kernel.roundsmen import Plain, Timers, Up, Worker, component, gone, settle


@pytest.fixture
def timers() -> Timers:
    return Timers()


async def test_each_upstream_is_probed_once_in_an_interval(timers: Timers) -> None:
    worker = Worker(timers)
    one, other, never = (
        worker.add("a"),
        worker.add("b", health_interval=10),
        worker.add("c", health_interval=0),
    )
    worker.add("d", Plain())
    await timers.on(300)
    assert (one.probes, other.probes, never.probes) == (10, 30, 0)


async def test_no_interval_is_no_probe_unless_an_upstream_has_its_own(timers: Timers) -> None:
    worker = Worker(timers, interval=0)
    one, other = worker.add("a"), worker.add("b", health_interval=10)
    await timers.on(100)
    assert (one.probes, other.probes) == (0, 10)


async def test_another_interval_holds_at_once(timers: Timers) -> None:
    worker = Worker(timers)
    up = worker.add("a", health_interval=0)
    await timers.on(100)
    worker.rounds.adjust(component("a", health_interval=5))
    await timers.on(50)
    assert 9 <= up.probes <= 10
    worker.rounds.adjust(component("a", health_interval=0))
    before = up.probes
    await timers.on(100)
    assert up.probes == before


async def test_failures_in_a_row_change_the_state_and_one_answer_changes_it_back(timers: Timers) -> None:
    worker = Worker(timers)
    up = worker.add("a")
    up.error = gone()
    await timers.on(16)
    assert (up.probes, worker.rounds.condition("a").state) == (2, State.READY)
    await timers.on(2)
    assert worker.rounds.condition("a") == Condition(State.UNAVAILABLE, "connection_refused", 1018.0)
    assert (up.probes, up.refreshed) == (3, 1)
    up.error = None
    await timers.on(4)
    assert worker.rounds.condition("a") == Condition(State.READY, "", 1022.0)
    assert up.refreshed == 2
    events = [event for event in worker.log.events if event.startswith("upstream.")]
    assert events == ["upstream.away", "upstream.back"]


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (gone(), (State.UNAVAILABLE, "connection_refused")),
        (
            failure(UPSTREAM_BAD_RESPONSE, "no", reason="upstream_unauthorized", upstream="a"),
            (State.DEGRADED, "upstream_unauthorized"),
        ),
        (Refused(-32000, "no idea"), (State.DEGRADED, "error -32000: no idea")),
        (TimeoutError(), (State.DEGRADED, "probe_timeout")),
        (RuntimeError("secret"), (State.DEGRADED, "the probe failed: RuntimeError")),
    ],
)
async def test_how_a_probe_fails_says_how_the_upstream_is(
    timers: Timers, error: BaseException, condition: tuple[State, str]
) -> None:
    worker = Worker(timers, threshold=1)
    up = worker.add("a")
    up.error = error
    await timers.on(15)
    found = worker.rounds.condition("a")
    assert (found.state, found.reason) == condition


async def test_an_upstream_that_says_that_it_is_away_is_not_probed(timers: Timers) -> None:
    worker = Worker(timers)
    up = worker.add("a")
    worker.says("a", State.UNAVAILABLE, "name_not_found")
    await timers.on(300)
    assert up.probes == 0
    assert worker.rounds.condition("a") == Condition(State.UNAVAILABLE, "name_not_found", 1000.0)
    worker.says("a", State.READY)
    await timers.on(300)
    assert up.probes == 10


async def test_what_is_let_go_or_replaced_is_probed_no_more(timers: Timers) -> None:
    worker = Worker(timers)
    first = worker.add("a")
    second = worker.add("a")
    await timers.on(30)
    assert (first.probes, second.probes) == (0, 1)
    worker.rounds.let_go("a")
    await timers.on(300)
    assert second.probes == 1
    assert worker.rounds.condition("a").state is State.STOPPED


async def test_a_probe_that_is_let_go_in_mid_air_says_nothing(timers: Timers) -> None:
    worker = Worker(timers, threshold=1)
    held = asyncio.Event()

    class Slow(Up):
        async def probe(self) -> None:
            self.probes += 1
            await held.wait()
            raise gone()

    up = worker.add("a", Slow())
    await timers.on(30)
    assert up.probes == 1
    await worker.rounds.close()
    held.set()
    await settle()
    assert worker.log.events == []


async def test_definitions_that_wait_for_approval_are_a_state_of_their_own(timers: Timers) -> None:
    worker = Worker(timers)
    worker.add("a")
    worker.rounds.quarantined = lambda name: (2, 900.0)
    assert worker.rounds.condition("a") == Condition(
        State.QUARANTINED, "2 changed definitions wait for approval", 900.0
    )
    assert worker.plane.status()["a"]["state"] == "quarantined"
    worker.says("a", State.DEGRADED, "bad_list")
    assert worker.rounds.condition("a").state is State.DEGRADED
