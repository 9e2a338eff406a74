"""`python -m bench workers`: what a second worker process adds, and how two share the connections."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from typing import Any, Final

import attrs

from bench.conclusion import carry_out
from bench.load import Round, Shape, median
from bench.machine import Cores, busy_seconds, choose_cores, cpu_seconds, family
from bench.measure import Plan, one_round, progress
from bench.native import build
from bench.processes import (
    Running,
    default_command,
    first_answer,
    gateway,
    stub_upstream,
    wait_ready,
)
from bench.report import machine
from bench.table import number, table

ERAS: Final = ("legacy", "modern")
BAR: Final = 1.8
"""How many times the calls of one worker two are to carry."""

_FULL: Final = 0.9
"""Of its core a worker uses at least this much when it, and not the load, is the limit."""


@attrs.frozen
class Side:
    """A gateway with so many workers, in one era.

    Attributes:
        workers: How many.
        rounds: What was measured.
        shares: The part of the workers' CPU time that the busiest had, in each round (0 to 1).
    """

    workers: int
    rounds: list[Round]
    shares: list[float]

    @property
    def cores(self) -> float:
        """How many cores it used while it was measured."""
        return statistics.median((one.cpu_us or 0) * one.calls_per_second / 1e6 for one in self.rounds)

    @property
    def starved(self) -> bool:
        """Whether something other than its workers was the limit."""
        return self.cores < _FULL * self.workers


@attrs.frozen
class Comparison:
    """One worker and two, in turn, in one era."""

    era: str
    one: Side
    two: Side

    @property
    def speedup(self) -> float | None:
        """Calls a second of two workers by those of one."""
        one, two = (median(side.rounds, "calls_per_second") for side in (self.one, self.two))
        return two / one if one and two else None

    @property
    def promise(self) -> float | None:
        """What that would be if each worker had a core: twice, less what a call costs more."""
        one, two = (median(side.rounds, "cpu_us") for side in (self.one, self.two))
        return 2 * one / two if one and two else None


@attrs.frozen
class WorkersReport:
    """What was found. Implements `conclusion.Reported`."""

    comparisons: Sequence[Comparison]
    cores: Cores
    connections: int
    rounds: int
    seconds: float
    others: float

    @property
    def errors(self) -> int:
        """Wrong or missing answers."""
        sides = [side for each in self.comparisons for side in (each.one, each.two)]
        return sum(one.errors for side in sides for one in side.rounds)

    def as_json(self) -> dict[str, Any]:
        """The report with every round's figures."""
        return {
            "machine": machine(),
            "cores": str(self.cores),
            "connections": self.connections,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "others": round(self.others, 3),
            "errors": self.errors,
            "eras": [
                {
                    "era": each.era,
                    "speedup": each.speedup,
                    "promise": each.promise,
                    "sides": [
                        {**attrs.asdict(side), "cores": side.cores, "starved": side.starved}
                        for side in (each.one, each.two)
                    ],
                }
                for each in self.comparisons
            ],
        }

    def as_text(self) -> str:
        """The report as a page of text."""
        rows = [["era", "workers", "calls/s", "p50 ms", "p99 ms", "CPU us/call", "cores used", "busiest had"]]
        for each in self.comparisons:
            for side in (each.one, each.two):
                row = [each.era, str(side.workers)]
                for figure, digits in (("calls_per_second", 0), ("p50_ms", 2), ("p99_ms", 2), ("cpu_us", 1)):
                    row.append(number(median(side.rounds, figure), digits))
                rows.append([*row, number(side.cores, 2), f"{statistics.median(side.shares):.0%}"])
        how = f"medians of {self.rounds} rounds of {self.seconds:g} s over {self.connections} connections"
        lines = [
            f"{machine()}; {self.cores}",
            f"{how}; others had {self.others:.0%} of the cores",
            "",
            *table(rows, left=1),
            "",
            *(_judged(each) for each in self.comparisons),
        ]
        if self.errors:
            lines += ["", f"{self.errors} ERRORS: the figures above do not count"]
        return "\n".join(lines)


def _judged(each: Comparison) -> str:
    said = f"{each.era}: two workers carry {number(each.speedup, 2)} times the calls of one"
    if not each.two.starved:
        held = (each.speedup or 0) >= BAR
        return f"{said}; {'at' if held else 'NOT at'} least {BAR}"
    held = (each.promise or 0) >= BAR
    return (
        f"{said}, but load and other processes starved them: they had {each.two.cores:.2f} of 2 cores. "
        f"By CPU per call, a core each gives {number(each.promise, 2)} times; "
        f"{'at' if held else 'NOT at'} least {BAR}"
    )


