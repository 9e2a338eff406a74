"""Real clients, through a gateway, to real servers.

`python -m tests.interop.clients [--only CLIENT ...] [--way WAY ...] [--json] [--cache DIR] [--output DIR]`.
Exit status 1 when any client could not do what it can do.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import msgspec

from tests.interop.clients.install import InstallFailed, install
from tests.interop.clients.peers import ALL, CLIENTS, Outcome, run
from tests.interop.clients.stage import stage
from tests.interop.processes import ROOT, NotReady

CACHE = ROOT / ".nox" / "clients-cache"
"""Not the name of a nox session: nox keeps their environments beside it."""


def report(outcomes: Sequence[Outcome]) -> str:
    """A table client x act for every virtual server, then every failure and why an act does not apply."""
    lines: list[str] = []
    wide = max((len(outcome.client) for outcome in outcomes), default=0) + 2
    for server in ALL:
        here = [outcome for outcome in outcomes if outcome.server == server]
        clients = list(dict.fromkeys(outcome.client for outcome in here))
        verdicts = {(outcome.act, outcome.client): outcome.verdict for outcome in here}
        if here:
            lines += ["", f"{server:<18}" + "".join(f"{client:>{wide}}" for client in clients)]
        for act in dict.fromkeys(outcome.act for outcome in here):
            lines.append(f"{act:<18}" + "".join(f"{verdicts[act, client]:>{wide}}" for client in clients))
    failed = [outcome for outcome in outcomes if outcome.verdict == "FAILED"]
    lines += [""] + [f"FAILED {one.client} at {one.server}, {one.act}: {one.note}" for one in failed]
    reasons: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in outcomes:
        if one.verdict == "n/a" and one.act not in reasons[one.client, one.note]:
            reasons[one.client, one.note].append(one.act)
    lines += [f"n/a {client}: {', '.join(acts)}: {note}" for (client, note), acts in reasons.items()]
    lines += ["", f"{len(outcomes)} acts, {len(failed)} failed"]
    return "\n".join(lines).strip()


def main() -> int:
    """Run what the command line asks for."""
    names = list(dict.fromkeys(client.name for client in CLIENTS))
    parser = argparse.ArgumentParser(description="Real MCP clients through the gateway to real servers.")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="CLIENT", help=", ".join(names)
    )
    ways = list(dict.fromkeys(client.way for client in CLIENTS))
    parser.add_argument("--way", nargs="+", choices=ways, default=ways, metavar="WAY", help=", ".join(ways))
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where clients and servers are installed")
    parser.add_argument("--output", type=Path, help="keep all logs here")
    arguments = parser.parse_args()
    outcomes: list[Outcome] = []
    try:
        installed = install(arguments.cache.resolve())
        with TemporaryDirectory(prefix="portico-clients-") as temporary:
            scratch = (arguments.output or Path(temporary)).resolve()
            scratch.mkdir(parents=True, exist_ok=True)
            with stage(installed, scratch) as running:
                chosen = [c for c in CLIENTS if c.name in arguments.only and c.way in arguments.way]
                for client in chosen:
                    for server in client.servers:
                        print(f"{client.label} at {server}", file=sys.stderr)
                        outcomes += run(client, server, running, installed, scratch)
    except (InstallFailed, NotReady) as error:
        print(error, file=sys.stderr)
        return 1
    as_json = msgspec.json.encode([attrs.asdict(outcome) for outcome in outcomes]).decode()
    print(as_json if arguments.json else report(outcomes))
    return 1 if any(outcome.verdict == "FAILED" for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
