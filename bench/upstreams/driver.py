"""`python -m bench upstreams`: what each kind of upstream adds to calling the same thing directly."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import attrs

from bench.conclusion import carry_out
from bench.load import Endpoint, Round, Shape, drive, load, median
from bench.machine import Cores, busy_seconds, choose_cores, cpu_seconds
from bench.measure import Plan, progress
from bench.native import build
from bench.processes import Running, default_command, gateway, wait_ready
from bench.report import machine
from bench.table import number, table
from bench.upstreams.kinds import HEAD, KINDS, Kind, Row


@attrs.frozen
class Beside:
    """One row over so many connections: without the gateway, and through it."""

    what: str
    connections: int
    direct: list[Round]
    through: list[Round]

    @property
    def errors(self) -> int:
        """Errors of all its rounds."""
        return sum(one.errors for one in (*self.direct, *self.through))


@attrs.frozen
class UpstreamsReport:
    """What was found. Implements `conclusion.Reported`.

    Attributes:
        rows: One for each row and count of connections.
        left_out: Kinds that could not be measured, and why.
        cores: Where the parts ran.
        rounds: Rounds per row and side.
        seconds: Measured seconds of a round.
        others: See `conclusion.Reported`.
    """

    rows: Sequence[Beside]
    left_out: Sequence[str]
    cores: Cores
    rounds: int
    seconds: float
    others: float

    @property
    def errors(self) -> int:
        """Wrong or missing answers."""
        return sum(row.errors for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """The report with every round's figures."""
        return {
            "machine": machine(),
            "cores": str(self.cores),
            "rounds": self.rounds,
            "seconds": self.seconds,
            "others": round(self.others, 3),
            "errors": self.errors,
            "left_out": list(self.left_out),
            "rows": [attrs.asdict(row) for row in self.rows],
        }

    def as_text(self) -> str:
        """The report as a page of text."""
        head = ["upstream", "conn.", "direct/s", "through/s", "p50 ms", "p50 ms", "p99 ms", "p99 ms"]
        rows = [[*head, "client us", "gateway us"]]
        for each in self.rows:
            cells = [each.what, str(each.connections)]
            for figure, digits in (("calls_per_second", 0), ("p50_ms", 3), ("p99_ms", 3), ("cpu_us", 1)):
                cells += [number(median(side, figure), digits) for side in (each.direct, each.through)]
            rows.append(cells)
        how = f"medians of {self.rounds} rounds of {self.seconds:g} s, direct and through the gateway in turn"
        lines = [
            f"{machine()}; {self.cores}",
            f"{how}; others had {self.others:.0%} of the cores",
            "of each pair of columns the first is direct; CPU of the lean client and of the gateway a call",
            "",
            *table(rows, left=1),
            *(f"left out: {each}" for each in self.left_out),
        ]
        if self.errors:
            lines += ["", f"{self.errors} ERRORS: the figures above do not count"]
        return "\n".join(lines)


def measure(plan: Plan, kind: Kind, connections: Sequence[int]) -> list[Beside]:
    """All rows of one kind.

    Raises:
        CannotRun: A part did not start or ended early.
    """
    with (
        kind.stub(plan) as (port, where),
        gateway(plan.command, port, plan.cores.gateway, HEAD + kind.config) as running,
    ):
        wait_ready(running)
        return [_turns(plan, row, count, port, where, running) for row in kind.rows for count in connections]


def _turns(plan: Plan, row: Row, connections: int, port: int, where: str, running: Running) -> Beside:
    made = Beside(row.what, connections, [], [])
    for turn in range(plan.rounds):
        running.check()
        direct = _direct(plan, row, connections, port, where)
        if direct is not None:
            made.direct.append(direct)
        shape = row.shape(connections)
        through = load(
            *(plan.tools, running.port, shape, plan.seconds, plan.warmup, plan.cores.load, running.pid),
            endpoint=row.endpoint,
            children=False,
        )
        made.through.append(through)
        said = f"{direct.calls_per_second:,.0f}/s direct, " if direct is not None else ""
        progress(
            f"{row.what} x{connections} round {turn + 1}/{plan.rounds}: "
            f"{said}{through.calls_per_second:,.0f}/s through"
        )
        for one in (direct, through):
            if one is not None and one.errors:
                progress(f"  {one.errors} errors, the first: {one.first_error}")
    return made


def _direct(plan: Plan, row: Row, connections: int, port: int, where: str) -> Round | None:
    if row.native is not None:
        era, path = row.native
        shape = Shape(era, row.method, connections, frames=row.frames)
        endpoint = Endpoint(path=path, tool=row.tool)
        return load(plan.tools, port, shape, plan.seconds, plan.warmup, plan.cores.load, endpoint=endpoint)
    if not row.lean:
        return None
    command = [sys.executable, "-m", "bench.upstreams.lean", row.lean, where]
    command += ["--connections", str(connections), "--seconds", str(plan.seconds)]
    command += ["--warmup", str(plan.warmup), "--frames", str(row.frames)]
    return drive(command, plan.cores.gateway)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    names = [kind.name for kind in KINDS]
    parser = argparse.ArgumentParser("python -m bench upstreams", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAMES", help=f"of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per row and side (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="measured seconds of a round (%(default)s)"
    )
    parser.add_argument("--connections", default="1,16", help="keep-alive connections (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON, every round in it")
    parser.add_argument(
        "--command",
        default=default_command(),
        help="what to run as the gateway; {config} and {port} are filled in (%(default)s)",
    )
    options = parser.parse_args(arguments)
    options.only = set(filter(None, options.only.split(",")))
    if unknown := sorted(options.only - set(names)):
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(names)}")
    options.connections = [int(word) for word in options.connections.split(",")]
    if min(options.rounds, options.seconds * 100, *options.connections) < 1:
        parser.error("--rounds and --connections count from 1, --seconds from 0.01")
    return options


def run(options: argparse.Namespace) -> UpstreamsReport:
    """Do what the options ask for.

    Raises:
        CannotBuild: The C tools cannot be had.
        CannotRun: A part did not start or ended early.
    """
    warmup = min(0.5, options.seconds / 2)
    plan = Plan(build(), choose_cores(), options.command, options.rounds, options.seconds, warmup)
    used = plan.cores.used
    began, busy, own = time.perf_counter(), busy_seconds(used), cpu_seconds(os.getpid())
    rows: list[Beside] = []
    left_out = []
    for kind in KINDS:
        if options.only and kind.name not in options.only:
            continue
        if kind.missing:
            left_out.append(f"{kind.name}: {kind.missing}")
            continue
        rows += measure(plan, kind, options.connections)
    passed = (time.perf_counter() - began) * len(used)
    others = busy_seconds(used) - busy - (cpu_seconds(os.getpid()) - own)
    return UpstreamsReport(
        rows=rows,
        left_out=left_out,
        cores=plan.cores,
        rounds=options.rounds,
        seconds=options.seconds,
        others=max(0.0, others / passed),
    )


def main(arguments: Sequence[str]) -> int:
    """Compare calls through the gateway with direct ones.

    Args:
        arguments: The command line after `upstreams`.

    Returns:
        0; 1 when an answer was wrong or missing; 2 when the bench could not run.
    """
    options = _options(arguments)
    return carry_out(lambda: run(options), as_json=options.json)
