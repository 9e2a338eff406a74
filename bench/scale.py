"""What must not grow: calls over long catalogs, memory under streams and calls, the cost of a frame."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import attrs

from bench.load import Round, Shape, load, median
from bench.machine import on_cores
from bench.measure import Cell, Plan, one_round, progress, served, settled_rss, throughput
from bench.native import Tools
from bench.processes import CannotRun

LONG_LIST = 1_000
LONG_CATALOG = 20_000
FRAMES = 1_000
CONNECTIONS = 16


@attrs.frozen
class Pair:
    """Rounds of one load over a short catalog and over a long one, in turn."""

    short: Shape
    long: Shape
    over_short: Sequence[Round]
    over_long: Sequence[Round]

    @property
    def errors(self) -> int:
        """Errors of all its rounds."""
        return sum(one.errors for one in (*self.over_short, *self.over_long))

    @property
    def ratio(self) -> float | None:
        """CPU of a call over the long catalog by that over the short one; None when a side has no figure."""
        short, long = median(self.over_short, "cpu_us"), median(self.over_long, "cpu_us")
        return long / short if short and long else None


@attrs.frozen
class Streams:
    """Memory of the gateway and its children under open event streams.

    Attributes:
        era: `legacy`: a session and its GET; `modern`: subscriptions/listen, acknowledged.
        streams: How many were opened.
        open: How many of them were still open when memory had been read.
        idle_bytes: RSS after the first answer.
        with_streams_bytes: RSS with them open.
        errors: Streams it refused or ended.
        first_error: What the first refusal was, "" for none.
    """

    era: str
    streams: int
    open: int
    idle_bytes: int
    with_streams_bytes: int
    errors: int
    first_error: str


@attrs.frozen
class Endurance:
    """Memory of the gateway and its children before and after very many calls.

    Attributes:
        calls: How many were answered between the two.
        before_bytes: RSS after the first tenth of as many calls.
        after_bytes: RSS after them.
        errors: Wrong or missing answers.
    """

    calls: int
    before_bytes: int
    after_bytes: int
    errors: int


def long_lists(plan: Plan, eras: Sequence[str], through: bool) -> list[Cell]:
    """`tools/list` of a long list, direct and through the gateway.

    Raises:
        CannotRun: A part did not start or ended early.
    """
    shapes = [Shape(era, "tools/list", CONNECTIONS, tools=LONG_LIST) for era in eras]
    return throughput(plan, shapes, through)


def framed_calls(plan: Plan, eras: Sequence[str], through: bool) -> list[Cell]:
    """One call at a time, each answered with many progress notifications first.

    Raises:
        CannotRun: A part did not start or ended early.
    """
    return throughput(plan, [Shape(era, "tools/call", 1, frames=FRAMES) for era in eras], through)


def catalogs(plan: Plan, eras: Sequence[str]) -> list[Pair]:
    """Calls through a gateway with 20 tools and through one with very many, in turn.

    Raises:
        CannotRun: A part did not start or ended early.
    """
    pairs = []
    with served(plan) as (_, small), served(plan, LONG_CATALOG) as (_, large):
        for era in eras:
            short = Shape(era, "tools/call", CONNECTIONS)
            long = attrs.evolve(short, tools=LONG_CATALOG)
            over_short: list[Round] = []
            over_long: list[Round] = []
            for number in range(plan.rounds):
                # Every other round begins with the long one: a drift of the machine favours neither.
                for side in (0, 1) if number % 2 == 0 else (1, 0):
                    running, shape, rounds = ((small, short, over_short), (large, long, over_long))[side]
                    running.check()
                    rounds.append(one_round(plan, running.port, shape, running.pid))
                progress(
                    f"{long} round {number + 1}/{plan.rounds}: {over_long[-1].calls_per_second:,.0f}/s, "
                    f"with {short.tools} {over_short[-1].calls_per_second:,.0f}/s"
                )
            pairs.append(Pair(short, long, over_short, over_long))
    return pairs


@attrs.define
class Held:
    """Event streams the load generator holds open.

    Attributes:
        streams: How many it got.
        errors: How many it did not; one is where it stops.
        first_error: Why, "" for none.
        open: How many the server had not closed when they were let go; 0 until then.
    """

    streams: int
    errors: int
    first_error: str
    open: int = 0


@contextmanager
def held(
    tools: Tools, port: int, era: str, count: int, cores: frozenset[int] | None = None
) -> Iterator[Held]:
    """That many event streams, open while entered.

    Raises:
        CannotRun: The load generator failed to give figures.
    """
    command = [str(tools.load), "--port", str(port), "--era", era, "--streams", str(count)]
    with on_cores(cores):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        if not (line := process.stdout.readline()):
            raise CannotRun("the load generator ended without opening streams")
        streams = Held(**json.loads(line))
        try:
            yield streams
        finally:
            process.stdin.close()
            if line := process.stdout.readline():
                streams.open = json.loads(line)["open"]


def streams(plan: Plan, era: str, count: int) -> Streams:
    """RSS of a fresh gateway after one call, and then with that many event streams open.

    Raises:
        CannotRun: A part did not start or ended early.
    """
    with served(plan) as (_, running):
        idle = settled_rss(running.pid)
        with held(plan.tools, running.port, era, count, plan.cores.load) as opened:
            full = settled_rss(running.pid)
        running.check()
    progress(f"{era} streams: {full / 1e6:.1f} MB with {opened.streams:,} open, {idle / 1e6:.1f} MB before")
    errors = opened.errors + opened.streams - opened.open
    return Streams(era, opened.streams, opened.open, idle, full, errors, opened.first_error)


def endurance(plan: Plan, eras: Sequence[str], calls: int) -> Endurance:
    """RSS of a gateway before and after that many calls, shared out over the eras.

    Raises:
        CannotRun: A part did not start or ended early.
    """
    with served(plan) as (_, running):

        def call(number: int) -> list[Round]:
            rounds = []
            for era in eras:
                shape = Shape(era, "tools/call", CONNECTIONS)
                part = number // len(eras)
                progress(f"{shape}: {part:,} calls")
                limit = 60.0 + part / 50
                rounds.append(load(plan.tools, running.port, shape, limit, cores=plan.cores.load, calls=part))
                running.check()
            return rounds

        first = call(calls // 10)
        before = settled_rss(running.pid)
        rest = call(calls)
        after = settled_rss(running.pid)
    done = sum(one.calls for one in rest)
    return Endurance(done, before, after, sum(one.errors for one in (*first, *rest)))
