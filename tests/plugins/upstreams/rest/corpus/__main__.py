"""Sweep the corpus, and serve two large documents beside FastMCP.

Fails when less than 99 % of the documents load or are refused with a reason, when a schema does not compile,
or when a name is not legal or not unique. `nox -s corpus` makes FastMCP's environment.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from itertools import islice
from pathlib import Path

import attrs

from . import beside
from .beside import Cost
from .documents import documents, fetched, large
from .sweep import Swept, swept


def main() -> int:
    """Run it; gives the exit status."""
    words = argparse.ArgumentParser(prog="corpus", description=__doc__)
    words.add_argument("--folder", type=Path, required=True, help="where the documents are kept (480 MB)")
    words.add_argument("--fastmcp", type=Path, help="the Python of an environment with FastMCP")
    words.add_argument("--only", choices=("sweep", "beside"), help="one half of it")
    words.add_argument("--every", type=int, default=1, metavar="N", help="sweep one document in N")
    words.add_argument("--seconds", type=float, default=600.0, help="the most each server may take")
    words.add_argument("--memory", type=int, default=6, help="the most GiB of address space each may have")
    words.add_argument("--json", type=Path, help="write the figures there, too")
    said = words.parse_args()
    fetched(said.folder)
    figures: dict[str, object] = {"date": datetime.date.today().isoformat(), "machine": _machine()}
    print(f"{figures['date']}, {figures['machine']}", flush=True)
    costs: list[Cost] = []
    if said.only != "sweep":
        for name, path in large(said.folder).items():
            costs.append(beside.portico(name, path, said.seconds, said.memory << 30))
            if said.fastmcp is not None:
                costs.append(beside.fastmcp(name, path, said.fastmcp, said.seconds, said.memory << 30))
        _table(costs)
        figures["beside"] = [attrs.asdict(one) for one in costs]
    fine = not any(one.failed for one in costs if one.server == "Portico")
    if said.only != "beside":
        found = swept(islice(documents(said.folder), 0, None, said.every))
        _told(found)
        figures["sweep"] = attrs.asdict(found)
        fine = fine and found.fine
    if said.json is not None:
        said.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if fine else 1


def _machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}"


def _table(costs: list[Cost]) -> None:
    heads = "document | server | tools | ready after s | first tools/list s | CPU s | MB of it | peak RSS MB"
    print(f"\n| {heads} |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for one in costs:
        print(
            f"| {one.document} | {one.server} | {one.tools} | {one.ready:.2f} | "
            f"{one.listed:.2f} | {one.cpu:.2f} | {one.list_bytes / 1e6:.2f} | {one.rss / 1e6:.0f} |"
            + (f" {one.failed}" if one.failed else ""),
            flush=True,
        )


def _told(found: Swept) -> None:
    print(f"\n{found.documents} documents, {found.seconds:.0f} s of CPU")
    print(f"  loaded: {found.loaded}, with {found.tools} tools; their {found.schemas} schemas were compiled")
    print(f"  refused with a reason: {sum(found.refused.values())} {dict(found.refused.most_common())}")
    print(f"  crashed: {len(found.crashed)}")
    print(f"  operations left out: {sum(found.left_out.values())}")
    for reason, count in found.left_out.most_common():
        print(f"    {count}: {reason}")
    print(f"  tools with something wrong (names, schemas, sizes): {len(found.wrong)}")
    for line in (found.crashed + found.wrong)[:40]:
        print("   ", line)


if __name__ == "__main__":
    sys.exit(main())
