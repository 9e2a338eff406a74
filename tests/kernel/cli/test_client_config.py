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


def url_in(result: Result) -> str:
    assert result.exit_code == 0, result.output
    url: str = json.loads(result.stdout)["mcpServers"]["portico"]["url"]
    return url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", URL),
        ("[gateway]\nlisten = ['0.0.0.0:9000', '[::1]:9001']\n", "http://127.0.0.1:9000/mcp"),
        ("[gateway]\nlisten = ['127.0.0.1:0']\n", URL),
        ("[gateway]\npublic_url = 'https://mcp.example.com'\n", "https://mcp.example.com/mcp"),
        ("[transports.sse]\n", URL),
    ],
)
def test_the_url_is_that_of_the_configuration_file(cli: Cli, tmp_path: Path, text: str, url: str) -> None:
    (tmp_path / "gateway.toml").write_text(text)
    assert url_in(cli("client-config", "cursor")) == url
    assert url_in(cli("client-config", "cursor", "--url", "http://h:1")) == "http://h:1/mcp"


def test_a_virtual_server_of_the_configuration_file_has_its_own_url(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[gateway]\nlisten = ['127.0.0.1:9000']\n")
    result = cli("client-config", "cursor", "--config", "own.toml", "--server", "team")
    entry = json.loads(result.stdout)["mcpServers"]["portico-team"]
    assert entry == {"url": "http://127.0.0.1:9000/servers/team/mcp"}


@pytest.mark.parametrize(
    ("text", "ways"),
    [
        ("", "none at all"),
        ("[transports.sse]\n[transports.websocket]\n", "http://127.0.0.1:4444/sse, ws://127.0.0.1:4444/ws"),
        (
            "[transports.jsonrpc]\n[transports.management_api]\n",
            "http://127.0.0.1:4444/rpc, management_api",
        ),
    ],
)
@pytest.mark.parametrize("client", ["claude-code", "stdio"])
def test_without_the_transport_the_ways_in_that_are_there_are_named(
    cli: Cli, tmp_path: Path, client: str, text: str, ways: str
) -> None:
    (tmp_path / "gateway.toml").write_text(f"[transports.streamable_http]\nenabled = false\n{text}")
    result = cli("client-config", client)
    assert (result.exit_code, result.stdout) == (2, "")
    said = "has no transport `streamable_http`, through which these clients come in; it has"
    assert result.stderr == f"gateway: gateway.toml {said} {ways}\n"
    assert cli("client-config", client, "--url", URL).exit_code == 0


def test_a_file_with_problems_is_no_reason_for_no_snippet_unless_it_was_named(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "gateway.toml").write_text("[auth.token]\ntokens = '${env:NOT_IN_THIS_SHELL}'\n")
    result = cli("client-config", "cursor")
    assert url_in(result) == URL
    assert "gateway.toml has problems" in result.stderr
    assert cli("client-config", "cursor", "--config", "gateway.toml").exit_code == 2


def test_a_shell_cannot_be_reached_through_the_options(cli: Cli) -> None:
    assert cli("client-config", "claude-code", "--token-env", "$(id)").exit_code == 2
    words = shlex.split(cli("client-config", "claude-code", "--url", "http://h/mcp;id").stdout)
    assert words[-1] == "http://h/mcp;id"


def test_an_unknown_client_is_a_usage_error(cli: Cli) -> None:
    assert cli("client-config", "emacs").exit_code == 2
