"""How a run ends: its report printed, a word on noise, and the exit code."""

from __future__ import annotations

import json
from typing import Any, Protocol

from bench.measure import progress


class Reported(Protocol):
    """What any report can say of itself."""

    @property
    def others(self) -> float:
        """Share (0 to 1) of the cores used that went to other processes."""
        ...

    @property
    def errors(self) -> int:
        """Wrong or missing answers."""
        ...

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        ...

    def as_text(self) -> str:
        """For people."""
        ...


def conclude(report: Reported, *, as_json: bool) -> int:
    """Print a report; gives 1 when answers were wrong or missing, else 0."""
    print(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())
    if report.others > 0.1:
        progress(
            f"bench: other processes had {report.others:.0%} of the cores; run it again on a quiet machine"
        )
    return 1 if report.errors else 0
