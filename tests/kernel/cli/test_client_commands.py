"""`tools`, `call`, `read` and the like, against a running gateway and one of their own."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.kernel.cli.conftest import SMALL, Finished, Served, environment

Cli = Callable[..., Result]
Process = Callable[..., Finished]
UPSTREAM = " ".join(SMALL)


def test_tools_are_listed_with_their_arguments(cli: Cli, small: Served) -> None:
    lines = cli("tools", "--url", small.url).stdout.splitlines()
    assert lines[0].split() == ["TOOL", "ARGUMENTS", "DESCRIPTION"]
    assert lines[1] == "add    a, b, note?  Adds two integers."


def test_control_characters_of_a_server_do_not_reach_the_terminal(cli: Cli, small: Served) -> None:
    result = cli("tools", "--url", small.url)
    assert "\x1b" not in result.stdout
    assert "Fails \\u001b[31mloudly." in result.stdout


def test_lists_are_json_for_machines(cli: Cli, small: Served) -> None:
    tools = json.loads(cli("tools", "--url", small.url, "--json").stdout)["tools"]
    assert [tool["name"] for tool in tools] == ["add", "echo", "fail", "greet"]
    resources = json.loads(cli("resources", "--url", small.url, "--json").stdout)
    assert [r["uri"] for r in resources["resources"]] == ["notes://one", "notes://bytes"]
    assert [r["uriTemplate"] for r in resources["resourceTemplates"]] == ["notes://{name}"]
    prompts = json.loads(cli("prompts", "--url", small.url, "--json").stdout)["prompts"]
    assert [p["name"] for p in prompts] == ["review"]


def test_resources_and_prompts_are_tables_for_people(cli: Cli, small: Served) -> None:
    assert "notes://{name}  -" in cli("resources", "--url", small.url).stdout
    assert "review  what       Reviews." in cli("prompts", "--url", small.url).stdout


def test_pairs_are_read_as_the_schema_says(cli: Cli, small: Served) -> None:
    assert cli("call", "add", "a=1", "b=2", "note=3", "--url", small.url).stdout == "33\n"
    wrong = cli("call", "add", "a=one", "b=2", "--url", small.url)
    assert wrong.exit_code == 2
    assert "a must be integer in JSON, got 'one'" in wrong.stderr


def test_arguments_may_be_json_in_place_a_file_or_stdin(cli: Cli, small: Served, tmp_path: Path) -> None:
    (tmp_path / "arguments.json").write_text('{"a": 1, "b": 2}')
    for given in ('{"a": 1, "b": 2}', "@arguments.json", "-"):
        result = cli("call", "add", given, "--url", small.url, stdin='{"a": 1, "b": 2}')
        assert (result.stdout, result.exit_code) == ("3\n", 0)


@pytest.mark.parametrize(
    "given", [("{",), ("[1]",), ("x",), ("@gone.json",), ("{}", "a=1"), ("a=1", "{}"), ("=1",)]
)
def test_arguments_that_are_neither_are_usage_errors(cli: Cli, small: Served, given: tuple[str, ...]) -> None:
    result = cli("call", "add", *given, "--url", small.url)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_big_integers_come_through_exactly(cli: Cli, small: Served) -> None:
    big = 2**70 + 1
    result = cli("call", "echo", json.dumps({"n": big}), "--url", small.url, "--json")
    assert json.loads(result.stdout)["structuredContent"] == {"n": big}


def test_a_tool_that_fails_goes_to_stderr_with_exit_code_1(cli: Cli, small: Served) -> None:
    result = cli("call", "fail", "--url", small.url)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "it went wrong\n")
    machine = cli("call", "fail", "--url", small.url, "--json")
    assert machine.exit_code == 1
    assert json.loads(machine.stdout)["isError"] is True


def test_an_unknown_tool_or_prompt_is_an_error_that_names_the_nearest(cli: Cli, small: Served) -> None:
    result = cli("call", "addd", "--url", small.url)
    assert result.exit_code == 1
    assert result.stderr == "gateway: error -32602: Unknown tool 'addd'; did you mean 'add'?\n"
    assert "did you mean 'review'?" in cli("prompt", "revue", "--url", small.url).stderr


def test_a_resource_is_printed_as_it_is(cli: Cli, small: Served) -> None:
    assert cli("read", "notes://seven", "--url", small.url).stdout == "the note seven"
    assert cli("read", "notes://bytes", "--url", small.url).stdout_bytes == b"\x00\xff\xfe"


def test_a_prompt_is_filled_in(cli: Cli, small: Served) -> None:
    assert cli("prompt", "review", "what=it", "--url", small.url).stdout == "user: Review it.\n"
    raw = json.loads(cli("prompt", "review", "what=it", "--url", small.url, "--json").stdout)
    assert raw["messages"][0]["role"] == "user"
    assert cli("prompt", "review", "what", "--url", small.url).exit_code == 2


def test_a_virtual_server_is_reached_by_name(
    cli: Cli, small: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTICO_URL", small.url)
    tools = json.loads(cli("tools", "--server", "team", "--json").stdout)["tools"]
    assert [tool["name"] for tool in tools] == ["add"]
    unknown = cli("tools", "--server", "tem")
    assert unknown.exit_code == 1
    assert "it serves /servers/default/mcp, /servers/team/mcp, /mcp" in unknown.stderr


def test_with_a_config_the_command_starts_the_gateway(process: Process, tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(f"[upstreams.s]\nuse = 'mcp'\ncommand = {json.dumps(SMALL)}\n")
    called = process("call", "add", "a=20", "b=3", "--config", "g.toml")
    assert (called.stdout, called.stderr, called.returncode) == ("23\n", "", 0)
    unknown = process("call", "ad", "--config", "g.toml")
    assert (unknown.returncode, unknown.stderr) == (
        1,
        "gateway: error -32602: Unknown tool 'ad'; did you mean 'add'?\n",
    )
    nowhere = process("tools", "--config", "g.toml", "--server", "team")
    assert nowhere.returncode == 2
    assert "there is no virtual server 'team'" in nowhere.stderr


def test_an_upstream_that_is_down_is_named_and_others_are_used(process: Process) -> None:
    done = process("tools", "--upstream", UPSTREAM, "--upstream", "no-such-program-anywhere")
    assert done.returncode == 0
    assert "add" in done.stdout
    assert "upstream 'no-such-program-anywhere' is unavailable" in done.stderr


def test_a_config_that_is_wrong_is_reported_by_client_commands_too(process: Process, tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text("[upstreams.s]\nuse = 'mpc'\n")
    done = process("tools", "--config", "g.toml")
    assert done.returncode == 2
    assert "did you mean 'mcp'?" in done.stderr


def test_set_without_a_config_is_a_usage_error(cli: Cli) -> None:
    assert cli("tools", "--set", "gateway.call_timeout=1").exit_code == 2


def on_a_terminal(folder: Path, typed: str, *args: str) -> tuple[str, str, int]:
    """Run a command with a terminal for stdin and stderr; gives stdout, what it showed, its exit code."""
    terminal, side = pty.openpty()
    command = [sys.executable, "-m", "portico", *args]
    process = subprocess.Popen(
        command, stdin=side, stdout=subprocess.PIPE, stderr=side, text=True, cwd=folder, env=environment()
    )
    os.close(side)
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    os.write(terminal, typed.encode())
    shown = b""
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError:  # EIO: the other side has closed
        pass
    assert process.stdout is not None
    out = process.stdout.read()
    process.stdout.close()
    code = process.wait()
    watchdog.cancel()
    os.close(terminal)
    return out, shown.decode(), code


def test_a_question_is_put_on_the_terminal_and_its_answer_sent(small: Served, tmp_path: Path) -> None:
    typed = "accept\nAda\n\nlousy\ngood\n"
    out, shown, code = on_a_terminal(tmp_path, typed, "call", "greet", "--url", small.url)
    assert "The server asks: Who are you?" in shown
    assert "expected one of good, bad" in shown
    assert out == 'hello {"action": "accept", "content": {"mood": "good", "name": "Ada"}}\n'
    assert code == 0


def test_a_question_can_be_declined_also_without_a_running_gateway(tmp_path: Path) -> None:
    out, _, code = on_a_terminal(tmp_path, "decline\n", "call", "greet", "--upstream", UPSTREAM)
    assert out == 'hello {"action": "decline"}\n'
    assert code == 0


def test_without_a_terminal_nobody_is_asked(cli: Cli, small: Served) -> None:
    result = cli("call", "greet", "--url", small.url)
    assert "action" not in result.output
