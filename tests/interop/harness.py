"""The official conformance harness: installing it, running it, reading what it found."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import msgspec

from tests.interop.processes import ROOT

PACKAGES = ("node@22", "@modelcontextprotocol/conformance@0.2.0-alpha.12")
"""Pinned: alphas change their scenarios, and older Nodes cannot run them."""

REVISIONS = ("2025-11-25", "2026-07-28")

VERDICTS = frozenset({"SUCCESS", "FAILURE", "WARNING", "SKIPPED"})
"""The statuses that judge; INFO only narrates."""

CLIENT_TIMEOUT_MS = 120_000
RUN_SECONDS = 600

_RESULT_FOLDER = re.compile(r"(?:server-)?(.+)-\d{4}-\d\d-\d\dT[\d-]+Z")


class HarnessFailed(Exception):
    """The harness could not be installed, or did not run to its end."""


@attrs.frozen(order=True)
class Check:
    """One judged check, without what differs from run to run.

    Attributes:
        scenario: The scenario it belongs to.
        id: The check's id; several checks of a scenario may share one.
        name: The check's name.
        status: SUCCESS, FAILURE, WARNING or SKIPPED.
    """

    scenario: str
    id: str
    name: str
    status: str


@attrs.frozen
class Outcome:
    """What one run found.

    Attributes:
        checks: How often each check occurred.
        messages: What the harness said about those that did not succeed.
        scenarios: Every scenario that ran.
    """

    checks: Counter[Check]
    messages: Mapping[Check, str]
    scenarios: frozenset[str]

    def count(self, status: str) -> int:
        """How many checks have a status."""
        return sum(times for check, times in self.checks.items() if check.status == status)

    def failing(self) -> list[Check]:
        """Checks that failed or warned, in a stable order."""
        return sorted(check for check in self.checks if check.status in {"FAILURE", "WARNING"})


@attrs.frozen
class Harness:
    """An installed harness.

    Attributes:
        node: The Node binary.
        script: The harness's entry script.
    """

    node: Path
    script: Path

    def server(self, url: str, revision: str, output: Path) -> Outcome:
        """Every server scenario of a revision's requirements, against an endpoint."""
        self._run("server", "--url", url, "--requirements", revision, "-o", str(output))
        return read_outcome(output)

    def client(self, command: str, scenario: str, revision: str, output: Path) -> Outcome:
        """One client scenario; the harness appends its mock's URL to the command."""
        arguments = ["--command", command, "--scenario", scenario, "--spec-version", revision]
        self._run("client", *arguments, "--timeout", str(CLIENT_TIMEOUT_MS), "-o", str(output))
        return read_outcome(output)

    def client_scenarios(self, revision: str) -> list[str]:
        """The client scenarios a revision's requirements name, scored or not, in the harness's order."""
        listing = self._run("list", "--requirements", revision)
        _, _, wanted = listing.partition("Client scenarios")
        scored, _, unscored = wanted.partition("Run and reported")
        names = re.findall(r"^ +- (\S+)$", scored, re.MULTILINE)
        return names + re.findall(r"^ +- (\S+) \[client\]$", unscored, re.MULTILINE)

    def _run(self, *arguments: str) -> str:
        path = f"{self.node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        try:
            done = subprocess.run(
                [self.node, self.script, *arguments],
                cwd=ROOT,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
                timeout=RUN_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise HarnessFailed(f"the harness took longer than {RUN_SECONDS} s: {arguments}") from error
        # 1 means that checks failed, which the caller judges; anything else is the harness itself.
        if done.returncode not in {0, 1}:
            raise HarnessFailed(f"{arguments} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return done.stdout


def install(cache: Path) -> Harness:
    """The harness and the Node it needs, from npm, into a folder; nothing is done when they are there.

    Raises:
        HarnessFailed: npm is missing or fails.
    """
    node = cache / "node_modules" / "node" / "bin" / "node"
    script = cache / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    if not (node.exists() and script.exists()):
        npm = shutil.which("npm")
        if npm is None:
            raise HarnessFailed("npm is needed once, to install Node 22 and the harness; it is not on PATH")
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "package.json").write_text('{"private": true}\n')
        print(f"installing {' '.join(PACKAGES)} into {cache}", file=sys.stderr)
        command = [npm, "install", "--no-audit", "--no-fund", "--save-exact", *PACKAGES]
        done = subprocess.run(command, cwd=cache, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not (node.exists() and script.exists()):
            raise HarnessFailed(f"npm install failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return Harness(node, script)


def read_outcome(folder: Path) -> Outcome:
    """What the harness wrote below a folder: one `<scenario>-<time>/checks.json` per scenario."""
    checks: Counter[Check] = Counter()
    messages: dict[Check, str] = {}
    scenarios: set[str] = set()
    for scenario, raw in _results(folder):
        scenarios.add(scenario)
        check = Check(scenario, raw["id"], raw["name"], raw["status"])
        if check.status in VERDICTS:
            checks[check] += 1
            messages.setdefault(check, raw.get("errorMessage") or "")
    return Outcome(checks, messages, frozenset(scenarios))


def _results(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(folder.rglob("checks.json")):
        match = _RESULT_FOLDER.fullmatch(file.parent.relative_to(folder).as_posix())
        if match is not None:
            for raw in msgspec.json.decode(file.read_bytes()):
                yield match[1], raw
