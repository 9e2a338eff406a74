"""Which upstream each run has, and the differences to the direct run that are right.

A gateway in front of one upstream must be indistinguishable from it, check by check. Where the client's era
and the upstream's differ, the fixture's own tools cannot work in principle (a legacy server cannot answer
`input_required`; a modern one cannot ask in mid-call), so those runs have a bridge fixture: the same names,
written in the upstream's era. What then still differs, and must, is listed here with its reason. An entry
that no longer differs is an error too: the list stays true.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import attrs

from tests.interop.harness import Check, Outcome

Leg = Literal["dual", "legacy", "modern"]
LEGS: tuple[Leg, ...] = ("dual", "legacy", "modern")


@attrs.frozen
class Cell:
    """One run through the gateway.

    Attributes:
        leg: Which eras the upstream speaks.
        revision: Which revision the harness speaks.
        fixture: The upstream's module.
        protocol: The gateway's `protocol` setting for it.
    """

    leg: Leg
    revision: str
    fixture: str
    protocol: str

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"{self.revision} -> {self.leg} ({self.fixture}, protocol {self.protocol})"


CELLS: tuple[Cell, ...] = (
    Cell("dual", "2025-11-25", "fixture", "auto"),
    Cell("dual", "2026-07-28", "fixture", "auto"),
    Cell("legacy", "2025-11-25", "fixture", "legacy"),
    Cell("legacy", "2026-07-28", "bridge_legacy", "auto"),
    Cell("modern", "2025-11-25", "bridge_modern", "auto"),
    Cell("modern", "2026-07-28", "fixture", "modern"),
)
"""Every pair of eras; forced protocols where the eras agree, probed ones where the gateway bridges."""


@attrs.frozen
class Exemption:
    """A difference to the direct run that is right.

    Attributes:
        leg: The cell's leg.
        revision: The cell's revision.
        scenario: The scenario.
        check: The check's id, or "" for every check of the scenario.
        reason: Why it cannot be otherwise.
    """

    leg: Leg
    revision: str
    scenario: str
    check: str
    reason: str

    def covers(self, check: Check) -> bool:
        """Whether a check is this one."""
        return check.scenario == self.scenario and self.check in {"", check.id}


EXEMPTIONS: tuple[Exemption, ...] = (
    Exemption(
        "legacy",
        "2026-07-28",
        "input-required-result-basic-elicitation",
        "sep-2322-elicitation-incomplete",
        "the scenario wants the key `user_name`; a legacy elicitation has no name: the gateway chooses one",
    ),
    Exemption(
        "legacy",
        "2026-07-28",
        "input-required-result-basic-elicitation",
        "sep-2322-elicitation-complete",
        "the harness does not run the second round when the key is another (see above); the request-state "
        "scenario answers the same form under whatever key it came with",
    ),
    Exemption(
        "legacy",
        "2026-07-28",
        "input-required-result-ignore-extra-params",
        "sep-2322-ignore-unexpected-params",
        "the scenario answers without having been asked and without `requestState`; a legacy call can only "
        "be resumed where it is parked",
    ),
    *(
        Exemption(
            "modern",
            "2025-11-25",
            "server-sse-polling",
            check,
            "a modern upstream has no stream to close in mid-call: the answer comes on the first stream",
        )
        for check in ("server-sse-disconnect-resume",)
    ),
)

UNSUPPORTED_PREFIX = "tasks-"
"""The tasks extension: the SDK behind the fixtures lacks it, so the direct run fails these scenarios.

They still run; what passes directly must pass through the gateway.
"""


@attrs.frozen
class Difference:
    """A check that is not the same directly and through the gateway."""

    scenario: str
    id: str
    name: str
    direct: tuple[str, ...]
    through: tuple[str, ...]
    message: str
    reason: str


def compare(direct: Outcome, through: Outcome, exemptions: Iterable[Exemption] = ()) -> list[Difference]:
    """Every check whose statuses differ, each with the reason that excuses it or "".

    Args:
        direct: The run against the fixture.
        through: The run through the gateway.
        exemptions: Those of the cell.
    """
    excused = list(exemptions)
    keys = {(check.scenario, check.id, check.name) for check in (*direct.checks, *through.checks)}
    found = []
    for scenario, check_id, name in sorted(keys):
        before, after = (_statuses(outcome, scenario, check_id, name) for outcome in (direct, through))
        if before == after or _no_worse(scenario, before, after):
            continue
        key = Check(scenario, check_id, name, "")
        reason = next((one.reason for one in excused if one.covers(key)), "")
        said = [text for check, text in through.messages.items() if attrs.evolve(check, status="") == key]
        message = next(filter(None, said), "")
        found.append(Difference(scenario, check_id, name, before, after, message, reason))
    return found


def stale(differences: Sequence[Difference], exemptions: Iterable[Exemption]) -> list[Exemption]:
    """Exemptions that excused nothing."""
    return [
        one
        for one in exemptions
        if not any(one.covers(Check(found.scenario, found.id, found.name, "")) for found in differences)
    ]


def _statuses(outcome: Outcome, scenario: str, check_id: str, name: str) -> tuple[str, ...]:
    found = [
        [check.status] * times
        for check, times in outcome.checks.items()
        if (check.scenario, check.id, check.name) == (scenario, check_id, name)
    ]
    return tuple(sorted(status for statuses in found for status in statuses))


def _no_worse(scenario: str, before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    # Of an extension neither side has, only what passes directly is worth comparing.
    return scenario.startswith(UNSUPPORTED_PREFIX) and after.count("SUCCESS") >= before.count("SUCCESS")
