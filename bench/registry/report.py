"""What `python -m bench registry` found, for people and for machines."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import attrs

from bench.load import Round, median
from bench.machine import Cores
from bench.registry.changes import Changes, Cost
from bench.registry.site import TOOLS
from bench.report import machine
from bench.table import number, table

BAR_MS = 1000.0
"""Every worker and replica shows a change as soon after it was acknowledged."""


@attrs.frozen
class Start:
    """One start on what is in the registry.

    Attributes:
        answered: Seconds to the first right answer to a call.
        listed: Seconds until every upstream was connected and every tool listed.
        rss: Resident bytes then.
    """

    answered: float
    listed: float
    rss: int


@attrs.frozen
class Found:
    """What was found of one kind of registry.

    Attributes:
        kind: Of registry.
        filled: Seconds until the last record was acknowledged, 250 in a request.
        listed: Seconds until all of their tools were listed.
        watching: How many processes were watched for changes.
        starts: Starts of one process on what is in the registry; none where it forgets.
        rss: Resident bytes of one process that has been filled.
        changes: How soon changes were seen.
        cost: What they cost.
        quiet: Calls, one at a time.
        changing: The same while something changed five times a second.
        made: How many changes these were.
        of_one: Calls through a gateway of one upstream.
        of_many: Calls through this one.
        first_page: `tools/list`, its first page.
        whole_list: `tools/list` of a gateway that gives it whole, warm.
    """

    kind: str
    filled: float
    listed: float
    watching: int
    starts: Sequence[Start]
    rss: int
    changes: Sequence[Changes]
    cost: Cost
    quiet: Sequence[Round]
    changing: Sequence[Round]
    made: int
    of_one: Sequence[Round]
    of_many: Sequence[Round]
    first_page: Sequence[Round]
    whole_list: Sequence[Round]

    @property
    def rounds(self) -> list[Round]:
        """All of its rounds of load."""
        sides = (self.quiet, self.changing, self.of_one, self.of_many, self.first_page, self.whole_list)
        return [one for side in sides for one in side]

    @property
    def late(self) -> int:
        """How many changes were seen too late."""
        return sum(took > BAR_MS for each in self.changes for took in each.visible)


@attrs.frozen
class RegistryReport:
    """What was found. Implements `conclusion.Reported`."""

    found: Sequence[Found]
    upstreams: int
    cores: Cores
    rounds: int
    seconds: float
    others: float

    @property
    def errors(self) -> int:
        """Wrong or missing answers, and changes that came late."""
        return sum(one.errors for each in self.found for one in each.rounds) + sum(
            each.late for each in self.found
        )

    def as_json(self) -> dict[str, Any]:
        """The report with every round's figures."""
        return {
            "machine": machine(),
            "cores": str(self.cores),
            "upstreams": self.upstreams,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "others": round(self.others, 3),
            "errors": self.errors,
            "found": [attrs.asdict(each) for each in self.found],
        }

    def as_text(self) -> str:
        """The report as a page of text."""
        what = f"{self.upstreams:,} upstreams, {self.upstreams * TOOLS:,} tools"
        lines = [
            f"{machine()}; {self.cores}",
            f"{what}; {self.rounds} rounds of {self.seconds:g} s; others had {self.others:.0%} of the cores",
        ]
        for each in self.found:
            lines += ["", f"--- {each.kind}", "", *_of(each)]
        if self.errors:
            lines += [
                "",
                f"{self.errors} ERRORS: wrong answers, or changes seen later than {BAR_MS / 1000:g} s",
            ]
        return "\n".join(lines)


def percentile(values: Sequence[float], part: float) -> float:
    """The value that this part (0 to 1) of them does not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * part))]


def _of(found: Found) -> list[str]:
    added = f"{found.filled:.1f} s to the last answer, {found.listed:.1f} s to the last tool"
    facts = [["figure", "seen"], ["all records added by API", added]]
    if found.starts:
        for name, figure in (("first answer", "answered"), ("all listed", "listed")):
            seconds = statistics.median(getattr(each, figure) for each in found.starts)
            facts.append([f"start to {name}", f"{seconds:.2f} s"])
        rss = statistics.median(each.rss for each in found.starts)
        facts.append(["resident after a start", f"{rss / 1e6:.0f} MB"])
    facts.append(["resident after adding them", f"{found.rss / 1e6:.0f} MB"])
    facts.append(["CPU of a change", f"{found.cost.cpu_ms:.0f} ms in {found.cost.processes} processes"])
    changes = [["change, ms", "answered p50", "seen everywhere p50", "p99", "longest"]]
    for each in found.changes:
        row = [statistics.median(each.acknowledged), statistics.median(each.visible)]
        row += [percentile(each.visible, 0.99), max(each.visible)]
        changes.append([each.sort, *(f"{value:.0f}" for value in row)])
    loads = [["load", "calls/s", "p50 ms", "p99 ms", "longest ms", "CPU us/call"]]
    for name, rounds in (
        ("tools/call x16, 1 upstream", found.of_one),
        ("tools/call x16, all of them", found.of_many),
        ("tools/call x1, quiet", found.quiet),
        (f"tools/call x1, beside {found.made} changes", found.changing),
        ("tools/list x16, first page", found.first_page),
        ("tools/list x1, whole", found.whole_list),
    ):
        figures = (("calls_per_second", 0), ("p50_ms", 3), ("p99_ms", 3), ("max_ms", 1), ("cpu_us", 1))
        loads.append([name, *(number(median(rounds, figure), digits) for figure, digits in figures)])
    seen = f"Changes are made at one of {found.watching} processes and watched at all of them."
    return [*table(facts, left=2), "", *table(changes, left=1), seen, "", *table(loads, left=1)]
