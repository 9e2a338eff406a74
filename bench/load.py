"""The load generator, run from here: what it is told, what it found."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Sequence
from typing import Any

import attrs

from bench.machine import cpu_seconds, on_cores
from bench.native import Tools
from bench.processes import CannotRun


@attrs.frozen
class Endpoint:
    """Where and how an MCP server wants to be called.

    Attributes:
        path: The path of its MCP endpoint.
        tool: The name it gives the stub's tool `echo`; of several, with commas between them, each connection
            calls one.
        headers: Sent with every request.
        argument: What the text is called.
        inside: The argument, an object, that has the text; "" for none.
    """

    path: str = "/mcp"
    tool: str = "echo"
    headers: tuple[tuple[str, str], ...] = ()
    argument: str = "text"
    inside: str = ""

    def words(self) -> list[str]:
        """It, as arguments of the load generator."""
        words = ["--path", self.path, "--tool", self.tool, "--argument", self.argument]
        for name, value in self.headers:
            words += ["--header", f"{name}: {value}"]
        return [*words, "--inside", self.inside] if self.inside else words


@attrs.frozen
class Shape:
    """One kind of load.

    Attributes:
        era: `legacy` or `modern`; or `plain`, which is JSON over HTTP without MCP, or `agent`, which is
            `SendMessage` of A2A.
        method: `tools/call`, `tools/list`, `prompts/get` or `resources/read`.
        connections: How many carry it, each with one call in flight.
        tools: How many tools the upstream has.
        frames: Progress notifications before each answer.
    """

    era: str
    method: str
    connections: int
    tools: int = 20
    frames: int = 0

    def __str__(self) -> str:
        more = f" of {self.tools:,} tools" if self.tools != 20 else ""
        more += f" with {self.frames:,} frames" if self.frames else ""
        return f"{self.era} {self.method}{more} x{self.connections}"


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
    endpoint: Endpoint | None = None,
    calls: int = 0,
    children: bool = True,
) -> Round:
    """Run the load generator once.

    Args:
        tools: The built C programs.
        port: The port on 127.0.0.1 to call.
        shape: What to ask for, and over how many connections.
        seconds: How long to measure.
        warmup: How long to call before that.
        cores: Where the load generator runs.
        watched: The process whose CPU time, with its descendants', is charged to the calls.
        endpoint: How the server wants to be called; None for the stub's way.
        calls: Stop at this many right answers, if that is sooner; 0 for no such end.
        children: Whether the descendants of the watched process are watched, too.

    Raises:
        CannotRun: The load generator failed to give figures.
    """
    command = [str(tools.load), "--port", str(port), "--era", shape.era, "--method", shape.method]
    command += ["--connections", str(shape.connections), "--seconds", str(seconds), "--warmup", str(warmup)]
    command += ["--frames", str(shape.frames), "--calls", str(calls), *(endpoint or Endpoint()).words()]
    return drive(command, cores, watched, children)


def drive(
    command: Sequence[str],
    cores: frozenset[int] | None = None,
    watched: int | None = None,
    children: bool = True,
) -> Round:
    """Run a load generator: whatever prints the two events and the figures as `native/load.c` does.

    Args:
        command: Its argument list.
        cores: Where it runs.
        watched: As with `load`.
        children: Whether the CPU time of the watched process's descendants is charged, too.

    Raises:
        CannotRun: It failed to give figures.
    """
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
                marks.append(cpu_seconds(watched, children=children))
    if not figures:
        raise CannotRun(f"the load generator ended with status {process.returncode} and no figures")
    fields = {field.name: figures[field.name] for field in attrs.fields(Round) if field.name in figures}
    if len(marks) == 2 and figures["calls"]:
        fields["cpu_us"] = (marks[1] - marks[0]) / figures["calls"] * 1e6
    return Round(**fields)
