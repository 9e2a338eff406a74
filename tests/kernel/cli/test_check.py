"""`gateway check`: every problem in one run; what only starting shows with `--connect`."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.kernel.cli.conftest import SMALL, Finished

Cli = Callable[..., Result]
Process = Callable[..., Finished]
ONE = f"[upstreams.one]\nuse = 'mcp'\ncommand = {json.dumps(SMALL)}\n"


def test_a_good_file_has_no_problems_and_opens_no_socket(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    (tmp_path / "gateway.toml").write_text(
        ONE + "[upstreams.two]\nuse = 'mcp'\nurl = 'http://127.0.0.1:9/mcp'\n"
    )
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    result = cli("check")
    assert result.exit_code == 0, result.output
    assert "gateway.toml: the configuration has no problems (1 virtual server, 2 upstreams" in result.stdout


def test_every_problem_is_reported_in_one_run_and_for_machines(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        "[gateway]\nlisten = ['x']\n[upstreams.a]\nuse = 'mpc'\n[sevrers.b]\n"
    )
    people = cli("check")
    assert people.exit_code == 2
    assert people.stderr.startswith("gateway.toml: 3 problems\n")
    machines = cli("check", "--json")
    assert machines.exit_code == 2
    report = json.loads(machines.stdout)
    assert report["ok"] is False
    assert sorted(each["path"] for each in report["problems"]) == [
        "gateway.listen",
        "sevrers",
        "upstreams.a.use",
    ]


def test_connect_reports_state_era_and_counts(process: Process, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        ONE + "[upstreams.two]\nuse = 'mcp'\ncommand = ['no-such-program-here']\n"
    )
    done = process("check", "--connect", "--json")
    assert done.returncode == 1
    upstreams = json.loads(done.stdout)["upstreams"]
    assert upstreams["one"] == {
        "state": "ready",
        "tools": 4,
        "resources": 3,
        "prompts": 1,
        "eras": ["legacy"],
    }
    assert upstreams["two"]["state"] == "unavailable"
    assert upstreams["two"]["reason"]
    people = process("check", "--connect")
    assert people.returncode == 1
    assert re.search(r"\none +ready +legacy +4 tools, 3 resources, 1 prompt", people.stdout)


def test_connect_reports_names_that_two_upstreams_claim(process: Process, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        ONE + ONE.replace("one", "two") + "[servers.default]\nprefix = 'never'\n"
    )
    done = process("check", "--connect")
    assert done.returncode == 2
    assert "'add' of server 'default' is claimed twice: 'one' has it, 'two' is left out" in done.stdout


def test_connect_shows_what_only_starting_can(process: Process, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("[auth.people]\nuse = 'token'\ntokens = { me = 'short' }\n")
    assert process("check").returncode == 0
    done = process("check", "--connect")
    assert done.returncode == 2
    assert "auth.people.tokens.me" in done.stderr
