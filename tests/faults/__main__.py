"""`python -m tests.faults`: the matrix of faults, eras and sides, and whether the invariants held.

`python -m tests.faults soak` has everything at once, for half an hour. `writes` and `outage` are about
registries: the gateway is killed while it is written to, and its database is away while it serves.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import attrs
import msgspec

from tests.faults import outage as away
from tests.faults import soak as soaking
from tests.faults import writes as writing
from tests.faults.managed import LASTING, databases
from tests.faults.run import NAMES, run
from tests.faults.verdicts import Row, breaches, table


def main() -> int:
    """Run; the exit status: 0 when everything held, 1 when something did not."""
    others = {"soak": _soak, "writes": _writes, "outage": _outage}
    other = others.get(next(iter(sys.argv[1:]), ""))
    return other(sys.argv[2:]) if other is not None else _matrix()


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _kinds(text: str) -> list[str]:
    kinds = text.split(",")
    if unknown := set(kinds) - set(LASTING):
        raise argparse.ArgumentTypeError(f"{sorted(unknown)}: choose from {', '.join(LASTING)}")
    return kinds


def _writes(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults writes", description=writing.__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides what is written, and when it is killed")
    parser.add_argument("--kept-in", type=_kinds, default=list(LASTING), help="registries (default: all)")
    parser.add_argument("--writes", type=int, default=400, help="acknowledged ones of each (default: 400)")
    parser.add_argument("--kills", type=int, help="of each (default: one for 100 writes)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    kills = max(options.writes // 100, 1) if options.kills is None else options.kills
    with databases():
        verdicts = [
            asyncio.run(writing.writes(kind, options.writes, kills, options.seed, _tell))
            for kind in options.kept_in
        ]
    return _said(verdicts, writing.table(verdicts), as_json=options.json)


def _outage(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults outage", description=away.__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides the calls")
    parser.add_argument("--kept-in", type=_kinds, default=list(away.SERVED), help="databases (default: all)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long it is away (default: 5)")
    parser.add_argument("--how", choices=away.WAYS, default="stop", help="how it goes away (default: stop)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    if unserved := set(options.kept_in) - set(away.SERVED):
        parser.error(f"{', '.join(sorted(unserved))} has no server that could be away")
    with databases():
        verdicts = [
            asyncio.run(away.outage(kind, options.seconds, options.how, options.seed, _tell))
            for kind in options.kept_in
        ]
    return _said(verdicts, away.table(verdicts), as_json=options.json)


def _said(verdicts: Sequence[Any], text: str, *, as_json: bool) -> int:
    """Print verdicts with `kept_in` and `breaches`; the exit status."""
    found = [f"{each.kept_in}: {breach}" for each in verdicts for breach in each.breaches]
    if as_json:
        print(msgspec.json.encode([attrs.asdict(each) for each in verdicts]).decode())
    else:
        print("\n".join([text, "", *(found or ["everything held"])]))
    return 1 if found else 0


def _soak(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults soak", description=soaking.__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides what goes wrong when (default: 1)")
    parser.add_argument("--seconds", type=float, default=1800.0, help="how long (default: 1800)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    return _told(asyncio.run(soaking.soak(options.seed, options.seconds, _tell)), as_json=options.json)


def _matrix() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides the faults (default: 1)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=0.0,
        help="go on with the next seeds for so long (default: one round)",
    )
    parser.add_argument("--only", action="append", choices=NAMES, default=[], help="one fault; repeatable")
    parser.add_argument("--clients", type=int, default=3, help="clients of each pair of eras (default: 3)")
    parser.add_argument("--calls", type=int, default=4, help="calls each of them makes (default: 4)")
    parser.add_argument("--ordinary-lane", action="store_true", help="serve clients with fast_lane = false")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()

    def tell(rows: list[Row]) -> None:
        first = rows[0]
        verdict = "BREACH" if any(row.breached for row in rows) else "ok"
        print(f"{first.fault} ({first.side}, seed {first.seed}): {verdict} {first.facts}", file=sys.stderr)

    lane = not options.ordinary_lane
    selection = (options.seed, options.only, options.seconds, options.clients, options.calls)
    rows = asyncio.run(run(*selection, tell, lane, at_rest=True))
    return _told(rows, as_json=options.json)


def _told(rows: list[Row], *, as_json: bool) -> int:
    found = breaches(rows)
    if as_json:
        print(msgspec.json.encode([attrs.asdict(row) for row in rows]).decode())
    else:
        print(table(rows))
        print(f"\n{len(rows)} combinations, {sum(row.requests for row in rows)} requests, ", end="")
        print(f"{len(found)} breaches" if found else "everything held")
        for each in found:
            print(f"  {each}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
