"""Changes, one after another: how long until every worker and replica shows each, and what it costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import attrs

from bench.machine import cpu_seconds
from bench.measure import progress
from bench.processes import CannotRun, Running
from bench.registry.line import Line, one_to_each
from bench.registry.site import config_of, name_of, workers_of

_LOOK = 0.002
_PATIENCE = 30.0
SHOWN = f"{name_of(0)}__echo_001"

Seen = Callable[[Line], Awaitable[bool]]


@attrs.frozen
class Changes:
    """Changes of one sort.

    Attributes:
        sort: What was changed.
        acknowledged: Milliseconds from each request to its answer.
        visible: Milliseconds from each answer until the last of those that were watched showed it.
    """

    sort: str
    acknowledged: list[float]
    visible: list[float]


@attrs.frozen
class Cost:
    """What changes cost.

    Attributes:
        changes: How many were made.
        cpu_ms: CPU milliseconds of all processes of all gateways for each of them, idle time not counted.
        processes: How many processes there are.
    """

    changes: int
    cpu_ms: float
    processes: int


async def watched(gateways: Sequence[Running], stub: int, count: int) -> list[Changes]:
    """Make so many changes of each sort, and watch every worker of every gateway.

    Args:
        gateways: The changes are made at the first.
        stub: The upstream's port.
        count: How many.

    Raises:
        CannotRun: A change was refused, or not seen.
    """
    desk = Line(gateways[0].port)
    await desk.open()
    lines = [line for each in gateways for line in await one_to_each(each.port, workers_of(each))]
    found = [
        Changes("description of a tool", [], []),
        Changes("upstream added", [], []),
        Changes("upstream removed", [], []),
    ]
    for number in range(count):
        text = f"edition {number} of it"
        path = f"/overrides/{name_of(0)}%2Ftools%2Fecho_001"
        await _change(desk, "PUT", path, {"config": {"description": text}}, lines, _says(text), found[0])
        name = f"x{number:04d}"
        body = {"config": config_of(stub, name)}
        await _change(desk, "PUT", f"/upstreams/{name}", body, lines, _calls(name), found[1])
        await _change(desk, "DELETE", f"/upstreams/{name}", None, lines, _calls(name, False), found[2])
        progress(
            f"change {number + 1}/{count}: {[round(each.visible[-1]) for each in found]} ms after the answer"
        )
    for line in (desk, *lines):
        line.close()
    return found


async def _change(
    desk: Line, method: str, path: str, body: object, lines: Sequence[Line], seen: Seen, changes: Changes
) -> None:
    began = time.perf_counter()
    await desk.manage(method, path, body)
    answered = time.perf_counter()
    last = max(await asyncio.gather(*(_until(line, seen) for line in lines)))
    changes.acknowledged.append((answered - began) * 1000)
    changes.visible.append((last - answered) * 1000)


async def _until(line: Line, seen: Seen) -> float:
    until = time.perf_counter() + _PATIENCE
    while time.perf_counter() < until:
        if await seen(line):
            return time.perf_counter()
        await asyncio.sleep(_LOOK)
    raise CannotRun(f"a change was not seen in {_PATIENCE:.0f} s")


def _says(text: str) -> Seen:
    async def seen(line: Line) -> bool:
        return text.encode() in await line.rpc("tools/list")

    return seen


def _calls(name: str, there: bool = True) -> Seen:
    async def seen(line: Line) -> bool:
        answer = await line.rpc("tools/call", name=f"{name}__echo", arguments={"text": "here"})
        return (b'"result"' in answer) is there

    return seen


async def costs(gateways: Sequence[Running], count: int, pause: float) -> Cost:
    """CPU of changes nobody looks at, made with pauses between them."""
    desk = Line(gateways[0].port)
    await desk.open()

    async def spent(changes: int) -> float:
        before = sum(cpu_seconds(each.pid) for each in gateways)
        for number in range(changes):
            body = {"config": {"description": f"price {number}"}}
            await desk.manage("PUT", f"/overrides/{name_of(0)}%2Ftools%2Fecho_001", body)
            await asyncio.sleep(pause)
        if not changes:
            await asyncio.sleep(pause * count)
        return sum(cpu_seconds(each.pid) for each in gateways) - before

    idle = await spent(0)
    made = await spent(count)
    desk.close()
    return Cost(count, max(made - idle, 0.0) / count * 1000, sum(len(workers_of(each)) for each in gateways))


async def keep_changing(gateway: Running, stub: int, over: asyncio.Event, pause: float) -> int:
    """Change descriptions, add upstreams and remove them until told that it is over; gives how many."""
    desk = Line(gateway.port)
    await desk.open()
    made = 0
    while not over.is_set():
        body = {"config": {"description": f"again {made}"}}
        await desk.manage("PUT", f"/overrides/{name_of(0)}%2Ftools%2Fecho_001", body)
        await asyncio.sleep(pause)
        await desk.manage("PUT", "/upstreams/y0000", {"config": config_of(stub, "y0000")})
        await asyncio.sleep(pause)
        await desk.manage("DELETE", "/upstreams/y0000")
        await asyncio.sleep(pause)
        made += 3
    desk.close()
    return made
