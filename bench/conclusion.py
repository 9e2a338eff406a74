"""How a run ends: its report printed, a word on noise, and the exit code."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from typing import Any, Protocol

from bench.measure import progress
from bench.native import CannotBuild
from bench.processes import CannotRun


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


def carry_out(run: Callable[[], Reported], *, as_json: bool) -> int:
    """Make a run and print its report.

    Returns:
        0; 1 when an answer was wrong or missing; 2 when the bench could not run; 130 when it was interrupted.
    """
    # So that what was started is ended then, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        report = run()
    except (CannotBuild, CannotRun) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return conclude(report, as_json=as_json)


def conclude(report: Reported, *, as_json: bool) -> int:
    """Print a report; gives 1 when answers were wrong or missing, else 0."""
    print(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())
    if report.others > 0.1:
        progress(
            f"bench: other processes had {report.others:.0%} of the cores; run it again on a quiet machine"
        )
    return 1 if report.errors else 0
