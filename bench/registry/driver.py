"""`python -m bench registry`: 1,000 upstreams with 20,000 tools in a registry."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack

from bench.conclusion import carry_out
from bench.load import Endpoint, Round, Shape, load
from bench.machine import busy_seconds, choose_cores, cpu_seconds, rss_bytes
from bench.measure import Plan, progress, settled_rss
from bench.native import build
from bench.processes import Running, default_command, first_answer, stub_upstream, wait_ready
from bench.registry.changes import SHOWN, costs, keep_changing, watched
from bench.registry.report import Found, RegistryReport, Start
from bench.registry.site import KINDS, TOOLS, Site, fill, name_of, site, until_listed, workers_of

_PAUSE = 0.2


async def _starts(where: Site, rounds: int, upstreams: int) -> list[Start]:
    """Start a gateway on what is in the registry, several times."""
    found = []
    for _ in range(rounds):
        with where.gateway() as running:
            answered = await asyncio.to_thread(first_answer, running, tool=f"{name_of(0)}__echo")
            listed = await until_listed(running, upstreams)
            rss = settled_rss(running.pid)
        found.append(Start(answered, listed, rss))
        progress(f"start: first answer {answered:.2f} s, all listed {listed:.2f} s, {rss / 1e6:.0f} MB")
    return found


def _round(
    plan: Plan, running: Running, method: str, connections: int, tool: str, watched: bool = True
) -> Round:
    shape = Shape("modern", method, connections)
    pid = running.pid if watched else None
    return load(
        plan.tools, running.port, shape, plan.seconds, plan.warmup, plan.cores.load, pid, Endpoint(tool=tool)
    )


def _lists(where: Site, rounds: int, running: Running, whole: Running) -> tuple[list[Round], list[Round]]:
    """Rounds of the first page of `tools/list`, and of the whole list."""
    first, every = [], []
    for _ in range(rounds):
        first.append(_round(where.plan, running, "tools/list", 16, SHOWN))
        every.append(_round(where.plan, whole, "tools/list", 1, SHOWN))
        progress(f"tools/list: first page p99 {first[-1].p99_ms:.2f} ms, whole {every[-1].p99_ms:.1f} ms")
    return first, every


def _calls(where: Site, rounds: int, large: Running, small: Running) -> tuple[list[Round], list[Round]]:
    """Rounds of calls through a gateway of one upstream and through one of very many, in turn."""
    of_one: list[Round] = []
    of_many: list[Round] = []
    sides = ((small, f"{name_of(0)}__echo", of_one), (large, f"{name_of(7)}__echo", of_many))
    for number in range(rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            running, tool, rows = sides[side]
            rows.append(_round(where.plan, running, "tools/call", 16, tool))
        progress(f"tools/call: {of_one[-1].cpu_us:.1f} us of CPU with one upstream, {of_many[-1].cpu_us:.1f}")
    return of_one, of_many


async def _beside_changes(
    where: Site, rounds: int, running: Running, stub: int
) -> tuple[list[Round], list[Round], int]:
    """Rounds of calls, one at a time, in quiet and while something is changed five times a second."""
    quiet, changing, made = [], [], 0
    tool = f"{name_of(7)}__echo"
    for _ in range(rounds):
        quiet.append(await asyncio.to_thread(_round, where.plan, running, "tools/call", 1, tool))
        over = asyncio.Event()
        changes = asyncio.create_task(keep_changing(running, stub, over, _PAUSE))
        changing.append(await asyncio.to_thread(_round, where.plan, running, "tools/call", 1, tool))
        over.set()
        made += await changes
        progress(
            f"calls: p99 {quiet[-1].p99_ms:.2f} ms, longest {quiet[-1].max_ms:.1f}; "
            f"beside changes {changing[-1].p99_ms:.2f}, {changing[-1].max_ms:.1f}"
        )
    return quiet, changing, made


async def _one(plan: Plan, kind: str, options: argparse.Namespace, stub: Running) -> Found:
    upstreams, rounds = options.upstreams, options.rounds
    with ExitStack() as stack:
        where = stack.enter_context(site(plan, kind))
        running = stack.enter_context(where.gateway(2 if where.shared else 1))
        wait_ready(running)
        began = time.perf_counter()
        acknowledged = await fill(running, stub.port, upstreams)
        await until_listed(running, upstreams)
        listed = time.perf_counter() - began
        progress(
            f"{kind}: {upstreams:,} records acknowledged in {acknowledged:.1f} s, listed in {listed:.1f} s"
        )
        gateways = [running]
        if where.shared:
            replica = stack.enter_context(where.gateway())
            await until_listed(replica, upstreams)
            gateways.append(replica)
        changes = await watched(gateways, stub.port, options.changes)
        cost = await costs(gateways, options.changes, _PAUSE)
        watching = sum(len(workers_of(each)) for each in gateways)
        stack.close()
        where = stack.enter_context(site(plan, kind))
        single = stack.enter_context(where.gateway())
        wait_ready(single)
        await fill(single, stub.port, upstreams)
        await until_listed(single, upstreams)
        rss = rss_bytes(single.pid)
        starts = []
        if where.shared:
            starts = await _starts(where, rounds, upstreams)
        quiet, changing, made = await _beside_changes(where, rounds, single, stub.port)
        elsewhere = stack.enter_context(site(plan, "memory"))
        small = stack.enter_context(elsewhere.gateway())
        wait_ready(small)
        await fill(small, stub.port, 1)
        await until_listed(small, 1)
        of_one, of_many = await asyncio.to_thread(_calls, where, rounds, single, small)
        if where.shared:
            whole = stack.enter_context(where.gateway(page=0))
        else:
            whole = stack.enter_context(elsewhere.gateway(page=0))
            wait_ready(whole)
            await fill(whole, stub.port, upstreams)
        await until_listed(whole, upstreams)
        first, every = await asyncio.to_thread(_lists, where, rounds, single, whole)
    return Found(
        kind=kind,
        filled=acknowledged,
        listed=listed,
        watching=watching,
        starts=starts,
        rss=rss,
        changes=changes,
        cost=cost,
        quiet=quiet,
        changing=changing,
        made=made,
        of_one=of_one,
        of_many=of_many,
        first_page=first,
        whole_list=every,
    )


def run(options: argparse.Namespace) -> RegistryReport:
    """Do what the options ask for.

    Raises:
        CannotBuild: The C tools cannot be had.
        CannotRun: A part did not start or ended early.
    """
    warmup = min(0.5, options.seconds / 2)
    plan = Plan(build(), choose_cores(), options.command, options.rounds, options.seconds, warmup)
    used = plan.cores.used
    began, busy, own = time.perf_counter(), busy_seconds(used), cpu_seconds(os.getpid())
    with stub_upstream(plan.tools, plan.cores.stub, TOOLS) as stub:
        found = [asyncio.run(_one(plan, kind, options, stub)) for kind in options.kept_in]
    passed = (time.perf_counter() - began) * len(used)
    others = busy_seconds(used) - busy - (cpu_seconds(os.getpid()) - own)
    return RegistryReport(
        found=found,
        upstreams=options.upstreams,
        cores=plan.cores,
        rounds=options.rounds,
        seconds=options.seconds,
        others=max(0.0, others / passed),
    )


def _kinds(text: str) -> list[str]:
    words = text.split(",")
    if unknown := sorted(set(words) - set(KINDS)):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; choose from {', '.join(KINDS)}")
    return words


def main(arguments: Sequence[str]) -> int:
    """Measure a gateway with very many upstreams in its registry.

    Args:
        arguments: The command line after `registry`.

    Returns:
        0; 1 when an answer was wrong or missing, or a change came late; 2 when the bench could not run.
    """
    parser = argparse.ArgumentParser("python -m bench registry", description=__doc__)
    parser.add_argument(
        "--kept-in",
        type=_kinds,
        default=["sqlite"],
        metavar="KINDS",
        help=f"registries, comma-separated: {', '.join(KINDS)} (sqlite)",
    )
    parser.add_argument("--upstreams", type=int, help="records (1000), each with 20 tools")
    parser.add_argument("--changes", type=int, help="changes of each sort (50)")
    parser.add_argument("--rounds", type=int, help="rounds of load, and starts (3)")
    parser.add_argument("--seconds", type=float, help="measured seconds of a round (2)")
    parser.add_argument("--quick", action="store_true", help="a look: 100 records, 5 changes, 1 round of 1 s")
    parser.add_argument("--json", action="store_true", help="print JSON, every round in it")
    parser.add_argument("--command", default=default_command(), help="what to run (%(default)s)")
    options = parser.parse_args(arguments)
    defaults = {
        "upstreams": 100 if options.quick else 1000,
        "changes": 5 if options.quick else 50,
        "rounds": 1 if options.quick else 3,
        "seconds": 1.0 if options.quick else 2.0,
    }
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if min(options.upstreams / 10, options.changes, options.rounds, options.seconds * 100) < 1:
        parser.error("--upstreams counts from 10, --changes and --rounds from 1, --seconds from 0.01")
    return carry_out(lambda: run(options), as_json=options.json)
