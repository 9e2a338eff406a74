"""Runs a selection of faults and scenarios, and gives the rows."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from tests.faults import processes, scenarios, workers
from tests.faults.gateway import Gone
from tests.faults.http1 import BROKEN
from tests.faults.matrix import SIDES, cell
from tests.faults.schedule import FAULTS
from tests.faults.stage import Stage, stage
from tests.faults.verdicts import ANSWER, Row

PARK_SECONDS = 1.5
ON_STAGE: dict[str, Callable[[Stage, int], Awaitable[list[Row]]]] = {
    "client-gone": scenarios.gone,
    "aborted-calls": scenarios.aborted,
    "parked": lambda scene, seed: scenarios.parked(scene, seed, PARK_SECONDS),
    "slow-consumer": scenarios.unread,
}
"""Scenarios that share the stage with the network faults."""
ALONE: dict[str, Callable[[int], Awaitable[list[Row]]]] = {
    "upstream-kill-9": processes.killed,
    "stdio": processes.stdio,
    "overload": processes.overload,
    "sigterm": processes.drained,
    "worker-kill-9": workers.killed,
    "reload": workers.rolled,
}
"""Scenarios with a gateway of their own."""
NAMES = (*FAULTS, *ON_STAGE, *ALONE)


async def run(
    seed: int,
    only: Sequence[str] = (),
    seconds: float = 0.0,
    clients: int = 3,
    calls: int = 4,
    tell: Callable[[list[Row]], None] = lambda rows: None,
    fast_lane: bool = True,
    at_rest: bool = False,
) -> list[Row]:
    """Run everything once, then go on with seeds that follow while there is time.

    Args:
        seed: The first one.
        only: Which faults and scenarios; all of them by default.
        seconds: How long to go on.
        clients: How many of each pair of eras a network fault strikes at once.
        calls: How many calls each of them makes.
        tell: Given the rows of each fault as they come.
        fast_lane: Which way the shared stage serves clients.
        at_rest: Whether to look again at the end, when unused connections have been let go.
    """
    wanted = set(only or NAMES)
    rows: list[Row] = []

    def took(found: list[Row]) -> None:
        rows.extend(found)
        tell(found)

    began = time.monotonic()
    async with stage(fast_lane, park_timeout=PARK_SECONDS) as scene:
        if waiting := await scene.gateway.ready():
            raise TimeoutError(f"the gateway did not become ready: {waiting}")
        # The second with latency, so that as many connections are open at once as there can be.
        warm = [cell(scene, name, "upstream", seed, clients, calls) for name in ("calm", "latency")]
        await scene.settle(*warm)
        quiet = await scene.quiet() if at_rest else None
        over = False
        while True:
            for name in NAMES:
                try:
                    if name in wanted and name in FAULTS:
                        for side in SIDES:
                            took(await cell(scene, name, side, seed, clients, calls))
                    elif name in wanted and name in ON_STAGE:
                        took(await ON_STAGE[name](scene, seed))
                    elif name in wanted:
                        took(await ALONE[name](seed))
                except (Gone, *BROKEN) as error:
                    row = Row(name, "gateway", "both>both", seed)
                    row.check(ANSWER, f"the gateway fell over: {error!r}")
                    took([row])
                    if scene.gateway.process.returncode is not None:
                        return rows
                if over := seconds > 0 and time.monotonic() - began > seconds:
                    break
            seed += 1
            if over or not seconds:
                break
        if quiet is not None:
            scene.before = quiet
            row = Row("at-rest", "gateway", "both>both", seed - 1)
            await scene.count(row)
            took([row])
    return rows
