"""Worker processes that are killed, and rolled, while clients call."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import psutil

from tests.faults.client import Asked, Era, FaultyClient
from tests.faults.gateway import GatewayProcess, gateway
from tests.faults.load import Caller, Load
from tests.faults.parked import Waiting, waiting
from tests.faults.stage import ERAS, tables, together
from tests.faults.upstream import Upstream
from tests.faults.verdicts import ANSWER, LOG, NEXT, ONCE, OWN, SAID, Row

WORKERS = 2
_GROWN = 10.5
"""Seconds of service after which a worker is replaced at once."""
_DRAIN_SECONDS = 4.0
"""How long an old worker waits for calls that are parked at it."""


@attrs.frozen
class Site:
    """A gateway with worker processes in front of the upstream of each era; no proxies."""

    gateway: GatewayProcess
    upstreams: dict[Era, Upstream]

    def judge_effects(self, row: Row, load: Load) -> None:
        """Nothing was done twice, and what was answered was done."""
        counts: Counter[str] = Counter()
        for upstream in self.upstreams.values():
            counts += upstream.journal.counts
        row.check(
            ONCE, *(f"{token} was executed {times} times" for token, times in counts.items() if times > 1)
        )
        told = [token for caller in load.callers for token in caller.effects]
        row.check(ONCE, *(f"{token} was answered, but never executed" for token in told if not counts[token]))


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """Put it up, ready; take it down."""
    async with AsyncExitStack() as stack:
        upstreams = {era: await stack.enter_async_context(Upstream(era)) for era in ERAS}
        ports: dict[str, int] = {era: each.port for era, each in upstreams.items()}
        keys: dict[str, Any] = {
            "workers": WORKERS,
            "drain_timeout": _DRAIN_SECONDS,
            "call_timeout": 30,
            "park_timeout": 60,
        }
        running = await stack.enter_async_context(gateway(tables(ports, **keys)))
        await running.staffed()
        if not_ready := await running.ready():
            raise TimeoutError(f"the gateway did not become ready: {not_ready}")
        yield Site(running, upstreams)


# --- kill -9 -----------------------------------------------------------------------------------------


class Probe:
    """Calls on new connections only, one after the other, to see that somebody always answers.

    Attributes:
        failed: What was no answer.
        gap: The longest time between two right answers, seconds.
        done: Right answers.
    """

    def __init__(self, port: int, era: Era) -> None:
        self.failed: list[Asked] = []
        self.gap = 0.0
        self.done = 0
        self._port = port
        self._era = era
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        last = time.monotonic()
        while True:
            client = FaultyClient("modern", self._port)
            asked = await client.call(f"{self._era}__echo", {"payload": client.name})
            client.hang_up()
            if asked.text == client.name:
                now = time.monotonic()
                self.gap, last = max(self.gap, now - last), now
                self.done += 1
            else:
                self.failed.append(asked)
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Probe no more."""
        self._task.cancel()
        await asyncio.wait({self._task})


async def killed(seed: int, kills: int = 2, each: int = 2, calls: int = 100) -> list[Row]:
    """`kill -9` of a worker under load: only the calls it was carrying fail, and each of them once.

    Args:
        seed: Decides what is called.
        kills: How many workers are killed, one after the other.
        each: Clients of each pair of eras.
        calls: Right answers before each kill, and after it.
    """
    row = Row("worker-kill-9", "gateway", "both>both", seed)
    gaps: list[float] = []
    async with site() as here:
        for number in range(kills):
            # Who dies young is replaced later and later: that is not what this looks at.
            await _kill(here, row, f"{seed}:{number}", each, calls, gaps, age=_GROWN if number else 0.0)
        row.check(LOG, *here.gateway.trouble()[:5])
    row.facts |= {"kills": kills, "gap_ms": round(max(gaps) * 1000, 1)}
    row.facts["gap_median_ms"] = round(statistics.median(gaps) * 1000, 1)
    return [row]


