"""The report: a table for people, JSON for machines."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from bench.duties import Duties
from bench.listing import Listed
from bench.load import Round, median
from bench.machine import Cores
from bench.measure import Cell, Memory
from bench.scale import Endurance, Pair, Streams
from bench.table import number, table
from bench.telling import Told

FIGURES = ("calls_per_second", "p50_ms", "p99_ms", "max_ms", "cpu_us")


@attrs.frozen
class Report:
    """Everything a run found.

    Attributes:
        cells: One per shape.
        memory: None when it was not measured.
        cold_starts: Seconds; empty when not measured.
        lists: Long lists; empty when not measured, as are the next four.
        pairs: Calls over a long catalog and a short one.
        framed: Calls answered with many progress notifications.
        duties: Calls with and without token, rate limit and access log.
        streams: Memory under open event streams.
        endurance: Memory after very many calls; None when not measured.
        listed: Long lists beside the mere write of them; empty when not measured.
        told: Many clients told of a change; empty when not measured.
        cores: Where the parts ran.
        rounds: Rounds per shape and side.
        seconds: Measured seconds of a round.
        load_average: The machine's, over the minute before the run.
        others: Share (0 to 1) of the cores used that went to other processes during the run.
    """

    cells: Sequence[Cell]
    memory: Memory | None
    cold_starts: Sequence[float]
    cores: Cores
    rounds: int
    seconds: float
    load_average: float
    others: float
    lists: Sequence[Cell] = ()
    pairs: Sequence[Pair] = ()
    framed: Sequence[Cell] = ()
    duties: Sequence[Duties] = ()
    streams: Sequence[Streams] = ()
    endurance: Endurance | None = None
    listed: Sequence[Listed] = ()
    told: Sequence[Told] = ()

    @property
    def errors(self) -> int:
        """Wrong or missing answers of the whole run."""
        errors = [cell.errors for cell in (*self.cells, *self.lists, *self.framed)]
        errors += [one.errors for one in (*self.pairs, *self.duties)] + [one.errors for one in self.streams]
        errors += [self.memory.errors] if self.memory else []
        errors += [one.errors for one in self.listed] + [one.errors for one in self.told]
        errors += [self.endurance.errors] if self.endurance else []
        return sum(errors)

    def as_json(self) -> dict[str, Any]:
        """The report with every round's figures and their medians."""
        return {
            "machine": machine(),
            "cores": str(self.cores),
            "rounds": self.rounds,
            "seconds": self.seconds,
            "load_average": round(self.load_average, 2),
            "others": round(self.others, 3),
            "errors": self.errors,
            "throughput": [_cell(cell) for cell in self.cells],
            "long_lists": [_cell(cell) for cell in self.lists],
            "long_catalog": [
                {
                    **attrs.asdict(pair.long),
                    "cpu_ratio": pair.ratio,
                    "short": _side(pair.over_short),
                    "long": _side(pair.over_long),
                }
                for pair in self.pairs
            ],
            "long_lists_less_the_write": [
                {
                    **attrs.asdict(one.shape),
                    "cpu_us": one.beside_us,
                    "bare": _side(one.bare),
                    "list": _side(one.whole),
                }
                for one in self.listed
            ],
            "progress": [_cell(cell) for cell in self.framed],
            "duties": [
                {
                    **attrs.asdict(one.shape),
                    "cpu_difference": one.difference,
                    "bare": _side(one.bare),
                    "full": _side(one.full),
                }
                for one in self.duties
            ],
            "streams": [attrs.asdict(one) for one in self.streams],
            "told": [attrs.asdict(one) for one in self.told],
            "endurance": attrs.asdict(self.endurance) if self.endurance else None,
            "memory": attrs.asdict(self.memory) if self.memory else None,
            "cold_start_seconds": {
                "median": statistics.median(self.cold_starts),
                "rounds": [round(one, 4) for one in self.cold_starts],
            }
            if self.cold_starts
            else None,
        }

    def as_text(self) -> str:
        """The report as a page of text."""
        lines = [
            f"{machine()}; {self.cores}",
            f"medians of {self.rounds} rounds of {self.seconds:g} s",
            f"load average before {self.load_average:.2f}; others had {self.others:.0%} of the cores",
        ]
        if self.cells or self.lists:
            lines += ["", *_table((*self.cells, *self.lists))]
        if self.duties:
            lines += ["", *_duties(self.duties)]
        if self.pairs or self.framed or self.listed:
            lines += ["", *map(_listed, self.listed), *map(_pair, self.pairs)]
            lines += [*(line for cell in self.framed for line in _framed(cell))]
        if self.memory:
            lines += ["", *_memory(self.memory)]
        if self.streams or self.endurance or self.told:
            lines += ["", *(line for one in self.streams for line in _streams(one)), *map(_told, self.told)]
            lines += [_endurance(self.endurance)] if self.endurance else []
        if self.cold_starts:
            lines += ["", f"cold start to first answer     {statistics.median(self.cold_starts):.2f} s"]
        if self.errors:
            lines += ["", f"{self.errors} ERRORS: the figures above do not count"]
        return "\n".join(lines)


