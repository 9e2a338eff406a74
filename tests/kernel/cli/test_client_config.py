"""`gateway client-config`: each client's own format."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Cli = Callable[..., Result]
URL = "http://127.0.0.1:4444/mcp"


def test_claude_desktop_gets_a_bridge(cli: Cli) -> None:
    entry = json.loads(cli("client-config", "claude").stdout)["mcpServers"]["portico"]
    assert entry == {"command": "npx", "args": ["-y", "mcp-remote", URL, "--allow-http"]}
    entry = json.loads(cli("client-config", "claude", "--token-env", "T").stdout)["mcpServers"]["portico"]
    assert entry["args"][-2:] == ["--header", "Authorization:${PORTICO_AUTHORIZATION}"]
    assert entry["env"] == {"PORTICO_AUTHORIZATION": "Bearer THE_VALUE_OF_T"}


def test_a_client_that_starts_commands_gets_the_wrapper(cli: Cli) -> None:
    entry = json.loads(cli("client-config", "stdio").stdout)["mcpServers"]["portico"]
    assert Path(entry["command"]).name == "gateway"
    assert (entry["args"], entry["env"]) == (["wrapper"], {"MCP_SERVER_URL": URL})
    entry = json.loads(cli("client-config", "stdio", "--token-env", "T").stdout)["mcpServers"]["portico"]
    assert entry["env"] == {"MCP_SERVER_URL": URL, "MCP_AUTH": "Bearer THE_VALUE_OF_T"}


def test_claude_code_gets_a_command(cli: Cli) -> None:
    words = shlex.split(cli("client-config", "claude-code", "--token-env", "TOKEN").stdout)
    assert words == [
        *("claude", "mcp", "add", "--transport", "http", "portico", URL),
        *("--header", "Authorization: Bearer $TOKEN"),
    ]


@pytest.mark.parametrize(
    ("client", "key", "reference"), [("cursor", "url", "${env:TOKEN}"), ("gemini", "httpUrl", "$TOKEN")]
)
def test_cursor_and_gemini_get_json(cli: Cli, client: str, key: str, reference: str) -> None:
    assert json.loads(cli("client-config", client).stdout) == {"mcpServers": {"portico": {key: URL}}}
    entry = json.loads(cli("client-config", client, "--token-env", "TOKEN").stdout)["mcpServers"]["portico"]
    assert entry["headers"] == {"Authorization": f"Bearer {reference}"}


def test_vs_code_asks_for_the_token_itself(cli: Cli) -> None:
    plain = json.loads(cli("client-config", "vscode").stdout)
    assert plain == {"servers": {"portico": {"type": "http", "url": URL}}}
    document = json.loads(cli("client-config", "vscode", "--token-env", "TOKEN").stdout)
    asked = document["inputs"][0]["id"]
    assert document["servers"]["portico"]["headers"] == {"Authorization": f"Bearer ${{input:{asked}}}"}


def test_codex_gets_toml(cli: Cli) -> None:
    document = tomllib.loads(cli("client-config", "codex", "--token-env", "TOKEN").stdout)
    assert document == {"mcp_servers": {"portico": {"url": URL, "bearer_token_env_var": "TOKEN"}}}


def test_the_inspector_gets_a_command(cli: Cli) -> None:
    words = shlex.split(cli("client-config", "inspector").stdout)
    assert words[:5] == ["npx", "@modelcontextprotocol/inspector", "--cli", URL, "--transport"]


def test_a_virtual_server_has_its_own_url_and_name(cli: Cli) -> None:
    result = cli("client-config", "cursor", "--url", "https://mcp.example.com", "--server", "team")
    servers = json.loads(result.stdout)["mcpServers"]
    assert servers == {"portico-team": {"url": "https://mcp.example.com/servers/team/mcp"}}


def test_the_url_may_come_from_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTICO_URL", "https://elsewhere/mcp")
    assert "https://elsewhere/mcp" in cli("client-config", "codex").stdout


def test_a_shell_cannot_be_reached_through_the_options(cli: Cli) -> None:
    assert cli("client-config", "claude-code", "--token-env", "$(id)").exit_code == 2
    words = shlex.split(cli("client-config", "claude-code", "--url", "http://h/mcp;id").stdout)
    assert words[-1] == "http://h/mcp;id"


def test_an_unknown_client_is_a_usage_error(cli: Cli) -> None:
    assert cli("client-config", "emacs").exit_code == 2