async def _kill(
    here: Site, row: Row, seed: str, each: int, calls: int, gaps: list[float], age: float
) -> None:
    load = Load(here.gateway.port, seed, each)
    probes = [Probe(here.gateway.port, era) for era in ERAS]
    await load.until(calls)
    victim = await _oldest(await here.gateway.staffed(), age)
    theirs = _clients(victim, load)
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    pids = await here.gateway.staffed(but=[victim])
    row.hold(SAID, victim not in pids, f"{victim} was killed, and is there")
    await load.until(load.done + calls)
    await together(load.stop(), *(probe.stop() for probe in probes))
    for caller in load.callers:
        lost = [asked for _, asked in caller.failed]
        if caller not in theirs:
            row.check(OWN, *(f"not at the killed worker, but lost: {asked}" for asked in lost))
        else:
            row.hold(ANSWER, len(lost) <= 1, f"{len(lost)} calls lost: {[str(asked) for asked in lost]}")
        row.check(ANSWER, *map(_unclean, lost))
        row.hold(SAID, caller.again <= (caller in theirs), f"{caller.again} sessions lost at another worker")
    for probe in probes:
        row.hold(
            NEXT, len(probe.failed) <= 1, f"new connections failed: {[str(one) for one in probe.failed]}"
        )
        row.check(ANSWER, *map(_unclean, probe.failed))
        row.hold(NEXT, probe.done > 0, "no new connection was answered")
        gaps.append(probe.gap)
    here.judge_effects(row, load)
    lost_calls = len(load.failed) + sum(len(probe.failed) for probe in probes)
    row.requests += load.done + lost_calls + sum(probe.done for probe in probes)
    row.results += load.done + sum(probe.done for probe in probes)
    row.ended += sum(asked.end != "whole" for asked in load.failed)
    row.errors += sum(asked.end == "whole" for asked in load.failed)
    for name, more in (("lost", lost_calls), ("clients_of_it", len(theirs)), ("sessions_again", load.again)):
        row.facts[name] = row.facts.get(name, 0) + more
    row.facts["replaced_s"] = round(max(row.facts.get("replaced_s", 0.0), time.monotonic() - began), 2)


async def _oldest(pids: list[int], age: float) -> int:
    """The worker that has lived longest, once it has lived so long, in seconds."""
    born = {pid: psutil.Process(pid).create_time() for pid in pids}
    oldest = min(born, key=lambda pid: born[pid])
    await asyncio.sleep(max(0.0, born[oldest] + age - time.time()))
    return oldest


def _clients(pid: int, load: Load) -> list[Caller]:
    """The callers whose connection a worker has."""
    theirs = {c.raddr.port for c in psutil.Process(pid).net_connections("tcp") if c.raddr}
    return [each for each in load.callers if each.client.local_port in theirs]


def _unclean(asked: Asked) -> str | None:
    """What is wrong with how a call of a killed worker ended: one clean end, or one error of its own."""
    if asked.end == "broken" and not asked.answers and "Refused" not in asked.why:
        return None
    if asked.end == "whole" and len(asked.answers) == 1 and asked.code is not None:
        return None if asked.answers[0].get("id") == asked.id else f"another's error: {asked}"
    return f"neither a clean end nor one error: {asked}"


# --- rolling reload ----------------------------------------------------------------------------------


async def rolled(seed: int, rolls: int = 2, each: int = 2, calls: int = 600, parked: int = 2) -> list[Row]:
    """Reloads under load: no call fails, and calls that wait for their client end as they should.

    Args:
        seed: Decides what is called.
        rolls: The fewest reloads.
        each: Clients of each pair of eras.
        calls: The fewest calls.
        parked: Calls of each kind that wait for their client while a roll goes on.
    """
    row = Row("reload", "gateway", "both>both", seed)
    done = 0
    async with site() as here:
        load = Load(here.gateway.port, str(seed), each)
        took = []
        while done < rolls or load.done < calls:
            await load.until(load.done + 10)
            began = time.monotonic()
            await _roll(here, row, parked)
            took.append(time.monotonic() - began)
            done += 1
        await load.stop()
        row.check(ANSWER, *(f"failed: {asked}" for asked in load.failed))
        here.judge_effects(row, load)
        row.check(LOG, *here.gateway.trouble()[:5])
    row.requests += load.done + len(load.failed)
    row.results += load.done
    row.errors += sum(asked.code is not None for asked in load.failed)
    row.ended = sum(asked.code is None for asked in load.failed)
    row.facts |= {"rolls": done, "failed": len(load.failed), "sessions_again": load.again}
    row.facts["roll_s"] = round(statistics.median(took), 2)
    return [row]


async def _roll(here: Site, row: Row, parked: int) -> None:
    """One reload, with calls that wait for their client: some of these answer at once, some too late."""
    port = here.gateway.port
    old = await here.gateway.staffed()
    prompt: list[Waiting] = await together(*(waiting(e, port) for e in ERAS for _ in range(parked)))
    late: list[Waiting] = await together(*(waiting("modern", port) for _ in range(parked)))
    said = await here.gateway.ask("reload")
    row.hold(SAID, said.get("ok") is True, f"the reload said {said}")
    for each in prompt:
        row.check(ANSWER, await each.resumed())
    await here.gateway.staffed(but=old)
    for each in late:
        row.check(SAID, await each.refused())
    counts = here.upstreams["legacy"].journal.counts
    row.check(
        ONCE, *(f"{e.key} was executed {counts[e.key]} times" for e in (*prompt, *late) if counts[e.key] != 1)
    )
    row.requests += len(prompt) + len(late)
    row.results += len(prompt)
    row.errors += len(late)
    row.facts["parked"] = row.facts.get("parked", 0) + len(prompt) + len(late)
