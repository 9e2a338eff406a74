"""Which of several workers probes an upstream, and what the others know of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from portico._core.health import Condition
from portico.api import Json, Offer, State
from tests.kernel.roundsmen import Timers, Worker, gone, settle


@pytest.fixture
def timers() -> Timers:
    return Timers()


class Crew:
    """Workers that hear each other, as by way of a supervisor."""

    def __init__(self, timers: Timers, count: int, names: list[str]) -> None:
        self.findings: dict[str, Json] = {}
        self.workers = {slot: Worker(timers) for slot in range(1, count + 1)}
        for worker in self.workers.values():
            for name in names:
                worker.add(name)
            worker.rounds.tell = lambda finding, worker=worker: self.tell(worker, finding)  # type: ignore[misc]
        self.gather()

    def gather(self) -> None:
        heard = list(self.findings.values())
        for slot, worker in self.workers.items():
            worker.rounds.hear({"crew": {"slots": list(self.workers), "mine": slot, "heard": heard}})

    def tell(self, worker: Worker, finding: Json) -> None:
        if "name" in finding:
            self.findings[finding["name"]] = finding
        for other in self.workers.values():
            if other is not worker:
                other.rounds.hear({"finding": finding})

    def ups(self, name: str) -> list[Any]:
        return [worker.plane.upstreams[name] for worker in self.workers.values()]

    def conditions(self, name: str) -> list[Condition]:
        return [worker.rounds.condition(name) for worker in self.workers.values()]

    def owner(self, name: str) -> int:
        (slot,) = [slot for slot, worker in self.workers.items() if worker.rounds.mine(name)]
        return slot


NAMES = [f"up{n}" for n in range(60)]


async def test_each_upstream_is_one_workers_and_each_worker_has_some(timers: Timers) -> None:
    crew = Crew(timers, 3, NAMES)
    share = Counter(crew.owner(name) for name in NAMES)
    assert len(share) == 3
    assert min(share.values()) >= 8
    await timers.on(300)
    for name in NAMES:
        assert sorted(up.probes for up in crew.ups(name)) == [0, 0, 10]


async def test_every_worker_says_the_same_of_an_upstream(timers: Timers) -> None:
    crew = Crew(timers, 3, ["a"])
    for up in crew.ups("a"):
        up.error = gone()
    await timers.on(60)
    (condition,) = set(crew.conditions("a"))
    assert condition.state is State.UNAVAILABLE
    for up in crew.ups("a"):
        up.error = None
    await timers.on(60)
    (condition,) = set(crew.conditions("a"))
    assert condition.state is State.READY


async def test_when_a_worker_dies_its_upstreams_are_others_and_nobody_elses_move(timers: Timers) -> None:
    crew = Crew(timers, 3, NAMES)
    before = {name: crew.owner(name) for name in NAMES}
    dead = before["up0"]
    for up in crew.ups("up0"):
        up.error = gone()
    await timers.on(60)
    (known,) = set(crew.conditions("up0"))
    del crew.workers[dead]
    crew.gather()
    await settle()
    assert {name: crew.owner(name) for name in NAMES if before[name] != dead} == {
        name: slot for name, slot in before.items() if slot != dead
    }
    # What was found still holds, and is looked after by one of the others.
    assert set(crew.conditions("up0")) == {known}
    probes = sum(up.probes for up in crew.ups("up0"))
    await timers.on(31)
    assert sum(up.probes for up in crew.ups("up0")) > probes


async def test_a_worker_that_comes_later_knows_what_was_found(timers: Timers) -> None:
    crew = Crew(timers, 2, ["a"])
    for up in crew.ups("a"):
        up.error = gone()
    await timers.on(60)
    late = crew.workers[3] = Worker(timers)
    late.add("a").error = gone()
    late.rounds.tell = lambda finding: crew.tell(late, finding)
    crew.gather()
    assert len(set(crew.conditions("a"))) == 1
    assert late.rounds.condition("a").state is State.UNAVAILABLE


async def test_a_worker_that_hears_of_an_upstream_before_it_has_it_shows_it_as_found(timers: Timers) -> None:
    crew = Crew(timers, 2, ["a"])
    late = next(worker for slot, worker in crew.workers.items() if slot != crew.owner("a"))
    late.rounds.let_go("a")
    timers.now += 5
    owner = crew.workers[crew.owner("a")]
    owner.says("a", State.DEGRADED, "bad_list")
    late.add("a")
    assert set(crew.conditions("a")) == {Condition(State.DEGRADED, "bad_list", 1005.0)}


async def test_nothing_is_told_twice_when_others_come_and_go(timers: Timers) -> None:
    crew = Crew(timers, 3, NAMES)
    told: list[Json] = []
    for worker in crew.workers.values():
        worker.rounds.tell = told.append
    mine = {name: crew.owner(name) for name in NAMES}
    del crew.workers[3]
    crew.gather()
    assert {each["name"] for each in told} == {name for name in NAMES if mine[name] == 3}


async def test_others_fetch_lists_again_only_when_theirs_are_others(timers: Timers) -> None:
    crew = Crew(timers, 3, ["a"])
    owner = crew.workers[crew.owner("a")]
    others = [each for each in crew.workers.values() if each is not owner]
    upstream: Any = owner.plane.upstreams["a"]
    upstream.offer = Offer(tools=({"name": "new"},))
    owner.plane.offer_changed("a")
    await settle()
    assert [each.plane.upstreams["a"].refreshed for each in others] == [1, 1]  # type: ignore[attr-defined]
    for each in others:
        each.plane.upstreams["a"].offer = Offer(tools=({"name": "new"},))  # type: ignore[misc]
    owner.plane.offer_changed("a", ["tools"])
    await settle()
    assert [each.plane.upstreams["a"].refreshed for each in others] == [1, 1]  # type: ignore[attr-defined]


async def test_others_look_again_when_the_owner_finds_it_back(timers: Timers) -> None:
    crew = Crew(timers, 2, ["a"])
    for worker in crew.workers.values():
        worker.says("a", State.UNAVAILABLE, "connection_refused")
    owner = crew.workers[crew.owner("a")]
    (other,) = [each for each in crew.workers.values() if each is not owner]
    owner.says("a", State.READY)
    await settle()
    assert other.plane.upstreams["a"].refreshed == 1  # type: ignore[attr-defined]
    assert other.rounds.condition("a").state is State.READY
    assert other.plane.status()["a"]["state"] == "unavailable"  # here it is not, yet


async def test_a_refresh_that_somebody_asks_for_is_everybodys(timers: Timers) -> None:
    crew = Crew(timers, 3, ["a"])
    assert await crew.workers[1].rounds.refresh("a")
    await settle()
    assert [up.refreshed for up in crew.ups("a")] == [1, 1, 1]
    assert not await crew.workers[1].rounds.refresh("nobody")
