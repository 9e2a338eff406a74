"""The A2A TCK against an agent, the same agent through the gateway, and a virtual server as an agent.

`python -m tests.interop.a2a.tck [--tck DIR] [--legs direct,through,virtual] [--no-push]
[--binding GRPC] [--json]`. Exit status
1 when the agent itself fails where it should not, when the gateway differs from it where it need not, or when
a virtual server fails a MUST that applies to it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import attrs
import msgspec

from tests.interop.a2a.expected import (
    FAILING,
    THROUGH,
    VIRTUAL,
    Finding,
    compare,
    failing,
    holding,
    unneeded,
)
from tests.interop.a2a.faces import agent, relayed, virtual
from tests.interop.a2a.kit import Kit, KitFailed, Outcome, kit_at
from tests.interop.processes import ROOT, NotReady

CACHE: Final = ROOT / ".nox" / "interop-cache"
BINDINGS: Final = ("JSONRPC", "HTTP+JSON", "GRPC")
LEGS: Final = ("direct", "through", "virtual")


@attrs.frozen
class Row:
    """One line of the report.

    Attributes:
        leg: What the kit ran against.
        passed: Tests that passed.
        failed: Tests that failed.
        skipped: Tests that were skipped.
        must: `passed/all` of the tests of MUST requirements.
        excused: Findings that are right.
        problems: What is wrong, as text; empty when nothing is.
    """

    leg: str
    passed: int
    failed: int
    skipped: int
    must: str
    excused: list[str]
    problems: list[str]


def outcomes(
    kit: Kit, legs: Sequence[str], folder: Path, *, push: bool, binding: str, only: str
) -> dict[str, Outcome]:
    """Run the legs side by side: the kit waits most of its time.

    Raises:
        KitFailed: The kit did not run to its end.
        NotReady: What it was to run against did not start.
    """
    with ExitStack() as stack:
        urls: dict[str, str] = {}
        for leg in LEGS:
            place = folder / leg
            place.mkdir(parents=True)
            if leg == "direct":
                urls[leg] = stack.enter_context(agent(place, push=push)).url
            elif leg in legs:
                face = (
                    relayed(urls["direct"], place, binding) if leg == "through" else virtual(place, push=push)
                )
                urls[leg] = stack.enter_context(face).url
        with ThreadPoolExecutor() as pool:
            runs = {leg: pool.submit(kit.run, urls[leg], folder / leg, only) for leg in LEGS if leg in legs}
            return {leg: run.result() for leg, run in runs.items()}


def judged(found: dict[str, Outcome], *, push: bool, whole: bool) -> list[Row]:
    """What the runs amount to.

    Args:
        found: The outcome of each leg.
        push: Whether the agents call webhooks.
        whole: Whether all tests ran, so that excuses of nothing are to be named.
    """
    rows = []
    for leg, outcome in found.items():
        if leg == "through" and "direct" in found:
            excuses = holding(THROUGH, push=push)
            findings = compare(found["direct"], outcome, excuses)
        elif leg == "virtual":
            excuses = holding(VIRTUAL, push=push)
            findings = failing(outcome, excuses, outcome.musts & outcome.tests.keys())
        else:
            excuses = holding(FAILING, push=push)
            findings = failing(outcome, excuses)
        excused = [f"{_line(each)}\n      because {each.reason}" for each in findings if each.reason]
        problems = [_line(each) for each in findings if not each.reason]
        if whole:
            problems += [f"{each.tests}: excused, but not found" for each in unneeded(findings, excuses)]
        problems += [] if outcome.figures["passed"] else ["no test passed"]
        musts = [outcome.tests[test] for test in outcome.musts if test in outcome.tests]
        figures = outcome.figures
        must = f"{musts.count('passed')}/{len(musts)}"
        rows.append(
            Row(leg, figures["passed"], figures["failed"], figures["skipped"], must, excused, problems)
        )
    return rows


def _line(found: Finding) -> str:
    test = found.test.removeprefix("tests/compatibility/")
    return f"{test}: {found.wanted} -> {found.found}  {found.said[:400]}".rstrip()


def report(rows: Sequence[Row]) -> str:
    """The rows as a table, and below it everything that is not simply as it should be."""
    lines = [f"{'run':<8}  passed  failed  skipped  {'must':>9}  excused  verdict"]
    for row in rows:
        figures = f"{row.passed:>6}  {row.failed:>6}  {row.skipped:>7}  {row.must:>9}  {len(row.excused):>7}"
        lines.append(f"{row.leg:<8}  {figures}  {'FAILED' if row.problems else 'ok'}")
    for title, texts_of in (("excused", lambda row: row.excused), ("problems", lambda row: row.problems)):
        for row in rows:
            if texts_of(row):
                lines += ["", f"{row.leg}: {title}", *(f"  {text}" for text in texts_of(row))]
    return "\n".join(lines)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="The A2A TCK, direct and through the gateway.")
    given = os.environ.get("PORTICO_A2A_TCK")
    parser.add_argument("--tck", type=Path, default=Path(given) if given else None, help="a checkout of it")
    parser.add_argument("--legs", default=",".join(LEGS), help="what to run against, separated by commas")
    parser.add_argument("--no-push", action="store_true", help="with an agent that calls no webhooks")
    parser.add_argument("--binding", choices=BINDINGS, default=BINDINGS[0], help="the gateway's to the agent")
    parser.add_argument("-k", dest="only", default="", help="only tests that fit, as pytest has it")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--output", type=Path, help="keep the kit's reports and all logs in a new folder here"
    )
    arguments = parser.parse_args()
    legs = arguments.legs.split(",")
    if unknown := set(legs) - set(LEGS):
        parser.error(f"unknown leg: {', '.join(sorted(unknown))}; known: {', '.join(LEGS)}")
    if "through" in legs and "direct" not in legs:
        legs.append("direct")  # which it is compared with
    try:
        kit = kit_at(arguments.tck, CACHE)
        with TemporaryDirectory(prefix="portico-tck-") as temporary:
            folder = (arguments.output or Path(temporary)).resolve()
            found = outcomes(
                kit, legs, folder, push=not arguments.no_push, binding=arguments.binding, only=arguments.only
            )
    except (KitFailed, NotReady) as error:
        print(error, file=sys.stderr)
        return 1
    rows = judged(found, push=not arguments.no_push, whole=not arguments.only)
    as_json = msgspec.json.encode([attrs.asdict(row) for row in rows]).decode()
    print(as_json if arguments.json else report(rows))
    return 1 if any(row.problems for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
