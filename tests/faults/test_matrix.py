"""The invariants under faults: a bounded round of what `python -m tests.faults` runs at length."""

from __future__ import annotations

import sys

import pytest

from tests.faults import processes, scenarios, workers
from tests.faults.matrix import SIDES, cell
from tests.faults.run import NAMES, PARK_SECONDS, run
from tests.faults.schedule import FAULTS
from tests.faults.soak import soak
from tests.faults.stage import Stage, stage
from tests.faults.verdicts import Row, breaches

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts file descriptors in /proc")

SEED = 20261121
GROUPS = (
    ("calm", "latency", "jitter", "rate", "slicing"),
    ("reset", "half-close", "die-after-n", "refuse"),
    ("blackhole", "corruption", "storm"),
)


async def settled(scene: Stage) -> None:
    assert not await scene.gateway.ready()
    await scene.settle(*(cell(scene, name, "upstream", SEED, 2, 2) for name in ("calm", "latency")))


def held(rows: list[Row]) -> None:
    assert rows
    assert not breaches(rows)


def test_every_fault_is_in_a_group() -> None:
    assert sorted(name for group in GROUPS for name in group) == sorted(FAULTS)


@pytest.mark.parametrize("faults", GROUPS, ids=["gentle", "ending", "lying"])
async def test_the_invariants_hold_whatever_the_network_does(faults: tuple[str, ...]) -> None:
    async with stage() as scene:
        await settled(scene)
        for fault in faults:
            for side in SIDES:
                held(await cell(scene, fault, side, SEED, clients=2, calls=2))


async def test_the_invariants_hold_on_the_ordinary_lane_too() -> None:
    async with stage(fast_lane=False) as scene:
        await settled(scene)
        for fault in ("slicing", "reset", "die-after-n", "storm"):
            held(await cell(scene, fault, "client", SEED, clients=2, calls=2))
        held(await scenarios.gone(scene, SEED))


async def test_calls_of_clients_that_are_gone_end_as_their_era_says() -> None:
    async with stage(park_timeout=PARK_SECONDS) as scene:
        await settled(scene)
        held(await scenarios.gone(scene, SEED))
        held(await scenarios.parked(scene, SEED, PARK_SECONDS))
        held(await scenarios.aborted(scene, SEED, calls=60))


async def test_readers_that_do_not_read_cost_a_bounded_amount_of_memory() -> None:
    async with stage() as scene:
        await settled(scene)
        held(await scenarios.unread(scene, SEED))


async def test_an_upstream_killed_in_the_middle_of_a_stream_is_answered_for_and_found_again() -> None:
    held(await processes.killed(SEED))


async def test_a_stdio_upstream_that_misbehaves_takes_only_its_own_calls_with_it() -> None:
    held(await processes.stdio(SEED))


async def test_a_gateway_with_too_much_to_do_refuses_cleanly_and_stays_healthy() -> None:
    held(await processes.overload(SEED))


async def test_a_gateway_told_to_end_answers_every_call_first() -> None:
    held(await processes.drained(SEED))


async def test_a_killed_worker_takes_only_its_own_calls_with_it_and_somebody_always_answers() -> None:
    held(await workers.killed(SEED, kills=1))


async def test_a_rolling_reload_fails_no_call_and_calls_that_are_parked_end_as_they_should() -> None:
    held(await workers.rolled(SEED, rolls=1, calls=400))


async def test_a_short_soak_leaves_nothing_behind() -> None:
    told: list[str] = []
    rows = await soak(SEED, seconds=10, tell=told.append)
    held(rows)
    rests = [line for line in told if line.startswith("at rest")]
    assert [line.partition(" s, ")[2].partition(":")[0] for line in rests] == [row.side for row in rows] * 2


async def test_a_selection_runs_and_reports_what_it_looked_at() -> None:
    told: list[list[Row]] = []
    rows = await run(SEED, only=["reset"], clients=1, calls=1, tell=told.append)
    assert [row.side for row in rows] == ["upstream"] * 4 + ["client"] * 4
    assert [row for each in told for row in each] == rows
    assert {"reset", "client-gone", "sigterm"} < set(NAMES)
