"""The measurements: rounds of load, idle memory, cold start."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import attrs

from bench.machine import Cores, cpu_seconds, on_cores, rss_bytes
from bench.native import Tools
from bench.processes import CannotRun, Running, first_answer, gateway, stub_upstream, wait_ready


@attrs.frozen
class Round:
    """One run of the load generator.

    Attributes:
        calls: Right answers in the measured time.
        calls_per_second: The same, per second.
        p50_ms: Median time from sending a request to having its whole answer.
        p99_ms: 99th percentile of it.
        max_ms: The longest.
        errors: Wrong or missing answers, warm-up included.
        reconnects: Connections the other side closed, opened again; warm-up included.
        sse: How many answers came as an event stream; warm-up included.
        first_error: What the first error was, "" for none.
        cpu_us: CPU microseconds of the gateway per call; None for a direct run.
    """

    calls: int
    calls_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    reconnects: int
    sse: int
    first_error: str
    cpu_us: float | None = None


@attrs.frozen
class Shape:
    """One kind of load: the era, the method and how many connections carry it."""

    era: str
    method: str
    connections: int

    def __str__(self) -> str:
        return f"{self.era} {self.method} x{self.connections}"


@attrs.frozen
class Cell:
    """One shape's rounds, straight to the stub and through the gateway (empty when there was none)."""

    shape: Shape
    direct: Sequence[Round]
    through: Sequence[Round]

    @property
    def errors(self) -> int:
        """Errors of all its rounds."""
        return sum(one.errors for one in (*self.direct, *self.through))


@attrs.frozen
class Memory:
    """Idle memory of the gateway and its children.

    Attributes:
        idle_bytes: RSS after the first answer.
        sessions: How many legacy sessions were then opened and left.
        with_sessions_bytes: RSS with them open and no connection.
        errors: Sessions it refused.
        first_error: What the first refusal was, "" for none.
    """

    idle_bytes: int
    sessions: int
    with_sessions_bytes: int
    errors: int
    first_error: str


@attrs.frozen
class Plan:
    """What to run, and on what.

    Attributes:
        tools: The built C programs.
        cores: Where the parts run.
        command: The gateway's command line; see `processes.gateway`.
        rounds: Rounds per shape and side.
        seconds: Measured seconds of a round.
        warmup: Seconds of load before them.
    """

    tools: Tools
    cores: Cores
    command: str
    rounds: int
    seconds: float
    warmup: float


def progress(text: str) -> None:
    """Say on stderr what is going on."""
    print(text, file=sys.stderr, flush=True)


def median(rounds: Sequence[Round], figure: str) -> float | None:
    """The median of one figure over the rounds; None where there is none."""
    values = [value for one in rounds if (value := getattr(one, figure)) is not None]
    return statistics.median(values) if values else None


def load(
    tools: Tools,
    port: int,
    shape: Shape,
    seconds: float,
    warmup: float = 0.0,
    cores: frozenset[int] | None = None,
    watched: int | None = None,
) -> Round:
    """Run the load generator once.

    Args:
        tools: The built C programs.
        port: The port on 127.0.0.1 to call.
        shape: Era, method, connections.
        seconds: How long to measure.
        warmup: How long to call before that.
        cores: Where the load generator runs.
        watched: The process whose CPU time, with its descendants', is charged to the calls.

    Raises:
        CannotRun: The load generator failed to give figures.
    """
    command = [str(tools.load), "--port", str(port), "--era", shape.era, "--method", shape.method]
    command += ["--connections", str(shape.connections), "--seconds", str(seconds), "--warmup", str(warmup)]
    marks: list[float] = []
    figures: dict[str, Any] = {}
    with on_cores(cores):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            if "event" not in said:
                figures = said
            elif watched is not None:
                marks.append(cpu_seconds(watched))
    if not figures:
        raise CannotRun(f"the load generator ended with status {process.returncode} and no figures")
    fields = {field.name: figures[field.name] for field in attrs.fields(Round) if field.name in figures}
    if len(marks) == 2 and figures["calls"]:
        fields["cpu_us"] = (marks[1] - marks[0]) / figures["calls"] * 1e6
    return Round(**fields)


