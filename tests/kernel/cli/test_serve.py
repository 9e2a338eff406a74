"""`gateway serve` as a process: the banner, exit codes, stdio, and a clean end."""

from __future__ import annotations

import json
import re
import socket
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portico._config.discovery import discover
from portico._config.settings import Document, load
from portico.cli.banner import announce
from tests.kernel.cli.conftest import SMALL, Finished

Process = Callable[..., Finished]
Serve = Callable[..., Any]

UPSTREAM = " ".join(SMALL)
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
CALL = {
    "jsonrpc": "2.0",
    "id": 2,
    "method": "tools/call",
    "params": {"name": "add", "arguments": {"a": 1, "b": 2}},
}


def test_the_banner_says_where_what_and_how_and_the_gateway_answers_there(
    serve_in: Serve, process: Process
) -> None:
    with serve_in("--upstream", UPSTREAM, "--upstream", "mcp-server-time --local-timezone=UTC") as served:
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+/mcp", served.url)
        assert re.search(r"small_server +4 tools, 3 resources, 1 prompt\n", served.banner)
        assert re.search(r"mcp-server-time +2 tools, 0 resources, 0 prompts\n", served.banner)
        assert served.clients == {"portico": {"type": "http", "url": served.url}}
        called = process("call", "add", "a=1", "b=2", "--url", served.url)
        assert (called.stdout, called.returncode) == ("3\n", 0)
        assert served.stop() == 0


def test_an_upstream_that_cannot_start_is_shown_with_its_reason_and_the_others_serve(
    serve_in: Serve, process: Process
) -> None:
    with serve_in("--upstream", UPSTREAM, "--upstream", "no-such-program-anywhere") as served:
        assert re.search(r"no-such-program-anywhere +0 tools.*unavailable: \S+", served.banner)
        assert "add" in process("tools", "--url", served.url).stdout


def test_every_virtual_server_has_its_line_and_its_client_entry(serve_in: Serve, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        "[auth.people]\nuse = 'token'\ntokens = { me = 'a-token-of-some-length' }\n[auth.anonymous]\n"
        "[servers.default]\nauth = ['anonymous']\n[servers.team]\nauth = ['people']\n"
    )
    with serve_in() as served:
        assert re.search(r"team +http://\S+/servers/team/mcp  \(token needed\)", served.banner)
        assert served.clients["portico-team"]["headers"] == {"Authorization": "Bearer YOUR_TOKEN"}
        assert "headers" not in served.clients["portico"]
        assert "no upstream is configured" in served.banner
        assert "a-token-of-some-length" not in served.banner


def test_an_address_that_is_taken_is_a_config_error_without_traceback(process: Process) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = process("serve", "--upstream", UPSTREAM, "--listen", address)
    assert done.returncode == 2
    assert f"cannot listen on {address}" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_every_problem_of_the_file_is_printed_with_its_path(process: Process, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        "[gateway]\nworkers = 0\nlog_levle = 'info'\n"
        "[upstreams.a]\nuse = 'mpc'\n[servers.default]\nupstreams = ['b']\n"
    )
    done = process("serve")
    assert done.returncode == 2
    assert done.stderr.startswith("gateway.toml: 4 problems\n")
    for path in ("gateway.workers", "gateway.log_levle", "upstreams.a.use", "servers.default.upstreams[0]"):
        assert f"\n  {path} " in done.stderr
    assert "did you mean 'mcp'?" in done.stderr


def test_anonymous_on_a_public_address_is_refused(process: Process) -> None:
    done = process("serve", "--upstream", UPSTREAM, "--listen", "0.0.0.0:0")
    assert done.returncode == 2
    assert "lets anybody in" in done.stderr


