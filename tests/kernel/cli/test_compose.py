"""What the command line says becomes settings: names of upstreams, precedence, every problem at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from portico._config.discovery import Plugins, discover
from portico._core.errors import ConfigError
from portico.cli.compose import Sources, compose
from portico.cli.failures import Misuse
from portico.cli.upstream_specs import from_specs

Cli = Callable[..., Result]
TIME = "[upstreams.time]\nuse = 'mcp'\ncommand = ['mcp-server-time']\n"


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return discover()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder the test works in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "name", "table"),
    [
        ("https://docs.example.com/mcp", "docs-example-com", {"url": "https://docs.example.com/mcp"}),
        ("http://127.0.0.1:9000/mcp", "127-0-0-1", {"url": "http://127.0.0.1:9000/mcp"}),
        ("http://[::1]:9000/mcp", "1", {"url": "http://[::1]:9000/mcp"}),
        ("mcp-server-time --local-timezone=UTC", "mcp-server-time", None),
        ("/opt/tools/notes.py 'my notes'", "notes", {"command": ["/opt/tools/notes.py", "my notes"]}),
        ("npx -y @modelcontextprotocol/server-everything", "server-everything", None),
        ("npx -y @scope/thing@1.2.3 arg", "thing", None),
        ("uvx mcp-server-git==1.0 --repository .", "mcp-server-git", None),
        ("python -m my_server", "my_server", None),
        ("python3 tools/clock.py", "clock", None),
        ("echo ${HOME}", "echo", {"command": ["echo", "$${HOME}"]}),
    ],
)
def test_an_upstream_is_named_after_its_host_or_program(
    spec: str, name: str, table: dict[str, Any] | None
) -> None:
    found = from_specs([spec])
    assert list(found) == [name]
    if table is not None:
        assert found[name] == {"use": "mcp", **table}


def test_upstream_names_are_unique_among_themselves_and_the_file() -> None:
    assert list(from_specs(["clock a", "clock b"], ["clock"])) == ["clock-2", "clock-3"]


def test_every_upstream_that_means_nothing_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        from_specs(["ftp://host/x", "say 'unclosed", "   ", "http://"])
    assert [text.rpartition(", got ")[0] for _, text in caught.value.problems] == [
        "expected http://host... or https://host...",
        "expected a URL or a command line (no closing quotation)",
        "expected a URL or a command line",
        "expected http://host... or https://host...",
    ]


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    folder: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "gateway.toml").write_text(
        f"[gateway]\ndrain_timeout = 1\ncall_timeout = 1\npark_timeout = 1\n{TIME}"
    )
    monkeypatch.setenv("PORTICO_GATEWAY__CALL_TIMEOUT", "2")
    monkeypatch.setenv("PORTICO_GATEWAY__PARK_TIMEOUT", "2")
    made = compose(Sources(sets=("gateway.park_timeout=3",)), plugins).gateway
    assert (made.drain_timeout, made.call_timeout, made.park_timeout, made.workers) == (1, 2, 3, 1)


def test_upstreams_come_from_the_file_from_json_and_from_flags_together(
    folder: Path, plugins: Plugins
) -> None:
    (folder / "gateway.toml").write_text(TIME)
    (folder / "claude.json").write_text(json.dumps({"mcpServers": {"git": {"command": "mcp-server-git"}}}))
    made = compose(Sources(mcp_json=(Path("claude.json"),), upstreams=("https://host/mcp",)), plugins)
    assert made.servers["default"].upstreams == ("time", "git", "host")


def test_an_explicit_file_takes_the_place_of_the_default_one(folder: Path, plugins: Plugins) -> None:
    (folder / "gateway.toml").write_text("[gateway]\nnonsense = 1\n")
    (folder / "other.toml").write_text(TIME)
    assert compose(Sources(config=Path("other.toml")), plugins).source == "other.toml"


def test_with_nothing_to_serve_the_message_says_what_to_do(cli: Cli) -> None:
    result = cli("serve")
    assert result.exit_code == 2
    assert result.stderr.startswith("gateway: nothing to serve: there is no ./gateway.toml")
    assert "gateway serve --upstream" in result.stderr
    assert "gateway init" in result.stderr


def test_upstreams_of_the_environment_alone_are_something_to_serve(
    folder: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Misuse):
        compose(Sources(), plugins)
    monkeypatch.setenv("PORTICO_UPSTREAMS__FAR__URL", "https://host/mcp")
    monkeypatch.setenv("PORTICO_UPSTREAMS__FAR__USE", "mcp")
    assert compose(Sources(), plugins).servers["default"].upstreams == ("far",)


def test_problems_of_several_sources_are_reported_together(folder: Path, plugins: Plugins) -> None:
    (folder / "bad.toml").write_text("[gateway")
    (folder / "empty.json").write_text("{}")
    sources = Sources(
        config=Path("bad.toml"),
        mcp_json=(Path("empty.json"), Path("gone.json")),
        upstreams=("ftp://x",),
        sets=("x",),
    )
    with pytest.raises(ConfigError) as caught:
        compose(sources, plugins)
    text = caught.value.render()
    for part in ("bad.toml", "not TOML", "has no MCP servers", "gone.json", "ftp://x", "--set"):
        assert part in text


def test_what_mcp_json_could_not_bring_is_said(cli: Cli, tmp_path: Path) -> None:
    servers = {"off": {"command": "python", "disabled": True}, "on": {"command": "python", "alwaysAllow": []}}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    result = cli("check", "--mcp-json", "mcp.json")
    assert result.exit_code == 0
    assert "mcp.json: mcpServers.off: left out: it is disabled" in result.stderr
    assert "mcp.json: mcpServers.on: ignored: alwaysAllow" in result.stderr


def test_wrong_flags_are_problems_like_any_other(cli: Cli) -> None:
    result = cli(
        "check", "--upstream", "python", "--listen", "here", "--workers", "many", "--log-level", "loud"
    )
    assert result.exit_code == 2
    for part in ("gateway.listen", "HOST:PORT", "gateway.workers", "--workers", "gateway.log_level"):
        assert part in result.stderr
    assert "Traceback" not in result.output


def test_several_listen_flags_replace_the_configured_addresses(
    cli: Cli, folder: Path, plugins: Plugins
) -> None:
    overrides = ((("gateway", "listen"), ["127.0.0.1:1", "[::1]:2"]),)
    (folder / "gateway.toml").write_text(f"[gateway]\nlisten = ['127.0.0.1:9']\n{TIME}")
    assert compose(Sources(overrides=overrides), plugins).gateway.listen == ("127.0.0.1:1", "[::1]:2")


def test_plugins_can_be_chosen_from_the_command_line(cli: Cli) -> None:
    assert cli("check", "--upstream", "python", "--plugins").exit_code == 0
    assert cli("check", "--upstream", "python", "--plugins=no:token").exit_code == 0
    without = cli("check", "--upstream", "python", "--plugins=no:mcp")
    assert without.exit_code == 2
    assert "'mcp' (portico" in without.stderr
    assert "is disabled: left out by --plugins" in without.stderr
    unknown = cli("check", "--upstream", "python", "--plugins=mpc")
    assert unknown.exit_code == 2
    assert "no plugin 'mpc' is installed; did you mean 'mcp'?" in unknown.stderr


def test_help_documents_what_wins(cli: Cli) -> None:
    text = " ".join(cli("serve", "--help").stdout.split())
    assert "A flag wins over the environment, that over the file, that over the default." in text
    assert "PORTICO_GATEWAY__DRAIN_TIMEOUT=5" in text
