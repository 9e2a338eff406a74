from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.commands import ROOT, blocks, reader
from tests.ports import free_port

README = ROOT / "README.md"
COMMANDS = [
    line for block in blocks(README) if block.language == "sh" for line in block.text.splitlines() if line
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the quick start needs, so that nothing is written beside the original."""
    for name in ("quickstart.toml", "data"):
        source, copy = ROOT / "examples" / name, tmp_path / "examples" / name
        copy.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
    return tmp_path


def test_every_command_of_the_readme_works_in_the_order_it_is_read(checkout: Path) -> None:
    said: dict[str, str] = {}
    with reader(checkout, free_port()) as who:
        for command in COMMANDS:
            said[command] = who.type(command)
    quickstart = said["pip install . && gateway serve --config examples/quickstart.toml"]
    assert "notes   6 tools" in quickstart
    assert "tables  2 tools" in quickstart
    assert "Jupiter" in next(
        text for command, text in said.items() if command.startswith("gateway call query")
    )
    assert "# Welcome" in said["gateway read note://welcome"]
    assert said["gateway call weekday date=2026-07-28"] == "Tuesday\n"
    assert "calendar" in said["gateway upstreams list"]
    history = [line.split() for line in said["gateway history"].splitlines()]
    done = [(line[4], line[5]) for line in history if line[6:7] == ["upstreams"] and "calendar" in line]
    assert done == [("api", "created"), ("cli", "deleted"), ("cli", "created")]


def test_the_readme_begins_with_the_two_commands() -> None:
    text = README.read_text("utf-8")
    assert COMMANDS[0] == "pip install . && gateway serve --config examples/quickstart.toml"
    assert "\npip install nox && nox\n" in text


def test_the_quick_start_works_without_an_activated_environment() -> None:
    script = ROOT / "examples" / "check_quickstart.py"
    done = subprocess.run(
        [sys.executable, "-I", script], capture_output=True, text=True, timeout=120, check=False, cwd="/"
    )
    assert (done.returncode, done.stdout) == (0, "The quick start works.\n"), done.stderr
