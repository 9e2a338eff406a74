"""The bench's own tools: the stub answers as an MCP server does, and the load generator counts honestly."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest

if sys.platform != "linux":
    pytest.skip("the bench needs Linux", allow_module_level=True)

from bench.load import Endpoint, Shape, load
from bench.native import CannotBuild, Tools, build, find_compiler
from bench.processes import Running, ask, stub_upstream
from bench.scale import held
from tests.bench.servers import answering, echoed, progress, sized, streamed

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


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_call_with_a_progress_token_gets_every_frame_it_asked_for(
    tools: Tools, stub: Running, era: str
) -> None:
    done = load(tools, stub.port, Shape(era, "tools/call", 2, frames=700), seconds=0.1)
    assert (done.errors, done.first_error) == (0, "")
    assert done.sse >= done.calls > 0


def test_a_run_of_so_many_calls_ends_with_them(tools: Tools, stub: Running) -> None:
    done = load(tools, stub.port, Shape("modern", "tools/call", 2), seconds=60, calls=300)
    assert done.errors == 0
    assert 300 <= done.calls < 400


def test_of_several_tools_each_connection_asks_for_one(tools: Tools, stub: Running) -> None:
    endpoint = Endpoint(tool="echo_001,echo_002,nonesuch")
    for connections, errors in ((2, False), (3, True)):
        shape = Shape("modern", "tools/list", connections)
        done = load(tools, stub.port, shape, seconds=0.1, endpoint=endpoint)
        assert done.calls > 0
        assert (done.errors > 0) == errors


def test_modern_streams_are_held_open_and_the_missing_legacy_ones_are_told(
    tools: Tools, stub: Running
) -> None:
    with held(tools, stub.port, "modern", 20) as streams:
        assert (streams.streams, streams.errors) == (20, 0)
    assert streams.open == 20
    with held(tools, stub.port, "legacy", 20) as streams:
        assert (streams.streams, streams.errors) == (0, 1)
    assert "405" in streams.first_error


def test_the_stub_has_as_many_tools_as_it_is_told(tools: Tools) -> None:
    with stub_upstream(tools, count=1234) as many:
        status, answer = post(
            many, {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
        )
    result = answer["result"]
    assert isinstance(result, dict)
    assert status == 200
    assert len({tool["name"] for tool in result["tools"]}) == 1234


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


def test_an_answer_in_a_chunked_event_stream_counts(tools: Tools) -> None:
    with answering(lambda request: streamed([progress(1, 1), echoed(request)])) as port:
        done = load(tools, port, Shape("modern", "tools/call", 1), seconds=0.1)
    assert (done.errors, done.first_error) == (0, "")
    assert done.sse >= done.calls > 0


@pytest.mark.parametrize("numbers", [(1,), (1, 3), (2, 1)], ids=["lost", "gap", "out of order"])
def test_a_progress_frame_that_is_not_passed_on_in_order_is_an_error(
    tools: Tools, numbers: tuple[int, ...]
) -> None:
    def respond(request: dict[str, object]) -> bytes:
        return streamed([*(progress(request["id"], number) for number in numbers), echoed(request)])

    with answering(respond) as port:
        done = load(tools, port, Shape("modern", "tools/call", 1, frames=2), seconds=0.1)
    assert done.calls == 0
    assert "not every progress notification" in done.first_error


def test_path_headers_and_tool_are_the_endpoints(tools: Tools) -> None:
    heads: list[bytes] = []
    names: set[object] = set()

    def respond(request: dict[str, object]) -> bytes:
        params = request["params"]
        assert isinstance(params, dict)
        names.add(params["name"])
        return sized(echoed(request))

    endpoint = Endpoint("/other/", "stub-echo", (("Authorization", "Bearer a:b"), ("X-More", "1")))
    with answering(respond, heads) as port:
        done = load(tools, port, Shape("modern", "tools/call", 1), seconds=0.05, endpoint=endpoint)
    assert (done.errors, done.first_error, names) == (0, "", {"stub-echo"})
    assert {b"POST /other/ HTTP/1.1\r\n", b"Authorization: Bearer a:b\r\n", b"X-More: 1\r\n"} < set(heads)


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
