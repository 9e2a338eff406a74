"""The report: a table for people, JSON for machines."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from bench.machine import Cores
from bench.measure import Cell, Memory, Round, median

FIGURES = ("calls_per_second", "p50_ms", "p99_ms", "max_ms", "cpu_us")


@attrs.frozen
class Report:
    """Everything a run found.

    Attributes:
        cells: One per shape.
        memory: None when it was not measured.
        cold_starts: Seconds; empty when not measured.
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

    @property
    def errors(self) -> int:
        """Wrong or missing answers of the whole run."""
        return sum(cell.errors for cell in self.cells) + (self.memory.errors if self.memory else 0)

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
            "throughput": [
                {**attrs.asdict(cell.shape), "direct": _side(cell.direct), "through": _side(cell.through)}
                for cell in self.cells
            ],
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
        if self.cells:
            lines += ["", *_table(self.cells)]
        if self.memory:
            lines += ["", *_memory(self.memory)]
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


def _table(cells: Sequence[Cell]) -> list[str]:
    head = ["method", "era", "conns", "direct/s", "p50 ms", "p99 ms", "through/s", "p50 ms", "p99 ms"]
    rows = [[*head, "CPU us/call", "errors"]]
    for cell in cells:
        shape = cell.shape
        row = [shape.method, shape.era, str(shape.connections)]
        for side in (cell.direct, cell.through):
            row += [_number(median(side, "calls_per_second"), 0)]
            row += [_number(median(side, "p50_ms"), 3), _number(median(side, "p99_ms"), 3)]
        rows.append([*row, _number(median(cell.through, "cpu_us"), 1), str(cell.errors)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cellular = [
            text.ljust(width) if column < 2 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cellular).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


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
