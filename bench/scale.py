"""What must not grow: calls over long catalogs, memory under streams and calls, the cost of a frame."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from bench.load import Round, Shape, load, median
from bench.machine import cpu_seconds, on_cores
from bench.measure import Cell, Plan, one_round, progress, served, settled_rss, throughput
from bench.native import Tools
from bench.processes import CannotRun, Running, ask, free_port, inherited, started

LONG_LIST = 1_000
LONG_CATALOG = 20_000
FRAMES = 1_000
CHANGES = 40
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
class Listed:
    """A long list, and what it costs at least to write one, in turn.

    Attributes:
        shape: The load.
        whole: Through the gateway.
        bare: The same bytes from `bench.bare`.
    """

    shape: Shape
    whole: Sequence[Round]
    bare: Sequence[Round]

    @property
    def errors(self) -> int:
        """Errors of all its rounds."""
        return sum(one.errors for one in (*self.whole, *self.bare))

    @property
    def beside_us(self) -> float | None:
        """CPU microseconds of a list beside the write; None when a side has no figure."""
        whole, bare = median(self.whole, "cpu_us"), median(self.bare, "cpu_us")
        return whole - bare if whole and bare else None


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
class Told:
    """What it costs to tell many clients that a list has changed.

    Attributes:
        era: Of the clients; see `Streams`.
        clients: How many there were.
        cpu_us: CPU microseconds of one change: fetching the new list of one tool, and telling everybody.
        errors: Streams that could not be opened.
        first_error: What the first refusal was, "" for none.
    """

    era: str
    clients: int
    cpu_us: float
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


def lists_less_the_write(plan: Plan, eras: Sequence[str]) -> list[Listed]:
    """A long list through the gateway, and the same bytes from `bench.bare`, which only writes.

    Raises:
        CannotRun: A part did not start or ended early.
    """
    found = []
    with served(plan, LONG_LIST) as (_, running), _bare(plan, _list_of(running)) as bare:
        for era in eras:
            shape = Shape(era, "tools/list", CONNECTIONS, tools=LONG_LIST)
            whole: list[Round] = []
            written: list[Round] = []
            for number in range(plan.rounds):
                for side in (0, 1) if number % 2 == 0 else (1, 0):
                    other, rounds = ((running, whole), (bare, written))[side]
                    other.check()
                    rounds.append(one_round(plan, other.port, shape, other.pid))
                progress(
                    f"{shape} round {number + 1}/{plan.rounds}: {whole[-1].cpu_us:.1f} us, "
                    f"bare {written[-1].cpu_us:.1f} us"
                )
            found.append(Listed(shape, whole, written))
    return found


def _list_of(running: Running) -> bytes:
    """The result of a modern `tools/list`, as it comes.

    Raises:
        CannotRun: It did not come.
    """
    body, headers = _modern("tools/list", {})
    _, answer = ask(running.port, "POST", "/mcp", body, headers)
    _, found, result = answer.partition(b'"result":')
    if not found:
        raise CannotRun(f"no list: {answer[:200]!r}")
    return result[:-1]


def _modern(method: str, params: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The body and the headers of a modern request."""
    version = "2026-07-28"
    prefix = "io.modelcontextprotocol/"
    meta = {f"{prefix}protocolVersion": version, f"{prefix}clientCapabilities": {}}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    return json.dumps(body), {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": version,
        "Mcp-Method": method,
    }


@contextmanager
def _bare(plan: Plan, result: bytes) -> Iterator[Running]:
    """`bench.bare` on the gateway's core, answering with `result`.

    Raises:
        CannotRun: It did not start.
    """
    port = free_port()
    with TemporaryDirectory(prefix="portico-bench-") as folder:
        file = Path(folder, "result")
        file.write_bytes(result)
        words = [sys.executable, str(Path(__file__).with_name("bare.py")), str(port), str(file)]
        with started(words, port, Path(folder), inherited(), plan.cores.gateway) as running:
            while b"listening" not in Path(folder, "log").read_bytes():
                running.check()
                time.sleep(0.01)
            yield running


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


def told(plan: Plan, era: str, count: int) -> Told:
    """CPU of a gateway that tells that many clients that the list of tools is another one, several times.

    Raises:
        CannotRun: A part did not start or ended early, or a client was not told.
    """
    with (
        served(plan, 1) as (stub, running),
        held(plan.tools, running.port, era, count, plan.cores.load) as opened,
        _listener(running.port) as heard,
    ):

        def change(times: int) -> float:
            """CPU microseconds of that many changes, and of coming to rest after them."""
            settled_rss(running.pid)
            before = cpu_seconds(running.pid)
            for _ in range(times):
                os.kill(stub.pid, signal.SIGUSR1)
                heard()
            settled_rss(running.pid)
            running.check()
            return (cpu_seconds(running.pid) - before) * 1e6

        change(1)
        cpu = (change(CHANGES) - change(0)) / CHANGES
    progress(f"{era}: {opened.streams:,} clients told in {cpu / 1e3:.1f} ms of CPU")
    return Told(era, opened.streams, cpu, opened.errors, opened.first_error)


@contextmanager
def _listener(port: int) -> Iterator[Callable[[], None]]:
    """A modern client that listens; entered, it gives what waits for the next notice.

    Raises:
        CannotRun: It is not told.
    """
    body, headers = _modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/mcp", body, headers)
        answer = connection.getresponse()

        def heard(method: bytes = b"list_changed") -> None:
            try:
                while method not in (line := answer.readline()):
                    if not line:
                        raise CannotRun("the listener's stream has ended")
            except OSError as error:
                raise CannotRun(f"the listener was not told: {error}") from None

        heard(b"acknowledged")
        yield heard
    finally:
        connection.close()


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
