"""The bench's own tools: the stub answers as an MCP server does, and the load generator counts honestly."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

if sys.platform != "linux":
    pytest.skip("the bench needs Linux", allow_module_level=True)

from bench.measure import Shape, load
from bench.native import CannotBuild, Tools, build, find_compiler
from bench.processes import Running, ask, stub_upstream

CALL = {"name": "echo", "arguments": {"text": 'so "it" goes'}}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.fixture(scope="module")
def tools() -> Tools:
    try:
        find_compiler()
    except CannotBuild as error:
        pytest.skip(str(error))
    return build()


@pytest.fixture(scope="module")
def stub(tools: Tools) -> Iterator[Running]:
    with stub_upstream(tools) as running:
        yield running


def post(stub: Running, message: Mapping[str, object], **headers: str) -> tuple[int, dict[str, object]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    status, body = ask(stub.port, "POST", "/mcp", json.dumps(message, indent=1), named)
    return status, json.loads(body) if body else {}


@pytest.mark.parametrize("method", ["tools/call", "tools/list"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_load_generator_gets_right_answers_from_the_stub(
    tools: Tools, stub: Running, era: str, method: str
) -> None:
    done = load(tools, stub.port, Shape(era, method, 4), seconds=0.2, warmup=0.05, watched=stub.pid)
    assert (done.errors, done.first_error, done.reconnects) == (0, "", 0)
    assert done.calls > 100
    assert 0 < done.p50_ms <= done.p99_ms <= done.max_ms
    assert done.cpu_us is not None


def test_a_modern_call_is_echoed_under_its_own_id(stub: Running) -> None:
    message = {"jsonrpc": "2.0", "id": "7", "method": "tools/call", "params": {**CALL, "_meta": META}}
    status, answer = post(stub, message, MCP_Protocol_Version="2026-07-28")
    assert (status, answer["id"]) == (200, "7")
    result = answer["result"]
    assert isinstance(result, dict)
    assert result["resultType"] == "complete"
    assert result["content"][0]["text"].startswith('so "it" goes ')


def test_a_legacy_call_needs_the_session_its_initialize_gave(stub: Running) -> None:
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    status, answer = post(stub, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello})
    result = answer["result"]
    assert status == 200
    assert isinstance(result, dict)
    assert result["protocolVersion"] == "2025-06-18"
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": CALL}
    assert post(stub, call)[0] == 400
    status, answer = post(stub, call, Mcp_Session_Id="any")
    assert status == 200
    result = answer["result"]
    assert isinstance(result, dict)
    assert "resultType" not in result


def test_the_stub_answers_discover_and_refuses_what_it_does_not_have(stub: Running) -> None:
    status, answer = post(
        stub, {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": META}}
    )
    result = answer["result"]
    assert isinstance(result, dict)
    assert (status, result["supportedVersions"]) == (200, ["2026-07-28"])
    status, answer = post(
        stub, {"jsonrpc": "2.0", "id": 1, "method": "prompts/list", "params": {"_meta": META}}
    )
    error = answer["error"]
    assert isinstance(error, dict)
    assert (status, error["code"]) == (404, -32601)
    assert ask(stub.port, "GET", "/mcp")[0] == 405
    assert (
        ask(stub.port, "POST", "/mcp", '{"jsonrpc": "2.0", "method": "notifications/initialized"}')[0] == 202
    )


def test_a_listen_stream_is_acknowledged_and_stays_open(stub: Running) -> None:
    params = {"_meta": META, "notifications": {"toolsListChanged": True}}
    body = json.dumps({"jsonrpc": "2.0", "id": "l", "method": "subscriptions/listen", "params": params})
    with socket.create_connection(("127.0.0.1", stub.port), timeout=5) as connection:
        connection.sendall(f"POST /mcp HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        said = b""
        while b"\n\n\r\n" not in said:
            said += connection.recv(4096)
        assert b"text/event-stream" in said
        assert (
            b'"io.modelcontextprotocol/subscriptionId":"l"},"notifications":{"toolsListChanged":true}' in said
        )
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)


# --- servers that answer otherwise -------------------------------------------------------------------


@contextmanager
def answering(respond: Callable[[dict[str, object]], bytes]) -> Iterator[int]:
    """A server for one connection at a time; each request gets the bytes `respond` makes of its body."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            size = 0
            with connection, connection.makefile("rb") as lines:
                while line := lines.readline():
                    if line.lower().startswith(b"content-length:"):
                        size = int(line.split(b":")[1])
                    elif line == b"\r\n":
                        answer = respond(json.loads(lines.read(size)))
                        connection.sendall(answer)
                        if b"Connection: close" in answer:
                            break

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def echoed(request: dict[str, object]) -> dict[str, object]:
    params = request["params"]
    assert isinstance(params, dict)
    content = [{"type": "text", "text": params["arguments"]["text"]}]
    return {"jsonrpc": "2.0", "id": request["id"], "result": {"resultType": "complete", "content": content}}


def sized(message: object, status: str = "200 OK", more: str = "") -> bytes:
    body = json.dumps(message)
    kind = "Content-Type: application/json"
    return f"HTTP/1.1 {status}\r\n{kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def streamed(request: dict[str, object]) -> bytes:
    progress = {
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": 1, "progress": 1},
    }
    text = "id: 1\nretry: 10\ndata:\n\n: quiet\n\n"
    text += "".join(
        f"event: message\r\ndata: {json.dumps(one)}\r\n\r\n" for one in (progress, echoed(request))
    )
    chunks = (
        "".join(f"{len(part):x}\r\n{part}\r\n" for part in (text[:90], text[90:], "") if part) + "0\r\n\r\n"
    )
    kind = "content-type: text/event-stream; charset=utf-8"
    head = f"HTTP/1.1 200 OK\r\n{kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return (head + chunks).encode()


def test_an_answer_in_a_chunked_event_stream_counts(tools: Tools) -> None:
    with answering(streamed) as port:
        done = load(tools, port, Shape("modern", "tools/call", 1), seconds=0.1)
    assert (done.errors, done.first_error) == (0, "")
    assert done.sse >= done.calls > 0


def test_a_connection_the_server_closes_is_opened_again(tools: Tools) -> None:
    with answering(lambda request: sized(echoed(request), more="Connection: close\r\n")) as port:
        done = load(tools, port, Shape("modern", "tools/call", 1), seconds=0.1)
    assert (done.errors, done.first_error) == (0, "")
    assert done.reconnects >= done.calls > 0


@pytest.mark.parametrize(
    ("respond", "complaint"),
    [
        (lambda request: sized({**echoed(request), "id": 0}), "id of the request"),
        (lambda request: sized({"jsonrpc": "2.0", "id": request["id"], "error": {"code": 1}}), "no result"),
        (lambda request: sized(echoed(request), "503 Service Unavailable"), "status 503"),
        (
            lambda request: sized({**echoed(request), "result": {"resultType": "complete", "content": []}}),
            "not the result asked for",
        ),
        (lambda request: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed HTTP"),
    ],
    ids=["wrong id", "error", "status", "wrong result", "broken framing"],
)
def test_a_wrong_answer_is_an_error_and_no_call(
    tools: Tools, respond: Callable[[dict[str, object]], bytes], complaint: str
) -> None:
    with answering(respond) as port:
        done = load(tools, port, Shape("modern", "tools/call", 1), seconds=0.1)
    assert done.calls == 0
    assert done.errors > 0
    assert complaint in done.first_error


def test_without_a_compiler_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CannotBuild, match="apt-get install gcc"):
        find_compiler()