def choose() -> Cores:
    """Two cores for the gateway and one each for stub and load, where there are as many.

    With fewer, all workers have one core, as in the other benches: on it, what a second one costs shows best.
    """
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 4:
        return choose_cores()
    first, second, third, fourth = available[:4]
    return Cores(frozenset((first, second)), frozenset((third,)), frozenset((fourth,)))


def compare(plan: Plan, eras: Sequence[str], connections: int) -> list[Comparison]:
    """Rounds through a gateway with one worker and through one with two, in turn.

    Raises:
        CannotRun: A part did not start or ended early.
    """
    found = []
    with (
        stub_upstream(plan.tools, plan.cores.stub) as stub,
        gateway(f"{plan.command} --workers 1", stub.port, plan.cores.gateway) as single,
        gateway(f"{plan.command} --workers 2", stub.port, plan.cores.gateway) as double,
    ):
        for running in (single, double):
            wait_ready(running)
            first_answer(running)
        for era in eras:
            shape = Shape(era, "tools/call", connections)
            sides = (Side(1, [], []), Side(2, [], []))
            for turn in range(plan.rounds):
                # Every other round begins with the second: a drift of the machine favours neither.
                for which in (0, 1) if turn % 2 == 0 else (1, 0):
                    _measure(plan, (single, double)[which], shape, sides[which])
                one, two = (side.rounds[-1].calls_per_second for side in sides)
                progress(
                    f"{shape} round {turn + 1}/{plan.rounds}: {one:,.0f}/s with 1 worker, "
                    f"{two:,.0f}/s with 2, the busier had {sides[1].shares[-1]:.0%}"
                )
            found.append(Comparison(era, *sides))
    return found


def _measure(plan: Plan, running: Running, shape: Shape, side: Side) -> None:
    running.check()
    # A single worker is the gateway's own process; others are its children, and it only watches them.
    workers = [pid for pid in family(running.pid) if side.workers == 1 or pid != running.pid]
    before = [cpu_seconds(pid) for pid in workers]
    done = one_round(plan, running.port, shape, running.pid)
    spent = [cpu_seconds(pid) - was for pid, was in zip(workers, before, strict=True)]
    side.rounds.append(done)
    side.shares.append(max(spent) / (sum(spent) or 1))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench workers", description=__doc__)
    parser.add_argument("--era", choices=ERAS, help="only this one")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per era and side (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="measured seconds of a round (%(default)s)"
    )
    parser.add_argument("--connections", type=int, default=64, help="keep-alive connections (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON, every round in it")
    parser.add_argument(
        "--command",
        default=default_command(),
        help="what to run, `--workers N` added; {config}, {port}, {upstream} are filled in (%(default)s)",
    )
    options = parser.parse_args(arguments)
    if min(options.rounds, options.connections, options.seconds * 100) < 1:
        parser.error("--rounds and --connections count from 1, --seconds from 0.01")
    return options


def run(options: argparse.Namespace) -> WorkersReport:
    """Do what the options ask for.

    Raises:
        CannotBuild: The C tools cannot be had.
        CannotRun: A part did not start or ended early.
    """
    warmup = min(0.5, options.seconds / 2)
    plan = Plan(build(), choose(), options.command, options.rounds, options.seconds, warmup)
    used = plan.cores.used
    began, busy, own = time.perf_counter(), busy_seconds(used), cpu_seconds(os.getpid())
    found = compare(plan, [options.era] if options.era else ERAS, options.connections)
    passed = (time.perf_counter() - began) * len(used)
    others = busy_seconds(used) - busy - (cpu_seconds(os.getpid()) - own)
    return WorkersReport(
        comparisons=found,
        cores=plan.cores,
        connections=options.connections,
        rounds=options.rounds,
        seconds=options.seconds,
        others=max(0.0, others / passed),
    )


def main(arguments: Sequence[str]) -> int:
    """Compare one worker with two.

    Args:
        arguments: The command line after `workers`.

    Returns:
        0; 1 when an answer was wrong or missing; 2 when the bench could not run.
    """
    options = _options(arguments)
    return carry_out(lambda: run(options), as_json=options.json)
