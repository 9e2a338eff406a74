"""`kill -9` of an upstream that has calls in flight: how long until every caller knows."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from bench.measure import progress
from bench.survival.figure import Figure
from tests.faults.client import Asked, Era, FaultyClient
from tests.faults.gateway import gateway
from tests.faults.processes import FAILED, UpstreamProcess, piped
from tests.faults.stage import ERAS, tables, together

_keys = (f"mid-call-{number}" for number in itertools.count(1))
_P50_MS = 50.0
_MAX_MS = 1000.0
_BEGUN_SECONDS = 30.0

Kill = Callable[[], Awaitable[float]]
"""Waits until all calls have begun, kills, and gives the time at which it did, on the monotonic clock."""


async def upstream_killed(kills: int, calls: int) -> list[Figure]:
    """Kill upstreams of each kind.

    Args:
        kills: How often each.
        calls: How many calls are in flight each time, shared out over the eras of clients.
    """
    figures = []
    for era in ERAS:
        upstream = UpstreamProcess(era)
        await upstream.start()
        try:
            async with gateway(tables({"it": upstream.port}, call_timeout=60)) as running:
                await running.ready()
                # Two kinds of calls: half have begun to stream when it happens.
                clients = await _clients(running.port, calls)

                async def kill(upstream: UpstreamProcess = upstream) -> float:
                    await upstream.until("begun", calls)
                    at = time.monotonic()
                    await upstream.kill()
                    return at

                times: dict[Era, list[float]] = {each: [] for each in ERAS}
                problems: list[str] = []
                for number in range(kills):
                    await _round(clients, "it", kill, times, problems)
                    progress(f"upstream kill -9, {era} over HTTP: {number + 1}/{kills}, {_seen(times)}")
                    await upstream.start()
                    if waiting := await running.ready():
                        problems.append(f"not ready again: {waiting}")
                await together(*(each.end(running.port) for each in clients))
                figures += _figures(f"upstream kill -9 in mid-call ({era}, HTTP)", times, problems)
        finally:
            await upstream.kill()
    return [*figures, *await _stdio(kills, calls)]


async def _stdio(kills: int, calls: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        ledger.touch()
        async with piped(ledger) as running:
            clients = await _clients(running.port, calls)
            times: dict[Era, list[float]] = {each: [] for each in ERAS}
            problems: list[str] = []

            async def kill() -> float:
                async with asyncio.timeout(_BEGUN_SECONDS):
                    while ledger.read_text().count("begun ") < calls:
                        await asyncio.sleep(0.01)
                ledger.write_text("")
                children = psutil.Process(running.pid).children()
                at = time.monotonic()
                for child in children:  # one for each set of capabilities that clients have
                    os.kill(child.pid, signal.SIGKILL)
                return at

            for number in range(kills):
                await _round(clients, "pipe", kill, times, problems)
                progress(f"upstream kill -9, stdio: {number + 1}/{kills}, {_seen(times)}")
                if waiting := await running.ready():
                    problems.append(f"not ready again: {waiting}")
            await together(*(each.end(running.port) for each in clients))
    return _figures("upstream kill -9 in mid-call (stdio)", times, problems)


async def _clients(port: int, calls: int) -> list[FaultyClient]:
    clients = [FaultyClient(ERAS[number % 2], port, patience=60) for number in range(calls)]
    await together(*(each.__aenter__() for each in clients))
    return clients


async def _round(
    clients: list[FaultyClient],
    upstream: str,
    kill: Kill,
    times: dict[Era, list[float]],
    problems: list[str],
) -> None:
    async def call(client: FaultyClient, frames: int) -> tuple[Asked, float]:
        asked = await client.call(f"{upstream}__slow", {"key": next(_keys), "n": frames})
        return asked, time.monotonic()

    calling = [asyncio.ensure_future(call(each, number // 2 % 2)) for number, each in enumerate(clients)]
    killed = await kill()
    for client, (asked, ended) in zip(clients, await together(*calling), strict=True):
        times[client.era].append((ended - killed) * 1000)
        own = len(asked.answers) == 1 and asked.answers[0].get("id") == asked.id
        if asked.end != "whole" or not own or asked.code not in FAILED:
            problems.append(f"not one error of its own: {asked}")
        client.asked.clear()


def _seen(times: dict[Era, list[float]]) -> str:
    every = [each for era in ERAS for each in times[era]]
    return f"p50 {statistics.median(every):.1f} ms, max {max(every):.1f} ms"


def _figures(what: str, times: dict[Era, list[float]], problems: list[str]) -> list[Figure]:
    figures = []
    for era in ERAS:
        p50, most = statistics.median(times[era]), max(times[era])
        held = p50 <= _P50_MS and most <= _MAX_MS
        seen = f"p50 {p50:.1f} ms, max {most:.1f} ms of {len(times[era])}"
        facts = {"p50_ms": round(p50, 2), "max_ms": round(most, 2), "calls": len(times[era])}
        figures.append(Figure(f"{what}: times", era, "p50 50 ms, max 1 s", seen, held, facts=facts))
    said = f"{len(problems)} otherwise of {sum(map(len, times.values()))}"
    return [
        *figures,
        Figure(f"{what}: answers", "both", "one error each", said, not problems, True, problems),
    ]
