"""One line of the survival table: a bar, what was seen, and whether it held."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import attrs

from bench.load import Round
from bench.table import table
from tests.faults.verdicts import Row, breaches


@attrs.frozen
class Figure:
    """A line.

    Attributes:
        what: What was done.
        era: Of the clients: `legacy`, `modern`, `both`.
        bar: What is promised.
        seen: What was measured, for people.
        held: Whether it is as promised.
        hard: An invariant: it holds on any machine. The others are times, which a busy machine can spoil.
        problems: What was wrong, one line each.
        facts: All that was measured.
    """

    what: str
    era: str
    bar: str
    seen: str
    held: bool
    hard: bool = False
    problems: Sequence[str] = ()
    facts: dict[str, Any] = attrs.field(factory=dict)


def lines(figures: Sequence[Figure]) -> list[str]:
    """The table, and what was wrong."""
    rows = [("what", "era", "bar", "seen", "")]
    for each in figures:
        verdict = "held" if each.held else "MISSED" if each.hard else "missed"
        rows.append((each.what, each.era, each.bar, each.seen, verdict))
    problems = [f"  {each.what} ({each.era}): {problem}" for each in figures for problem in each.problems[:5]]
    return [*table(rows, left=5), *([""] if problems else []), *problems]


def of_rows(what: str, era: str, bar: str, seen: str, rows: Sequence[Row]) -> Figure:
    """The figure of a scenario whose invariants all have to hold."""
    wrong = breaches(rows)
    facts: dict[str, Any] = {"requests": sum(row.requests for row in rows)}
    for row in rows:
        facts |= row.facts
    return Figure(what, era, bar, seen, not wrong, hard=True, problems=wrong, facts=facts)


@attrs.frozen
class Sides:
    """Rounds of one load without harm and with it, in turn."""

    era: str
    calm: list[Round] = attrs.field(factory=list)
    harm: list[Round] = attrs.field(factory=list)

    @property
    def ratio(self) -> float:
        """The median p99 with harm by that without."""
        return _p99(self.harm) / _p99(self.calm)

    @property
    def noise(self) -> float:
        """The same of every other calm round by those between them: what this machine does by itself."""
        return _p99(self.calm[::2]) / _p99(self.calm[1::2]) if len(self.calm) > 1 else 1.0

    def figure(self, what: str, percent: int, problems: Sequence[str] = ()) -> list[Figure]:
        """The line of the times, and that of the answers: none may be wrong or missing.

        Args:
            what: What was done.
            percent: By how much p99 may grow.
            problems: What else was wrong.
        """
        rounds = [*self.calm, *self.harm]
        wrong = [*problems, *(each.first_error for each in rounds if each.errors)]
        calls = sum(each.calls for each in rounds)
        facts = {
            "calm_p99_ms": [each.p99_ms for each in self.calm],
            "harm_p99_ms": [each.p99_ms for each in self.harm],
            "ratio": round(self.ratio, 4),
            "calm_to_calm": round(self.noise, 4),
            "calls": calls,
        }
        seen = (
            f"p99 {_p99(self.calm):.2f} -> {_p99(self.harm):.2f} ms, {self.ratio - 1:+.1%} "
            f"(calm to calm {self.noise - 1:+.1%})"
        )
        held = self.ratio <= 1 + percent / 100
        missing = sum(each.errors for each in rounds)
        return [
            Figure(f"{what}: times", self.era, f"p99 + {percent} % at most", seen, held, facts=facts),
            Figure(
                f"{what}: answers",
                self.era,
                "all right",
                f"{missing} wrong of {calls:,}",
                not wrong,
                hard=True,
                problems=wrong,
            ),
        ]


def _p99(rounds: Sequence[Round]) -> float:
    return statistics.median(each.p99_ms for each in rounds)
