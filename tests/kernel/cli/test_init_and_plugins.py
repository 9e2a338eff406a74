"""`gateway init` and `gateway plugins`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from portico._config import discovery
from portico._config.discovery import Plugin, Plugins

Cli = Callable[..., Result]


def test_init_writes_a_file_that_passes_check(cli: Cli, tmp_path: Path) -> None:
    assert cli("init").exit_code == 0
    result = cli("check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert (tmp_path / "gateway.toml").exists()


def test_every_setting_that_the_file_of_init_shows_is_a_real_one(cli: Cli, tmp_path: Path) -> None:
    cli("init")
    path = tmp_path / "gateway.toml"
    text = path.read_text()
    for kind in ('"mcp"', '"rest"', '"grpc"', '"a2a"', "[transports.sse]", "[transports.websocket]"):
        assert kind in text
    path.write_text(re.sub(r"(?m)^#(?! )", "", text))
    assert path.read_text().count("\n#") < text.count("\n#")
    result = cli("check")
    assert (result.exit_code, result.stderr) == (0, "")


def test_init_overwrites_only_when_told_to(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("mine")
    refused = cli("init", "mine.toml")
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert (tmp_path / "mine.toml").read_text() == "mine"
    assert cli("init", "mine.toml", "--force").exit_code == 0
    assert "[gateway]" in (tmp_path / "mine.toml").read_text()


def test_init_takes_a_folder_and_says_where_it_cannot_write(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    assert cli("init", "etc").exit_code == 0
    assert (tmp_path / "etc" / "gateway.toml").exists()
    nowhere = cli("init", "nowhere/gateway.toml")
    assert nowhere.exit_code == 1
    assert "nowhere/gateway.toml cannot be written" in nowhere.stderr


def test_plugins_list_shows_what_is_installed(cli: Cli) -> None:
    lines = cli("plugins", "list").stdout.splitlines()
    assert any(re.match(r"mcp +\S+ +loaded +upstream mcp ", line) for line in lines)
    listed = json.loads(cli("plugins", "list", "--json").stdout)["plugins"]
    token = next(plugin for plugin in listed if plugin["name"] == "token")
    assert [(f["kind"], f["name"], f["posture"]) for f in token["factories"]] == [
        ("auth", "token", "hardened")
    ]


def test_plugins_show_prints_every_config_key(cli: Cli) -> None:
    text = cli("plugins", "show", "mcp").stdout
    assert "hook: gateway_upstreams; posture towards hostile input: hardened" in text
    assert "  connect_timeout  (a number, default 10.0)" in text
    shown = json.loads(cli("plugins", "show", "mcp", "--json").stdout)
    keys = [row["key"] for row in shown[0]["factories"][0]["config"]]
    assert {"url", "command", "shared"} <= set(keys)


def test_plugins_show_knows_what_use_may_say(cli: Cli) -> None:
    assert "transport streamable_http" in cli("plugins", "show", "streamable_http").stdout


def test_plugins_show_names_the_nearest(cli: Cli) -> None:
    result = cli("plugins", "show", "tokn")
    assert result.exit_code == 2
    assert "no plugin 'tokn' is installed; did you mean 'token'?" in result.stderr


@pytest.fixture
def one_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed plugins and one that does not load."""
    records = discovery.discover().records
    broken = Plugin("shaky", "portico-shaky", "2.0", "shaky", state="failed", reason="ImportError: no luck")
    monkeypatch.setattr(discovery, "discover", lambda choice=None: Plugins((*records, broken)))


@pytest.mark.usefixtures("one_broken")
def test_a_plugin_that_failed_is_listed_and_mentioned_but_stops_nothing(cli: Cli) -> None:
    assert re.search(r"shaky +2.0 +failed +- +ImportError: no luck", cli("plugins", "list").stdout)
    assert "state: failed: ImportError: no luck" in cli("plugins", "show", "shaky").stdout
    result = cli("check", "--upstream", "python")
    assert result.exit_code == 0
    assert result.stderr == "gateway: plugin 'shaky' (portico-shaky 2.0) failed: ImportError: no luck\n"


@pytest.mark.usefixtures("one_broken")
def test_a_plugin_that_failed_and_is_named_is_a_problem(cli: Cli) -> None:
    result = cli("check", "--upstream", "python", "--set", "upstreams.python.use='shaky'")
    assert result.exit_code == 2
    assert "'shaky' (portico-shaky 2.0) failed to load: ImportError: no luck" in result.stderr
