"""The A2A TCK: having it, running it, reading what it found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal
from xml.etree import ElementTree

import attrs
import msgspec

SOURCE: Final = "https://github.com/a2aproject/a2a-tck.git"
COMMIT: Final = "357c4a87afa2818731590647cccbea31c31733a2"
"""Of its branch 1.0-dev; the kit has no releases, and its branch `main` is for A2A 0.3."""

RUN_SECONDS: Final = 900

Status = Literal["passed", "failed", "skipped"]


class KitFailed(Exception):
    """The kit could not be had, or did not run to its end."""


@attrs.frozen
class Outcome:
    """What one run found.

    Attributes:
        tests: Status of each test, by its id as pytest has it.
        said: What the kit said about those that did not pass.
        must: The tests of each requirement that is a MUST.
    """

    tests: Mapping[str, Status]
    said: Mapping[str, str]
    must: Mapping[str, frozenset[str]]

    @property
    def figures(self) -> Counter[str]:
        """How many tests passed, failed and were skipped."""
        return Counter(self.tests.values())

    @property
    def musts(self) -> frozenset[str]:
        """The tests of all requirements that are a MUST."""
        return frozenset().union(*self.must.values())


@attrs.frozen
class Kit:
    """The kit in a folder."""

    folder: Path

    def run(self, url: str, output: Path, only: str = "") -> Outcome:
        """Run every test against an agent.

        Args:
            url: Where the agent is, its card below.
            output: A folder for what the kit writes.
            only: A `-k` expression of pytest; "" for all.

        Raises:
            KitFailed: It did not run to its end.
        """
        output.mkdir(parents=True, exist_ok=True)
        junit, report = output / "junit.xml", output / "compatibility"
        command = [sys.executable, "-m", "pytest", "tests/compatibility", "-q", "--tb=short"]
        command += ["-p", "no:cacheprovider", "-p", "no:xdist", f"--sut-host={url}"]
        command += [f"--junitxml={junit}", f"--compatibility-report={report}"]
        command += ["-k", only] if only else []
        environment = {name: text for name, text in os.environ.items() if not name.lower().endswith("_proxy")}
        try:
            with (output / "kit.log").open("wb") as log:
                done = subprocess.run(
                    command,
                    cwd=self.folder,
                    env={**environment, "PYTHONPATH": os.fspath(self.folder)},
                    stdout=log,
                    stderr=log,
                    timeout=RUN_SECONDS,
                    check=False,
                )
        except subprocess.TimeoutExpired as error:
            raise KitFailed(f"the kit took longer than {RUN_SECONDS} s: {output / 'kit.log'}") from error
        # 1 means that tests failed, which the caller judges; anything else is the kit itself.
        if done.returncode not in {0, 1} or not junit.exists():
            said = (output / "kit.log").read_text(errors="replace")[-4000:]
            raise KitFailed(f"the kit ended with {done.returncode}:\n{said}")
        return read_outcome(junit, report.with_suffix(".json"))


def read_outcome(junit: Path, report: Path) -> Outcome:
    """What a run wrote: pytest's JUnit XML, and the kit's own report, which knows requirements."""
    tests: dict[str, Status] = {}
    said: dict[str, str] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        ident = test_id(case.get("classname", ""), case.get("name", ""))
        broken = case.find("failure") if case.find("failure") is not None else case.find("error")
        skipped = case.find("skipped")
        tests[ident] = "failed" if broken is not None else "skipped" if skipped is not None else "passed"
        why = broken if broken is not None else skipped
        if why is not None:
            said[ident] = " ".join((why.get("message") or "").split())
    must = {
        name: frozenset(found["test_ids"])
        for name, found in msgspec.json.decode(report.read_bytes())["per_requirement"].items()
        if found["level"] == "MUST"
    }
    return Outcome(tests, said, must)


def test_id(classname: str, name: str) -> str:
    """The id of a test as pytest has it, from JUnit's words for it."""
    words = classname.split(".")
    last = next(at for at, word in enumerate(words) if word.startswith("test_"))
    return "::".join(["/".join(words[: last + 1]) + ".py", *words[last + 1 :], name])


def kit_at(folder: Path | None, cache: Path) -> Kit:
    """The kit: in a folder, or else a clone of `COMMIT`, made once.

    Args:
        folder: Where a checkout is, if there is one.
        cache: Where clones are kept.

    Raises:
        KitFailed: It is not there, or could not be cloned.
    """
    if folder is None:
        folder = cache / f"a2a-tck-{COMMIT[:12]}"
        if not folder.exists():
            _clone(folder)
    if not (folder / "tests" / "compatibility").is_dir():
        raise KitFailed(f"{folder} is no checkout of a2a-tck, branch 1.0-dev")
    return Kit(folder.resolve())


def _clone(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    half = folder.with_suffix(".part")
    for words in (
        ["init", "--quiet", os.fspath(half)],
        ["-C", os.fspath(half), "fetch", "--quiet", "--depth=1", SOURCE, COMMIT],
        ["-C", os.fspath(half), "checkout", "--quiet", "FETCH_HEAD"],
    ):
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise KitFailed(f"git {' '.join(words)}: {done.stderr.strip()}")
    half.rename(folder)