def machine() -> str:
    """The processor, the kernel and the Python that runs the driver."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, Linux {platform.release()}, Python {platform.python_version()}"


def _side(rounds: Sequence[Round]) -> dict[str, Any] | None:
    if not rounds:
        return None
    medians = {figure: median(rounds, figure) for figure in FIGURES}
    return {"median": medians, "rounds": [attrs.asdict(one) for one in rounds]}


def _cell(cell: Cell) -> dict[str, Any]:
    return {**attrs.asdict(cell.shape), "direct": _side(cell.direct), "through": _side(cell.through)}


def _table(cells: Sequence[Cell]) -> list[str]:
    head = ["method", "era", "conns", "direct/s", "p50 ms", "p99 ms", "through/s", "p50 ms", "p99 ms"]
    rows = [[*head, "CPU us/call", "errors"]]
    for cell in cells:
        shape = cell.shape
        more = f" of {shape.tools:,}" if shape.tools != 20 else ""
        row = [shape.method + more, shape.era, str(shape.connections)]
        for side in (cell.direct, cell.through):
            row += [number(median(side, "calls_per_second"), 0)]
            row += [number(median(side, "p50_ms"), 3), number(median(side, "p99_ms"), 3)]
        rows.append([*row, number(median(cell.through, "cpu_us"), 1), str(cell.errors)])
    return table(rows, left=2)


def _duties(measured: Sequence[Duties]) -> list[str]:
    rows = [["with token, rate limit, log", "era", "conns", "bare us/call", "us/call", "more", "through/s"]]
    for one in measured:
        bare, full = median(one.bare, "cpu_us"), median(one.full, "cpu_us")
        row = [one.shape.method, one.shape.era, str(one.shape.connections), number(bare, 1), number(full, 1)]
        rows.append([*row, number(one.difference, 1), number(median(one.full, "calls_per_second"), 0)])
    return table(rows, left=2)


def _listed(one: Listed) -> str:
    whole, bare = median(one.whole, "cpu_us"), median(one.bare, "cpu_us")
    return (
        f"{one.shape.era} tools/list of {one.shape.tools:,}: {number(whole, 1)} us CPU a list, "
        f"the bare write {number(bare, 1)} us: {number(one.beside_us, 1)} us beside it"
    )


def _pair(pair: Pair) -> str:
    long, short = median(pair.over_long, "cpu_us"), median(pair.over_short, "cpu_us")
    return (
        f"{pair.long.era} tools/call with {pair.long.tools:,} tools: {number(long, 1)} us CPU a call, "
        f"with {pair.short.tools} {number(short, 1)} us: ratio {number(pair.ratio, 3)}"
    )


def _framed(cell: Cell) -> list[str]:
    frames = cell.shape.frames
    name = f"{cell.shape.era} tools/call with {frames:,} progress frames"
    direct = (median(cell.direct, "calls_per_second") or 0) * frames
    if not cell.through:
        return [f"{name}: direct {direct:,.0f} frames/s"]
    rate = (median(cell.through, "calls_per_second") or 0) * frames
    cpu = median(cell.through, "cpu_us")
    each = number(cpu / frames if cpu else None, 2)
    return [f"{name}: direct {direct:,.0f} frames/s, through {rate:,.0f} frames/s, {each} us CPU a frame"]


def _streams(one: Streams) -> list[str]:
    extra = one.with_streams_bytes - one.idle_bytes
    kind = "legacy GET" if one.era == "legacy" else "subscriptions/listen"
    each = extra / 1e3 / one.streams if one.streams else 0.0
    name = f"RSS with {one.streams:,} open {kind} streams"
    lines = [f"{name}  {one.with_streams_bytes / 1e6:.1f} MB (+{extra / 1e6:.1f} MB, {each:.1f} KB each)"]
    if one.errors:
        lines.append(f"  {one.errors} refused or ended: {one.first_error}")
    return lines


def _told(one: Told) -> str:
    kind = "legacy GET" if one.era == "legacy" else "subscriptions/listen"
    each = number(one.cpu_us / one.clients if one.clients else None, 1)
    line = f"a change told on {one.clients:,} {kind} streams  {each} us CPU each"
    return f"{line}; {one.errors} refused: {one.first_error}" if one.errors else line


def _endurance(one: Endurance) -> str:
    before, after = one.before_bytes / 1e6, one.after_bytes / 1e6
    name = f"RSS after {one.calls:,} calls"
    return f"{name}  {after:.1f} MB, before {before:.1f} MB ({after - before:+.1f} MB)"


def _memory(memory: Memory) -> list[str]:
    idle, full = memory.idle_bytes / 1e6, memory.with_sessions_bytes / 1e6
    extra = full - idle
    each = extra * 1e3 / memory.sessions if memory.sessions else 0.0
    lines = [
        f"RSS idle                       {idle:.1f} MB",
        f"RSS with {memory.sessions:>6,} idle sessions  {full:.1f} MB (+{extra:.1f} MB, {each:.1f} KB each)",
    ]
    if memory.errors:
        lines.append(f"  sessions ended early: {memory.first_error}")
    return lines