def test_quiet_prints_nothing(process: Process) -> None:
    done = process("serve", "--stdio", "--quiet", "--upstream", UPSTREAM, "--log-level", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_stdio_speaks_mcp_on_stdout_and_to_people_on_stderr(process: Process) -> None:
    lines = "".join(json.dumps(each) + "\n" for each in (INITIALIZE, CALL))
    done = process("serve", "--stdio", "--upstream", UPSTREAM, stdin=lines)
    assert done.returncode == 0
    first = json.loads(done.stdout.splitlines()[0])
    assert first["result"]["protocolVersion"] == "2025-11-25"
    assert "on stdin and stdout" in done.stderr
    entry = json.loads(done.stderr[done.stderr.index("\n{\n") : done.stderr.index("\n}\n") + 2])
    words = entry["mcpServers"]["portico"]
    assert words["args"][-5:] == ["serve", "--stdio", "--quiet", "--upstream", UPSTREAM]


def test_stdio_serves_the_virtual_server_that_is_named(process: Process) -> None:
    done = process("serve", "--stdio", "--server", "team", "--upstream", UPSTREAM)
    assert done.returncode == 2
    assert "there is no virtual server 'team'; configured: default" in done.stderr
    assert process("serve", "--server", "team", "--upstream", UPSTREAM).returncode == 2


def test_debug_shows_the_traceback_of_an_unexpected_exception(process: Process, tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("def new_event_loop():\n    raise RuntimeError('no loop today')\n")
    quiet = process("serve", "--upstream", "x", PYTHONPATH=str(tmp_path))
    assert quiet.returncode == 1
    assert quiet.stderr.startswith("gateway: RuntimeError: no loop today; --log-level debug")
    loud = process("serve", "--upstream", "x", "--log-level", "debug", PYTHONPATH=str(tmp_path))
    assert loud.returncode == 1
    assert "Traceback (most recent call last)" in loud.stderr


def test_without_uvloop_plain_asyncio_serves(serve_in: Serve, tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('not here')\n")
    with serve_in("--upstream", UPSTREAM, PYTHONPATH=str(tmp_path)) as served:
        assert "4 tools" in served.banner
        assert served.stop() == 0


def test_the_environment_sets_what_flags_do_not(serve_in: Serve, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.toml").write_text(f"[upstreams.e]\nuse = 'mcp'\ncommand = {json.dumps(SMALL)}\n")
    with serve_in(
        listen=None, PORTICO_CONFIG="elsewhere.toml", PORTICO_GATEWAY__LISTEN='["127.0.0.1:0"]'
    ) as served:
        assert "Portico serves elsewhere.toml" in served.banner
        assert ":4444" not in served.url


def test_every_call_before_the_stop_signal_has_its_line_in_the_access_log(
    serve_in: Serve, process: Process, tmp_path: Path
) -> None:
    with serve_in("--upstream", UPSTREAM) as served:
        for _ in range(3):
            assert process("call", "add", "a=1", "b=2", "--url", served.url).returncode == 0
        assert served.stop() == 0
    events = [json.loads(line) for line in served.errors.read_text().splitlines()]
    called = [event for event in events if event["event"] == "call" and event["method"] == "tools/call"]
    assert [(event["level"], event["name"], event["outcome"]) for event in called] == [
        ("info", "add", "ok")
    ] * 3
    assert len({event["request_id"] for event in called}) == 3


URLS = (("http", "mcp"), ("ws", "ws"), ("http", "rpc"))


def _announced(text: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, bool]:
    """What is printed below the first line, and whether clients get something to paste."""
    settings = load(Document(tomllib.loads(text)), discover())
    announce(settings, {}, ["127.0.0.1:1"])
    said = capsys.readouterr().out
    return said.partition(":\n")[2].partition("\n\n")[0], "mcpServers" in said


def test_the_banner_has_the_urls_of_all_ways_in_and_of_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert _announced("", capsys) == ("  default  http://127.0.0.1:1/mcp", True)
    more = "[transports.websocket]\n[transports.r]\nuse = 'jsonrpc'\n[servers.x]"
    mcp, ws, rpc = (f"{scheme}://127.0.0.1:1/servers/x/{end}" for scheme, end in URLS)
    assert _announced(more, capsys) == (f"  x  {mcp}\n  x  {ws}\n  x  {rpc}", True)
    assert _announced("[transports.streamable_http]\nenabled = false\n[transports.sse]", capsys) == (
        "  default  http://127.0.0.1:1/sse",
        False,
    )


def test_the_banner_has_the_urls_of_virtual_servers_as_agents(capsys: pytest.CaptureFixture[str]) -> None:
    text = "[transports.agents]\nuse = 'a2a'\n[servers.default]\n[servers.x]"
    said, _ = _announced(text, capsys)
    lines = [line.split() for line in said.splitlines()]
    assert [line for line in lines if "/a2a" in line[1]] == [
        ["default", "http://127.0.0.1:1/a2a"],
        ["x", "http://127.0.0.1:1/a2a/x"],
    ]


def test_a_transport_is_served_beside_the_default_one(serve_in: Serve, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("[transports.jsonrpc]\n")
    with serve_in() as served:
        base = served.url.removesuffix("/mcp")
        assert _status(f"{base}/mcp") == 405
        assert _status(f"{base}/rpc") == 405
        assert served.stop() == 0


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
