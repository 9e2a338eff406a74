"""Twenty upstreams, of which one is dead and one takes ten seconds: what the calls of the others notice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from bench.load import Endpoint, Shape, load
from bench.measure import Plan, progress
from bench.processes import stub_upstream
from bench.survival.figure import Figure, Sides
from tests.faults.client import Asked, FaultyClient
from tests.faults.gateway import gateway
from tests.faults.proxy import Behaviour, FaultProxy, Way
from tests.faults.stage import ERAS, tables

HEALTHY = 18
_SLOW_SECONDS = 10.0
_SETTLE = 2.0
"""Seconds of harm, or of calm again, before the first measured one."""
_GAP = 0.2
"""Seconds between two calls of each of the other two upstreams, in calm rounds and in the others."""
_TOOL = "stub__echo"


def _late(dice: random.Random, way: Way) -> Behaviour:
    return Behaviour(latency=_SLOW_SECONDS) if way == "down" else Behaviour()


class _Others:
    """Calls of the two upstreams that do not stay well, at the same pace all the time.

    Attributes:
        seen: What came of them: `name:result`, `name:code`.
    """

    def __init__(self, port: int) -> None:
        self.seen: Counter[str] = Counter()
        self._port = port
        self._calls: set[asyncio.Task[None]] = set()
        self._pacing = [asyncio.ensure_future(self._pace(name)) for name in ("dead", "slow")]

    async def _pace(self, name: str) -> None:
        while True:
            task = asyncio.ensure_future(self._call(name))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            await asyncio.sleep(_GAP)

    async def _call(self, name: str) -> None:
        client = FaultyClient("modern", self._port, patience=60)
        asked: Asked = await client.call(f"{name}__echo", {"text": "as ever"})
        client.hang_up()
        self.seen[f"{name}:{asked.code or ('result' if asked.text else asked.end)}"] += 1

    async def stop(self) -> None:
        """Call no more."""
        for task in (*self._pacing, *self._calls):
            task.cancel()
        await asyncio.gather(*self._pacing, *self._calls, return_exceptions=True)


async def bad_neighbours(plan: Plan) -> list[Figure]:
    """Calm rounds and rounds with a dead and a slow upstream, in turn.

    Args:
        plan: Rounds and their length.
    """
    sides = {era: Sides(era) for era in ERAS}
    names = [f"u{number:02}" for number in range(HEALTHY)]
    async with AsyncExitStack() as stack:
        stub = stack.enter_context(stub_upstream(plan.tools, plan.cores.stub, 1))
        dead = await stack.enter_async_context(FaultProxy("127.0.0.1", stub.port))
        slow = await stack.enter_async_context(FaultProxy("127.0.0.1", stub.port))
        ports = dict.fromkeys(names, stub.port) | {"dead": dead.port, "slow": slow.port}
        running = await stack.enter_async_context(gateway(tables(ports, call_timeout=30), plan.cores.gateway))
        await running.ready()
        others = await stack.enter_async_context(_calling(running.port))
        endpoint = Endpoint(tool=",".join(f"{name}__echo" for name in names))

        async def measure(number: int, harm: bool, counts: bool = True) -> None:
            # By turns the first: the longer the harm lasts, the more calls wait for the slow one.
            for era in ERAS if number % 2 == 0 else ERAS[::-1]:
                shape = Shape(era, "tools/call", HEALTHY)
                done = await asyncio.to_thread(
                    load, plan.tools, running.port, shape, plan.seconds, plan.warmup, plan.cores.load,
                    endpoint=endpoint,
                )  # fmt: skip
                if counts:
                    (sides[era].harm if harm else sides[era].calm).append(done)

        await measure(0, harm=False, counts=False)
        for number in range(plan.rounds + 1):
            # A calm one first and last, so that every round with harm has one on either side.
            await running.ready()
            await asyncio.sleep(_SETTLE)
            await measure(number, harm=False)
            if number == plan.rounds:
                break
            dead.shut()
            slow.set(_late, "")
            await asyncio.sleep(_SETTLE)
            await measure(number, harm=True)
            await dead.open()
            slow.heal()
            slow.drop()
            said = ", ".join(f"{era} {sides[era].ratio - 1:+.1%}" for era in ERAS)
            progress(f"bad neighbours: round {number + 1}/{plan.rounds}: p99 {said}")
    problems = (
        [] if others.seen["dead:50200"] + others.seen["dead:50300"] else ["nobody found the dead one dead"]
    )
    figures = [
        figure
        for each in sides.values()
        for figure in each.figure("1 dead and 1 slow of 20 upstreams", 5, problems)
    ]
    for figure in figures:
        figure.facts["others"] = dict(others.seen)
    return figures


@asynccontextmanager
async def _calling(port: int) -> AsyncIterator[_Others]:
    others = _Others(port)
    try:
        yield others
    finally:
        await others.stop()
