"""The client of `gateway`'s own commands: what it sends, and what it makes of odd answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
import pytest
from click.testing import Result

from portico.cli.connect import endpoint

Cli = Callable[..., Result]
TOOL = {
    "name": "go",
    "inputSchema": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
}


@attrs.define
class Stub:
    """An HTTP server that gives prepared answers, and keeps what it was asked."""

    url: str = ""
    answers: list[tuple[int, str, bytes]] = attrs.field(factory=list)
    seen: list[tuple[dict[str, str], Any]] = attrs.field(factory=list)

    def result(self, value: Any) -> None:
        """Answer one request with a result."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}).encode()
        self.answers.append((200, "application/json", body))

    def stream(self, *frames: Any) -> None:
        """Answer one request with an event stream."""
        body = b": hi\n\n" + b"".join(b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in frames)
        self.answers.append((200, "text/event-stream", body))


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A running stub."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            stub.seen.append(({k.lower(): v for k, v in self.headers.items()}, json.loads(body)))
            status, kind, answer = stub.answers.pop(0)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_address[1]}/mcp"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield stub
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_request_carries_the_headers_of_the_modern_era(cli: Cli, stub: Stub) -> None:
    stub.result({"tools": [TOOL]})
    stub.result({"content": [{"type": "text", "text": "gone"}]})
    result = cli("call", "go", "region=e\u00fc", "--url", stub.url, "--token", "t0", "--header", "X-A: b: c")
    assert result.stdout == "gone\n"
    headers, body = stub.seen[1]
    assert headers["mcp-protocol-version"] == "2026-07-28"
    assert (headers["mcp-method"], headers["mcp-name"]) == ("tools/call", "go")
    assert headers["mcp-param-region"] == "=?base64?ZcO8?="
    assert (headers["authorization"], headers["x-a"]) == ("Bearer t0", "b: c")
    meta = body["params"]["_meta"]
    assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert meta["io.modelcontextprotocol/clientCapabilities"] == {}


def test_every_page_of_a_list_is_fetched(cli: Cli, stub: Stub) -> None:
    stub.result({"tools": [TOOL], "nextCursor": "c1"})
    stub.result({"tools": [{**TOOL, "name": "stop"}]})
    tools = json.loads(cli("tools", "--url", stub.url, "--json").stdout)["tools"]
    assert [tool["name"] for tool in tools] == ["go", "stop"]
    assert stub.seen[1][1]["params"]["cursor"] == "c1"


def test_an_event_stream_is_read_to_its_answer(cli: Cli, stub: Stub) -> None:
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
    stub.stream(progress, {"jsonrpc": "2.0", "id": 1, "result": {"prompts": [{"name": "p"}]}})
    result = cli("prompts", "--url", stub.url)
    assert result.exit_code == 0
    assert "p" in result.stdout


def test_a_stream_that_ends_without_an_answer_is_a_failure(cli: Cli, stub: Stub) -> None:
    stub.stream()
    result = cli("tools", "--url", stub.url)
    assert result.exit_code == 1
    assert "ended the stream without an answer" in result.stderr


def test_a_state_without_questions_is_sent_again_at_once(cli: Cli, stub: Stub) -> None:
    stub.result({"resultType": "input_required", "requestState": "s"})
    stub.result({"contents": [{"uri": "a://b", "text": "c"}]})
    assert cli("read", "a://b", "--url", stub.url).stdout == "c"
    assert stub.seen[1][1]["params"]["requestState"] == "s"


def test_a_server_that_never_stops_asking_is_given_up_on(cli: Cli, stub: Stub) -> None:
    for _ in range(20):
        stub.result({"resultType": "input_required", "requestState": "s"})
    result = cli("read", "a://b", "--url", stub.url)
    assert result.exit_code == 1
    assert "still asking after 20 rounds" in result.stderr


def test_a_capability_that_only_a_terminal_has_is_explained(cli: Cli, stub: Stub) -> None:
    error = {"code": -32021, "message": "The client did not declare the capability"}
    stub.answers.append((400, "application/json", json.dumps({"id": 1, "error": error}).encode()))
    result = cli("read", "a://b", "--url", stub.url)
    assert result.exit_code == 1
    assert "run this on a terminal" in result.stderr


def test_an_error_of_the_gateway_says_which_upstream_and_request(cli: Cli, stub: Stub) -> None:
    data = {
        "gateway": {"reason": "upstream_unavailable", "upstream": "x", "request_id": "r1", "retryable": True}
    }
    error = {"code": 50300, "message": "Gone", "data": data}
    stub.answers.append((503, "application/json", json.dumps({"id": 1, "error": error}).encode()))
    result = cli("read", "a://b", "--url", stub.url)
    expected = "gateway: error 50300: Gone (upstream x, reason upstream_unavailable, request_id r1)\n"
    assert (result.exit_code, result.stderr) == (1, expected)


def test_a_missing_capability_is_an_empty_list(cli: Cli, stub: Stub) -> None:
    error = {"code": -32601, "message": "Method not found"}
    stub.answers.append((404, "application/json", json.dumps({"id": 1, "error": error}).encode()))
    result = cli("prompts", "--url", stub.url)
    assert (result.exit_code, result.stdout) == (0, "no prompts\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, "application/json", b'{"error":"missing"}'), "--token or PORTICO_TOKEN"),
        ((404, "application/json", b'{"error":"not found","expected":["/mcp"]}'), "it serves /mcp"),
        ((421, "text/plain", b"no"), "answers 421"),
        ((200, "text/html", b"<html>"), "is this an MCP endpoint?"),
        ((200, "application/json", b"[1]"), "is this an MCP endpoint?"),
    ],
)
def test_an_answer_that_is_none_is_explained(
    cli: Cli, stub: Stub, answer: tuple[int, str, bytes], said: str
) -> None:
    stub.answers.append(answer)
    result = cli("tools", "--url", stub.url)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_nobody_there_is_one_line_that_says_what_to_do(cli: Cli, stub: Stub) -> None:
    import socket

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = cli("tools", "--url", f"http://127.0.0.1:{unused.getsockname()[1]}/mcp")
    assert result.exit_code == 1
    assert "Connection refused. Is `gateway serve` running there?" in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("--url", "localhost:4444"),
        ("--url", "http://h:x/"),
        ("--header", "nonsense"),
        ("--header", "A: \u20ac"),
    ],
)
def test_options_that_mean_nothing_are_usage_errors(cli: Cli, stub: Stub, args: tuple[str, ...]) -> None:
    given = args if "--url" in args else (*args, "--url", stub.url)
    result = cli("tools", *given)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("url", "server", "expected"),
    [
        ("http://h:1", "", "http://h:1/mcp"),
        ("http://h:1/mcp", "", "http://h:1/mcp"),
        ("http://h:1/mcp", "a", "http://h:1/servers/a/mcp"),
        ("https://h/portico/servers/b/mcp", "a", "https://h/portico/servers/a/mcp"),
        ("https://h/portico/mcp", "a", "https://h/portico/servers/a/mcp"),
        ("https://h/custom", "", "https://h/custom"),
    ],
)
def test_the_endpoint_is_found_from_what_is_given(url: str, server: str, expected: str) -> None:
    assert endpoint(url, server) == expected
