"""`python -m bench survival`: what becomes of clients when upstreams and workers die, or are flooded."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs

from bench.machine import busy_seconds, choose_cores, cpu_seconds
from bench.measure import Plan, progress
from bench.native import CannotBuild, build
from bench.processes import CannotRun
from bench.report import machine
from bench.survival.figure import Figure, lines, of_rows
from bench.survival.killed import upstream_killed
from bench.survival.neighbours import bad_neighbours
from bench.survival.sockets import many_sockets
from tests.faults import run as faults
from tests.faults import workers
from tests.faults.gateway import Gone

Part = Callable[[Plan, argparse.Namespace], Awaitable[list[Figure]]]


async def _upstream_kill(plan: Plan, options: argparse.Namespace) -> list[Figure]:
    return await upstream_killed(*((2, 40) if options.quick else (10, 100)))


async def _neighbours(plan: Plan, options: argparse.Namespace) -> list[Figure]:
    return await bad_neighbours(plan)


async def _sockets(plan: Plan, options: argparse.Namespace) -> list[Figure]:
    return await many_sockets(plan)


async def _worker_kill(plan: Plan, options: argparse.Namespace) -> list[Figure]:
    size = {"kills": 2, "each": 2, "calls": 200} if options.quick else {"kills": 10, "each": 8, "calls": 1000}
    progress(f"worker kill -9: {size['kills']} kills under load")
    rows = await workers.killed(options.seed, **size)
    facts = rows[0].facts
    seen = (
        f"{facts['lost']} of {rows[0].requests:,} lost, {facts['clients_of_it']} clients at the killed ones; "
        f"new connections waited {facts['gap_ms']:.0f} ms at most"
    )
    bar = "its calls in flight, once each; always answered"
    return [of_rows("worker kill -9 (--workers 2)", "both", bar, seen, rows)]


async def _reload(plan: Plan, options: argparse.Namespace) -> list[Figure]:
    size = {"rolls": 5, "each": 4, "calls": 20_000, "parked": 4}
    if options.quick:
        size = {"rolls": 1, "each": 2, "calls": 1000, "parked": 2}
    progress(f"rolling reload: {size['calls']:,} calls and {size['rolls']} rolls at least")
    rows = await workers.rolled(options.seed, **size)
    facts = rows[0].facts
    seen = (
        f"{facts['failed']} of {rows[0].requests:,}, {facts['rolls']} rolls, {facts['parked']} of them parked"
    )
    bar = "0 failed of 20,000; parked resumed or refused"
    return [of_rows("rolling reload (--workers 2)", "both", bar, seen, rows)]


async def _at_rest(plan: Plan, options: argparse.Namespace) -> list[Figure]:
    progress("500 aborted calls")
    rows = await faults.run(options.seed, only=["aborted-calls"])
    used = max((row.facts.get("idle_cpu_percent", 0.0) for row in rows), default=0.0)
    seen = f"{max(used, 0.0):.1f} % CPU"
    return [of_rows("500 aborted calls, then idle", "both", "under 2 % CPU", seen, rows)]


PARTS: Mapping[str, Part] = {
    "upstream-kill": _upstream_kill,
    "neighbours": _neighbours,
    "worker-kill": _worker_kill,
    "reload": _reload,
    "at-rest": _at_rest,
    "sockets": _sockets,
}


def _words(text: str) -> list[str]:
    words = text.split(",")
    if unknown := sorted(set(words) - set(PARTS)):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; choose from {', '.join(PARTS)}")
    return words


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench survival", description=__doc__)
    parser.add_argument(
        "--only", type=_words, metavar="WORDS", help=f"these, comma-separated: {', '.join(PARTS)}"
    )
    parser.add_argument("--rounds", type=int, help="rounds with harm of neighbours and sockets (7)")
    parser.add_argument("--seconds", type=float, help="measured seconds of each round and era (4)")
    parser.add_argument("--seed", type=int, default=1, help="decides what is called (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a look: 1 round of 1 s, fewer kills and calls")
    parser.add_argument("--json", action="store_true", help="print JSON, every round in it")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 7)
    options.seconds = options.seconds or (1.0 if options.quick else 4.0)
    if options.rounds < 1 or options.seconds < 0.01:
        parser.error("--rounds counts from 1, --seconds from 0.01")
    return options


async def _run(plan: Plan, options: argparse.Namespace) -> list[Figure]:
    figures: list[Figure] = []
    for name, part in PARTS.items():
        if options.only is None or name in options.only:
            figures += await part(plan, options)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the options ask for.

    Args:
        arguments: The command line after `survival`; None for the process's own.

    Returns:
        0, also when a time was missed; 1 when an invariant did not hold; 2 when it could not run.
    """
    options = _options(arguments)
    # So that what was started is ended then, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began, used = time.perf_counter(), frozenset(os.sched_getaffinity(0))
    busy, own = busy_seconds(used), cpu_seconds(os.getpid())
    try:
        warmup = min(0.5, options.seconds / 2)
        plan = Plan(build(), choose_cores(), "", options.rounds, options.seconds, warmup)
        figures = asyncio.run(_run(plan, options))
    except (CannotBuild, CannotRun, Gone, TimeoutError) as error:
        print(f"bench: {error or type(error).__name__}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    spent = busy_seconds(used) - busy - (cpu_seconds(os.getpid()) - own)
    others = max(0.0, spent / ((time.perf_counter() - began) * len(used)))
    if options.json:
        said = {"machine": machine(), "cores": str(plan.cores), "others": round(others, 3)}
        print(json.dumps(said | {"figures": [attrs.asdict(each) for each in figures]}, indent=2))
    else:
        print(f"{machine()}; {plan.cores}; others had {others:.0%} of the cores\n")
        print("\n".join(lines(figures)))
    return 1 if any(each.hard and not each.held for each in figures) else 0
