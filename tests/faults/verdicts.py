"""What held and what did not: one row for each fault, side and pair of eras."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

ANSWER = "one answer"
OWN = "own answer"
ONCE = "at most once"
CANCEL = "cancelled"
SAID = "as said"
NEXT = "next call"
RECOVERS = "recovers"
LEAK = "no leak"
MEMORY = "memory"
LOG = "quiet log"
INVARIANTS = (ANSWER, OWN, ONCE, CANCEL, SAID, NEXT, RECOVERS, LEAK, MEMORY, LOG)


@attrs.define
class Row:
    """The verdicts on one combination.

    Attributes:
        fault: Which fault or scenario.
        side: Where it struck: `upstream`, `client`, `gateway`.
        eras: `client>upstream`.
        seed: What it was run with.
        requests: How many were made.
        results: How many got their result.
        errors: How many got an error.
        ended: How many saw the connection end, or gave up, instead.
        checks: Invariant -> the breaches of it that were seen; empty when it held. Absent: not looked at.
        facts: Figures worth showing.
    """

    fault: str
    side: str
    eras: str
    seed: int
    requests: int = 0
    results: int = 0
    errors: int = 0
    ended: int = 0
    checks: dict[str, list[str]] = attrs.field(factory=dict)
    facts: dict[str, Any] = attrs.field(factory=dict)

    def check(self, invariant: str, *breaches: str | None) -> None:
        """Note that an invariant was looked at, and what was seen against it."""
        self.checks.setdefault(invariant, []).extend(each for each in breaches if each)

    def hold(self, invariant: str, held: bool, otherwise: str) -> None:
        """Note that an invariant was looked at; `otherwise` is what to say when it does not hold."""
        self.check(invariant, None if held else otherwise)

    @property
    def breached(self) -> bool:
        """Whether anything did not hold."""
        return any(self.checks.values())


def table(rows: Sequence[Row]) -> str:
    """The matrix for people: `ok`, `BREACH`, or `-` for what a row does not look at."""
    titles = ("fault", "side", "eras", "seed", "req", "ok", "err", "end", *INVARIANTS)
    lines = [titles, *(_line(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    out = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(line.rstrip() for line in out)


def _line(row: Row) -> tuple[str, ...]:
    marks = ["-" if each not in row.checks else "BREACH" if row.checks[each] else "ok" for each in INVARIANTS]
    numbers = (row.seed, row.requests, row.results, row.errors, row.ended)
    return (row.fault, row.side, row.eras, *map(str, numbers), *marks)


def breaches(rows: Iterable[Row]) -> list[str]:
    """Every breach, one line each."""
    return [
        f"{row.fault} ({row.side}, {row.eras}, seed {row.seed}) {invariant}: {breach}"
        for row in rows
        for invariant, found in row.checks.items()
        for breach in found
    ]
