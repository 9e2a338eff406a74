"""The official conformance harness, direct and through the gateway, compared check by check.

`python -m tests.interop.conformance [--requirements REV ...] [--legs dual,legacy,modern] [--direct-only]
[--no-client] [--tunnel] [--json] [--cache DIR]`. Exit status 1 when the fixture itself fails, when the
gateway differs from it where it need not, or when the gateway's upstream client fails a scenario.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import msgspec

from tests.interop.expectations import (
    CELLS,
    EXEMPTIONS,
    LEGS,
    UNSUPPORTED_PREFIX,
    Cell,
    Difference,
    Exemption,
    compare,
    stale,
)
from tests.interop.harness import REVISIONS, Harness, HarnessFailed, Outcome, install
from tests.interop.processes import ROOT, NotReady, fixture, gateway, tunnelled

CACHE = ROOT / ".nox" / "interop-cache"
"""Not the name of a nox session: nox keeps their environments beside it."""


@attrs.frozen
class Row:
    """One line of the report.

    Attributes:
        run: What ran.
        passed: Checks with status SUCCESS.
        failed: Checks with status FAILURE or WARNING.
        scenarios: How many scenarios ran.
        excused: Differences that have to be.
        problems: What is wrong, as text; empty when nothing is.
    """

    run: str
    passed: int
    failed: int
    scenarios: int
    excused: list[str]
    problems: list[str]


def run_direct(harness: Harness, revision: str, folder: Path) -> tuple[Outcome, Row]:
    """The harness against the fixture itself; everything but the tasks extension must pass."""
    folder.mkdir(parents=True)
    with fixture("fixture", folder) as running:
        outcome = harness.server(running.url, revision, folder / "out")
    problems = [
        f"{check.scenario} / {check.id}: {check.status} {outcome.messages.get(check, '')}"
        for check in outcome.failing()
        if not check.scenario.startswith(UNSUPPORTED_PREFIX)
    ]
    problems += [] if outcome.scenarios else ["no scenario ran"]
    return outcome, _row(f"{revision} direct", outcome, [], problems)


def run_cell(harness: Harness, cell: Cell, direct: Outcome, folder: Path, *, tunnel: bool = False) -> Row:
    """The harness through the gateway, compared with the direct run; `tunnel`: the fixture has dialled in."""
    folder.mkdir(parents=True)
    way = tunnelled if tunnel else partial(gateway, protocol=cell.protocol)
    era = None if cell.fixture != "fixture" else cell.leg
    try:
        with (
            fixture(cell.fixture, folder, era) as upstream,
            way(upstream.url, folder) as running,
        ):
            outcome = harness.server(running.url, cell.revision, folder / "out")
    except NotReady as error:
        return Row(cell.name, 0, 0, 0, [], [str(error)])
    legs = {cell.leg, "modern"} if tunnel else {cell.leg}  # whatever dials in, the tunnel is modern
    exemptions = [one for one in EXEMPTIONS if one.leg in legs and one.revision == cell.revision]
    differences = compare(direct, outcome, exemptions)
    excused = [f"{_line(one)}\n      because {one.reason}" for one in differences if one.reason]
    problems = [_line(one) for one in differences if not one.reason]
    problems += [_stale_line(one) for one in stale(differences, exemptions)]
    problems += [f"{name} did not run" for name in sorted(direct.scenarios - outcome.scenarios)]
    return _row(cell.name, outcome, excused, problems)


def run_client(harness: Harness, revision: str, folder: Path, only: Sequence[str]) -> Iterator[Row]:
    """The harness's client scenarios, with the gateway's upstream client as the client. No OAuth ones."""
    command = f"{shlex.quote(sys.executable)} -m tests.interop.client_wrapper"
    for scenario in harness.client_scenarios(revision):
        if scenario.startswith("auth/") or (only and scenario not in only):
            continue
        output = folder / scenario
        outcome = harness.client(command, scenario, revision, output)
        problems = [f"{check.id}: {check.status} {outcome.messages[check]}" for check in outcome.failing()]
        problems += [] if outcome.count("SUCCESS") else ["no check succeeded"]
        if problems:
            problems += [text.read_text()[-3000:] for text in sorted(output.rglob("stderr.txt"))]
        yield _row(f"{revision} client {scenario}", outcome, [], problems)


def _row(run: str, outcome: Outcome, excused: list[str], problems: list[str]) -> Row:
    failed = outcome.count("FAILURE") + outcome.count("WARNING")
    return Row(run, outcome.count("SUCCESS"), failed, len(outcome.scenarios), excused, problems)


def _line(found: Difference) -> str:
    before, after = (", ".join(statuses) or "absent" for statuses in (found.direct, found.through))
    return f"{found.scenario} / {found.id} ({found.name}): {before} -> {after}  {found.message}".rstrip()


def _stale_line(one: Exemption) -> str:
    return f"{one.scenario} / {one.check or 'every check'}: exempted, but not different; drop the exemption"


def report(rows: Sequence[Row]) -> str:
    """The rows as a table, and below it everything that is not simply the same."""
    width = max((len(row.run) for row in rows), default=0)
    lines = [f"{'run':<{width}}  scenarios  passed  failed  excused  verdict"]
    for row in rows:
        numbers = f"{row.scenarios:>9}  {row.passed:>6}  {row.failed:>6}  {len(row.excused):>7}"
        lines.append(f"{row.run:<{width}}  {numbers}  {'FAILED' if row.problems else 'ok'}")
    for title, pick in (("excused", "excused"), ("problems", "problems")):
        for row in rows:
            texts: list[str] = getattr(row, pick)
            if texts:
                lines += ["", f"{row.run}: {title}", *(f"  {text}" for text in texts)]
    return "\n".join(lines)


def run(harness: Harness, arguments: argparse.Namespace, legs: Sequence[str], folder: Path) -> Iterator[Row]:
    """Every run the command line asks for, one after the other."""
    for revision in arguments.requirements:
        if arguments.client is None:
            direct, row = run_direct(harness, revision, folder / f"{revision}-direct")
            if row.problems:  # no gateway is in this yet: on a busy machine, a scenario's own timer runs out
                print(f"{row.run}: once more, for {'; '.join(row.problems)}", file=sys.stderr)
                direct, row = run_direct(harness, revision, folder / f"{revision}-direct-again")
            yield row
            for cell in () if arguments.direct_only else CELLS:
                if cell.revision == revision and cell.leg in legs:
                    where = folder / f"{revision}-{cell.leg}"
                    yield run_cell(harness, cell, direct, where, tunnel=arguments.tunnel)
        if not (arguments.direct_only or arguments.no_client):
            yield from run_client(harness, revision, folder / f"{revision}-client", arguments.client or ())


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="MCP conformance, direct and through the gateway.")
    parser.add_argument("--requirements", nargs="+", choices=REVISIONS, default=list(REVISIONS))
    parser.add_argument("--legs", default=",".join(LEGS), help="eras of the upstream, separated by commas")
    parser.add_argument("--direct-only", action="store_true", help="only the fixture itself")
    parser.add_argument("--no-client", action="store_true", help="leave the client scenarios out")
    parser.add_argument("--client", nargs="*", metavar="SCENARIO", help="only (these) client scenarios")
    parser.add_argument("--tunnel", action="store_true", help="with a server that has dialled in")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where Node and the harness are installed")
    parser.add_argument("--output", type=Path, help="keep the harness's results and all logs here")
    arguments = parser.parse_args()
    legs = arguments.legs.split(",")
    if unknown := set(legs) - set(LEGS):
        parser.error(f"unknown leg: {', '.join(sorted(unknown))}; known: {', '.join(LEGS)}")
    rows: list[Row] = []
    try:
        harness = install(arguments.cache.resolve())
        with TemporaryDirectory(prefix="portico-conformance-") as temporary:
            folder = (arguments.output or Path(temporary)).resolve()
            for row in run(harness, arguments, legs, folder):
                print(f"{row.run}: {'FAILED' if row.problems else 'ok'}", file=sys.stderr)
                rows.append(row)
    except HarnessFailed as error:
        print(error, file=sys.stderr)
        return 1
    as_json = msgspec.json.encode([attrs.asdict(row) for row in rows]).decode()
    print(as_json if arguments.json else report(rows))
    return 1 if any(row.problems for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
