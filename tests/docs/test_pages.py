from __future__ import annotations

import functools
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from docs.generate import drifted
from portico._config.discovery import discover
from portico._config.settings import Document, load
from tests.docs.commands import GATEWAY, PAGES, ROOT, Block, blocks

BLOCKS = [block for page in PAGES for block in blocks(page)]
QUOTED = [block for block in BLOCKS if block.file]
CONFIGS = [block for block in BLOCKS if block.language == "toml" and not block.file]
COMMANDS = sorted(
    {
        line
        for block in BLOCKS
        for line in block.text.splitlines()
        if line.startswith("gateway ") and block.language in ("", "sh") and "COMMAND" not in line
    }
)


def _ids(block: Block) -> str:
    return f"{block.page.relative_to(ROOT)}:{block.text.partition(chr(10))[0][:40]}"


def test_the_generated_parts_are_up_to_date() -> None:
    assert [str(page) for page in drifted()] == [], "run `python -m docs.generate`"


@pytest.mark.parametrize("block", QUOTED, ids=_ids)
def test_code_that_is_said_to_be_in_a_file_is_in_it(block: Block) -> None:
    assert block.text in (ROOT / block.file).read_text("utf-8")


SET = {"LAB_SECRET": "0123456789abcdef0123456789abcdef"}
"""Variables that pages have their reader set: for a secret, a default that works would be a bad example."""


@pytest.mark.parametrize("block", CONFIGS, ids=_ids)
def test_a_documented_configuration_is_accepted(block: Block, tmp_path: Path) -> None:
    # A page may show the one table it is about: what that refers to is filled in.
    tables = tomllib.loads(block.text)
    if "upstreams" not in tables:
        tables["upstreams"] = {}
    load(Document(tables, block.page.name, tmp_path), discover(), SET)


@functools.cache
def _help(*words: str) -> str:
    command = [GATEWAY, *words, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"there is no command {' '.join(words)}: {done.stderr}"
    return done.stdout


GROUPS = {
    "pins",
    "plugins",
    "upstreams",
    "servers",
    "tools",
    "prompts",
    "resources",
    "overrides",
    "secrets",
    "catalog",
    "db",
}
"""The commands that have commands."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_has_the_options_it_is_shown_with(command: str) -> None:
    _, name, *rest = shlex.split(command)
    nested = name in GROUPS and rest and not rest[0].startswith("-")
    words = (name, rest[0]) if nested else (name,)
    known = set(re.findall(r"--[a-z][a-z-]*", _help(*words)))
    used = {word.partition("=")[0] for word in rest if word.startswith("--")}
    assert used <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_documentation_names_every_plugin_of_the_distribution() -> None:
    own = {plugin.name for plugin in discover().records if plugin.distribution == "portico"}
    assert {page.stem for page in (ROOT / "docs" / "plugins").glob("*.md")} == own
