"""The measurements everybody wants: rounds of load, idle memory, cold start."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby

import attrs

from bench.load import Round, Shape, load
from bench.machine import Cores, on_cores, rss_bytes
from bench.native import Tools
from bench.processes import CannotRun, Running, first_answer, gateway, stub_upstream, wait_ready


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


@contextmanager
def served(plan: Plan, tools: int = 20) -> Iterator[tuple[Running, Running]]:
    """A stub with that many tools and a gateway in front of it that has answered once: both of them.

    Raises:
        CannotRun: One of them did not start.
    """
    with (
        stub_upstream(plan.tools, plan.cores.stub, tools) as stub,
        gateway(plan.command, stub.port, plan.cores.gateway) as running,
    ):
        wait_ready(running)
        first_answer(running)
        yield stub, running


def throughput(plan: Plan, shapes: Sequence[Shape], through: bool) -> list[Cell]:
    """Every shape: direct and through the gateway in turn, round after round.

    Args:
        plan: What to run.
        shapes: The loads, in this order; neighbours with as many tools share their processes.
        through: False leaves the gateway out.

    Raises:
        CannotRun: A part did not start or ended early.
    """
    cells = []
    for tools, alike in groupby(shapes, lambda shape: shape.tools):
        with ExitStack() as stack:
            running: Running | None = None
            if through:
                stub, running = stack.enter_context(served(plan, tools))
            else:
                stub = stack.enter_context(stub_upstream(plan.tools, plan.cores.stub, tools))
            cells += [_cell(plan, shape, stub, running) for shape in alike]
    return cells


def _cell(plan: Plan, shape: Shape, stub: Running, running: Running | None) -> Cell:
    direct: list[Round] = []
    passed: list[Round] = []
    for number in range(plan.rounds):
        direct.append(one_round(plan, stub.port, shape))
        if running is not None:
            running.check()
            passed.append(one_round(plan, running.port, shape, running.pid))
        last = "" if not passed else f", through {passed[-1].calls_per_second:,.0f}/s"
        progress(
            f"{shape} round {number + 1}/{plan.rounds}: direct {direct[-1].calls_per_second:,.0f}/s{last}"
        )
    return Cell(shape, direct, passed)


def one_round(plan: Plan, port: int, shape: Shape, watched: int | None = None) -> Round:
    """One round of the plan's length; its errors are told at once.

    Raises:
        CannotRun: The load generator failed to give figures.
    """
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
    with served(plan) as (_, running):
        idle = settled_rss(running.pid)
        progress(f"memory: {idle / 1e6:.1f} MB idle; opening {sessions:,} sessions")
        command = [str(plan.tools.load), "--port", str(running.port), "--sessions", str(sessions)]
        with on_cores(plan.cores.load):
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        running.check()
        if not done.stdout:
            raise CannotRun(f"the load generator ended with status {done.returncode} and no figures")
        said = json.loads(done.stdout)
        full = settled_rss(running.pid)
        progress(f"memory: {full / 1e6:.1f} MB with {said['sessions']:,} sessions")
        return Memory(idle, said["sessions"], full, said["errors"], said["first_error"])


def settled_rss(pid: int) -> int:
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
            with gateway(plan.command, stub.port) as running:
                took = first_answer(running)
            if number:
                times.append(took)
                progress(f"cold start {number}/{plan.rounds}: {took:.2f} s")
    return times


def shapes(eras: Sequence[str], methods: Sequence[str], connections: Sequence[int]) -> list[Shape]:
    """Every combination, in the order of the report."""
    return [Shape(era, method, count) for method in methods for era in eras for count in connections]