def throughput(plan: Plan, shapes: Sequence[Shape], through: bool) -> list[Cell]:
    """Every shape: direct and through the gateway in turn, round after round.

    Args:
        plan: What to run.
        shapes: The loads, in this order.
        through: False leaves the gateway out.

    Raises:
        CannotRun: A part did not start or ended early.
    """
    cells = []
    with ExitStack() as stack:
        stub = stack.enter_context(stub_upstream(plan.tools, plan.cores.stub))
        served: Running | None = None
        if through:
            served = stack.enter_context(gateway(plan.command, stub.port, plan.cores.gateway))
            wait_ready(served)
            first_answer(served)
        for shape in shapes:
            direct: list[Round] = []
            passed: list[Round] = []
            for number in range(plan.rounds):
                direct.append(_round(plan, stub.port, shape))
                if served is not None:
                    served.check()
                    passed.append(_round(plan, served.port, shape, served.pid))
                last = "" if not passed else f", through {passed[-1].calls_per_second:,.0f}/s"
                progress(
                    f"{shape} round {number + 1}/{plan.rounds}: "
                    f"direct {direct[-1].calls_per_second:,.0f}/s{last}"
                )
            cells.append(Cell(shape, direct, passed))
    return cells


def _round(plan: Plan, port: int, shape: Shape, watched: int | None = None) -> Round:
    done = load(plan.tools, port, shape, plan.seconds, plan.warmup, plan.cores.load, watched)
    if done.errors:
        side = "direct" if watched is None else "through"
        progress(f"  {shape} {side}: {done.errors} errors, the first: {done.first_error}")
    return done


def memory(plan: Plan, sessions: int) -> Memory:
    """RSS of a fresh gateway after one call, and then with that many idle legacy sessions.

    Raises:
        CannotRun: A part did not start or ended early.
    """
    with (
        stub_upstream(plan.tools, plan.cores.stub) as stub,
        gateway(plan.command, stub.port, plan.cores.gateway) as served,
    ):
        wait_ready(served)
        first_answer(served)
        idle = _settled_rss(served.pid)
        progress(f"memory: {idle / 1e6:.1f} MB idle; opening {sessions:,} sessions")
        command = [str(plan.tools.load), "--port", str(served.port), "--sessions", str(sessions)]
        with on_cores(plan.cores.load):
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        served.check()
        if not done.stdout:
            raise CannotRun(f"the load generator ended with status {done.returncode} and no figures")
        said = json.loads(done.stdout)
        full = _settled_rss(served.pid)
        progress(f"memory: {full / 1e6:.1f} MB with {said['sessions']:,} sessions")
        return Memory(idle, said["sessions"], full, said["errors"], said["first_error"])


def _settled_rss(pid: int) -> int:
    """RSS once it stands still: the same for a second, or as it is after five."""
    seen = [rss_bytes(pid)]
    for _ in range(20):
        time.sleep(0.25)
        seen.append(rss_bytes(pid))
        if len(seen) > 4 and max(seen[-5:]) - min(seen[-5:]) < 200_000:
            break
    return seen[-1]


def cold_start(plan: Plan) -> list[float]:
    """Seconds from spawn to the first right answer, once per round; nothing is pinned but the stub.

    One start before them is not counted: it warms bytecode and file caches, as any second start has them.

    Raises:
        CannotRun: A part did not start or ended early.
    """
    times = []
    with stub_upstream(plan.tools, plan.cores.stub) as stub:
        for number in range(plan.rounds + 1):
            with gateway(plan.command, stub.port) as served:
                took = first_answer(served)
            if number:
                times.append(took)
                progress(f"cold start {number}/{plan.rounds}: {took:.2f} s")
    return times


def shapes(eras: Sequence[str], methods: Sequence[str], connections: Sequence[int]) -> list[Shape]:
    """Every combination, in the order of the report."""
    return [Shape(era, method, count) for method in methods for era in eras for count in connections]
