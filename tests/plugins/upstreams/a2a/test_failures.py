"""What becomes of a call when something is wrong with the agent: the code, the word, and nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from portico.api import Json, Refused, State
from tests.plugins.upstreams.a2a.agent_server import agent
from tests.plugins.upstreams.a2a.kit import running, structured
from tests.plugins.upstreams.a2a.raw import Raw, card_for, events, http, raw, rpc, task
from tests.plugins.upstreams.kit import Running, call, text
from tests.ports import free_port


async def refused(up: Running, tool: str = "send") -> tuple[int, str]:
    """The code and the word of a call that fails."""
    with pytest.raises(Refused) as found:
        async with asyncio.timeout(30):
            await up.send(call(tool, {"message": "x"}))
    assert found.value.data["gateway"]["upstream"] == "up"
    assert "127.0.0.1" not in found.value.message
    return found.value.code, found.value.data["gateway"]["reason"]


async def fails(
    answer: Any, method: str = "SendMessage", *, streaming: bool = False, **config: Any
) -> tuple[int, str]:
    """How a call fails that is answered like this; the next one is fine all the same."""
    async with raw(streaming=streaming, **{method: answer}) as server, running(server.origin, **config) as up:
        found = await refused(up)
        server.answers[method] = events(task()) if streaming else rpc(task())
        assert structured(await up.send(call("send", {"message": "x"})))["state"] == "completed"
        return found


BAD = [
    (http(b"{", "application/json"), "malformed_message"),
    (http(b"[]"), "malformed_message"),
    (http(b'"x"'), "malformed_message"),
    (http({"jsonrpc": "2.0", "id": "1"}), "malformed_message"),
    (rpc({"task": 5}), "malformed_message"),
    (rpc({}), "empty_event"),
    (rpc({"task": {"status": {"state": "TASK_STATE_COMPLETED"}}}), "task_without_id"),
    (rpc(task(ident="a b")), "bad_task_id"),
    (rpc(task(ident="x" * 300)), "bad_task_id"),
    (http(b"<html>", "text/html"), "wrong_content_type"),
    (http(b"x" * 5000, "application/json"), "message_too_large"),
    (http(b"", "text/html", "302 Found", "Location: http://127.0.0.1:9/"), "redirect"),
    (http(b"", "application/json", "307 Temporary Redirect", "Location: /rpc2"), "redirect"),
    (http(b"x", "application/json", "200 OK", "Content-Encoding: br"), "encoded_body"),
    (http(b"x", "application/json", "200 OK", "Content-Encoding: gzip"), "bad_compression"),
    (b"NOT HTTP AT ALL\r\n\r\n", "not_http"),
]


@pytest.mark.parametrize(("answer", "word"), BAD)
async def test_an_answer_of_no_use_is_a_bad_response(answer: bytes, word: str) -> None:
    assert await fails(answer, max_response_bytes=4096) == (50200, word)


@pytest.mark.parametrize("ident", ["../admin", "a/b", "a?b", "a%2fb", ".."])
async def test_an_id_that_would_lead_elsewhere_is_no_part_of_a_path(ident: str) -> None:
    async with raw() as server:
        server.card = card_for({**server.card["supportedInterfaces"][0], "protocolBinding": "HTTP+JSON"})
        server.answers[""] = http(task("WORKING", ident))
        async with running(server.origin) as up:
            assert await refused(up) == (50200, "bad_task_id")
    posts = [head.split()[1] for head in server.heads if not head.startswith(b"GET /.well-known")]
    assert posts == [b"/rpc/message:send"]


async def test_an_id_with_a_slash_is_fine_where_there_are_no_paths() -> None:
    async with raw(SendMessage=rpc(task(ident="tasks/7"))) as server, running(server.origin) as up:
        found = structured(await up.send(call("send", {"message": "x"})))
        assert found["taskId"].startswith("tasks/7.")
        server.answers["GetTask"] = rpc(task(ident="tasks/7")["task"])
        await up.send(call("send", {"message": "x", "taskId": found["taskId"]}))
    assert server.bodies[-1]["params"]["message"]["taskId"] == "tasks/7"


STREAMS = [
    (events(), "empty_stream"),
    (events({}), "empty_event"),
    (events({"statusUpdate": {"taskId": 5}}), "malformed_message"),
    (events(task("WORKING"), task("COMPLETED", "t2")), "another_task"),
    (events(task("WORKING"), {"statusUpdate": {"taskId": "t2", "status": {}}}), "another_task"),
    (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\n", "answer_cut_short"),
    (events({"message": {"messageId": "m", "parts": [{"text": "x" * 9000}]}}), "message_too_large"),
    (http(b"", "text/html", "302 Found", "Location: /"), "redirect"),
    (http(b"<html>", "text/html"), "wrong_content_type"),
]


def cut(answer: bytes) -> Any:
    """The answer, and then the end of the connection."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    return send


@pytest.mark.parametrize(("answer", "word"), STREAMS)
async def test_a_stream_of_no_use_is_a_bad_response(answer: bytes, word: str) -> None:
    found = await fails(cut(answer), "SendStreamingMessage", streaming=True, max_response_bytes=4096)
    assert found == (50200, word)


async def test_a_stream_that_breaks_is_followed_by_asking() -> None:
    answer = cut(events(task("WORKING"), cut=True))
    done = task(artifacts=[{"artifactId": "a", "parts": [{"text": "all of it"}]}])["task"]
    async with (
        raw(streaming=True, SendStreamingMessage=answer, GetTask=rpc(done)) as server,
        running(server.origin) as up,
    ):
        assert text(await up.send(call("send", {"message": "x"}))) == "all of it"
    assert server.methods() == ["SendStreamingMessage", "GetTask"]


async def test_a_task_nobody_can_ask_for_any_more_is_a_failure() -> None:
    answer = cut(events(task("WORKING"), cut=True))
    async with (
        raw(streaming=True, SendStreamingMessage=answer, GetTask=cut(b"HTTP/1.1 200")) as server,
        running(server.origin) as up,
    ):
        assert await refused(up) == (50300, "connection_lost")
    assert server.methods().count("GetTask") == 5


async def test_what_the_agent_has_begun_is_not_to_be_tried_again() -> None:
    busy = http(b"", "text/plain", "429 Too Many Requests")
    begun = cut(events(task("WORKING"), cut=True))
    async with (
        raw(streaming=True, SendStreamingMessage=begun, GetTask=busy) as server,
        running(server.origin) as up,
    ):
        with pytest.raises(Refused) as found:
            await up.send(call("send", {"message": "x"}))
    assert (found.value.code, found.value.data["gateway"]["retryable"]) == (50302, False)
    async with raw(streaming=True, SendStreamingMessage=busy) as server, running(server.origin) as up:
        with pytest.raises(Refused) as found:
            await up.send(call("send", {"message": "x"}))
    assert (found.value.code, found.value.data["gateway"]["retryable"]) == (50302, True)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("401 Unauthorized", (50300, "upstream_unauthorized")),
        ("403 Forbidden", (50300, "upstream_unauthorized")),
        ("429 Too Many Requests", (50302, "upstream_exhausted")),
        ("503 Service Unavailable", (50300, "upstream_exhausted")),
    ],
)
async def test_a_status_that_says_something_is_understood(status: str, expected: tuple[int, str]) -> None:
    answer = http(b"see http://10.0.0.7/admin", "text/plain", status, "Retry-After: 7")
    assert await fails(answer) == expected


async def test_when_to_come_back_is_passed_on() -> None:
    answer = http(b"", "text/plain", "429 Too Many Requests", "Retry-After: 7")
    async with raw(SendMessage=answer) as server, running(server.origin) as up:
        with pytest.raises(Refused) as found:
            await up.send(call("send", {"message": "x"}))
    assert found.value.data["gateway"]["retry_after"] == 7


ERRORS: list[tuple[bytes, str]] = [
    (
        http({"jsonrpc": "2.0", "id": "1", "error": {"code": -32602, "message": "no such seat"}}),
        "no such seat",
    ),
    (http({"jsonrpc": "2.0", "id": "1", "error": {"code": -32001, "message": "gone"}}), "TaskNotFound"),
    (http({"jsonrpc": "2.0", "id": "1", "error": {"code": -31999, "message": "own"}}), "-31999"),
    (
        http({"jsonrpc": "2.0", "id": "1", "error": {"code": -32603, "message": "/srv/x.py"}}),
        "The agent failed",
    ),
    (
        http(
            {"jsonrpc": "2.0", "id": "1", "error": {"code": -32602, "message": "as 400"}},
            "application/json",
            "400 Bad Request",
        ),
        "as 400",
    ),
    (http(b"see http://10.0.0.7/", "text/plain", "500 Internal Server Error"), "HTTP 500"),
    (http(b"", "text/plain", "404 Not Found"), "HTTP 404"),
]


@pytest.mark.parametrize(("answer", "said"), ERRORS)
async def test_an_error_of_the_agents_is_the_tools(answer: bytes, said: str) -> None:
    async with raw(SendMessage=answer) as server, running(server.origin) as up:
        result = await up.send(call("send", {"message": "x"}))
    assert result.value["isError"]
    assert said in text(result)
    assert "10.0.0.7" not in text(result)
    assert "/srv" not in text(result)


async def test_an_agent_that_never_answers_is_left_in_time() -> None:
    async with raw() as server:
        async with running(server.origin, call_timeout=1.0) as up:
            assert await refused(up) == (50400, "call_timeout")
        async with asyncio.timeout(30):
            await server.closed.wait()
    assert server.methods() == ["SendMessage"]


async def test_a_message_larger_than_may_be_sent_is_not() -> None:
    async with raw(SendMessage=rpc(task())) as server, running(server.origin, max_request_bytes=2048) as up:
        result = await up.send(call("send", {"message": "x" * 3000}))
    assert result.value["isError"]
    assert "larger than 2048 bytes" in text(result)
    assert server.bodies == []


async def test_an_agent_that_is_not_there_is_unavailable_and_comes_back() -> None:
    port = free_port()
    async with running(f"http://127.0.0.1:{port}") as up:
        assert (up.upstream.state, up.upstream.reason) == (State.UNAVAILABLE, "connection_refused")
        assert await refused(up) == (50300, "connection_refused")
        with pytest.raises(Refused) as probed:
            await up.upstream.probe()
        assert probed.value.code == 50300
        made = Raw(origin=f"http://127.0.0.1:{port}", answers={"SendMessage": rpc(task())})
        made.card = card_for(f"{made.origin}/rpc")
        async with await asyncio.start_server(made.serve, "127.0.0.1", port):
            await up.until_state(State.READY)
            assert structured(await up.send(call("send", {"message": "x"})))["state"] == "completed"


async def test_an_agent_that_goes_away_keeps_its_tools() -> None:
    async with agent() as served, running(served.url) as up:
        tools = up.upstream.offer.tools
        served.away = True
        with pytest.raises(Refused):
            await up.upstream.probe()
        await up.upstream.refresh()
        await up.until_state(State.DEGRADED)
        assert up.upstream.offer.tools == tools
        assert await refused(up, "greet") == (50300, "upstream_exhausted")
        served.away = False
        await up.until_state(State.READY)
        assert text(await up.send(call("greet", {"message": "you"}))) == "Hello, you!"


CARDS: list[tuple[bytes, str]] = [
    (http(b"{", "application/json"), "bad_card (it is not JSON)"),
    (http(b"[" * 1500, "application/json"), "bad_card (it is not JSON)"),
    (http([]), "bad_card (it is not an object)"),  # type: ignore[arg-type]
    (http({}), "bad_card (it has no name)"),
    (http({"name": 5}), "bad_card"),
    (http({"name": "x", "skills": [5]}), "bad_card"),
    (http({"name": "x", "capabilities": [], "securitySchemes": [1]}), "bad_card"),
    (http(card_for()), "no_usable_interface (the card names none)"),
    (http(card_for("http://elsewhere.example/rpc")), "no_usable_interface (http://elsewhere.example:80"),
    (http(b"x" * 3000), "bad_card (message_too_large)"),
    (http(b"", "text/html", "302 Found", "Location: /other"), "bad_card (redirect)"),
    (http(b"", "text/html", "500 Internal Server Error"), "no_card (HTTP 500)"),
    (http(b"", "text/html", "401 Unauthorized"), "upstream_unauthorized"),
    (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", "bad_card (wrong_content_type)"),
    (b"SSH-2.0-OpenSSH_9.7\r\n", "bad_card (not_http)"),
]


@pytest.mark.parametrize(("answer", "why"), CARDS)
async def test_a_card_of_no_use_is_told_and_nothing_is_sent(answer: bytes, why: str) -> None:
    async with raw() as server:
        server.cards = [answer, answer]
        async with running(server.origin, max_card_bytes=2048) as up:
            assert up.upstream.state is State.DEGRADED
            assert up.upstream.reason.startswith(why)
            code, _ = await refused(up)
    assert code == 50300
    assert server.bodies == []


async def test_a_card_that_does_not_come_is_waited_for_no_longer_than_configured() -> None:
    async with raw() as server:
        server.cards = [b"HTTP/1.1 200 OK\r\n"]
        async with running(server.origin, connect_timeout=0.5) as up:
            assert (up.upstream.state, up.upstream.reason) == (State.UNAVAILABLE, "card_timeout")


# --- a card that lies, and addresses ----------------------------------------------------------------


@pytest.mark.parametrize("code", [-32601, -32004])
async def test_an_agent_that_cannot_stream_after_all_is_asked_without(code: int) -> None:
    no = http({"jsonrpc": "2.0", "id": "1", "error": {"code": code, "message": "no"}})
    async with (
        raw(streaming=True, SendStreamingMessage=no, SendMessage=rpc(task())) as server,
        running(server.origin) as up,
    ):
        for _ in range(2):
            assert structured(await up.send(call("send", {"message": "x"})))["state"] == "completed"
    assert server.methods() == ["SendStreamingMessage", "SendMessage", "SendMessage"]


async def test_an_agent_that_answers_at_once_where_it_should_stream_is_understood() -> None:
    async with raw(streaming=True, SendStreamingMessage=rpc(task())) as server, running(server.origin) as up:
        assert structured(await up.send(call("send", {"message": "x"})))["state"] == "completed"


async def test_a_card_of_endless_words_makes_tools_of_a_reasonable_size() -> None:
    words = "x" * 20_000
    skills = [{"id": words, "name": words, "description": words, "examples": [words], "tags": [words]}] * 2
    async with raw() as server:
        server.card = card_for(f"{server.origin}/rpc", skills=skills)
        async with running(server.origin) as up:
            assert max(len(json.dumps(tool)) for tool in up.upstream.offer.tools) < 8000


async def test_grpc_where_there_is_none_is_told_as_such() -> None:
    async with (
        raw() as other,
        agent(["GRPC"]) as served,
        running(served.url, origins=[served.grpc, other.origin.replace("http", "grpc")]) as up,
    ):
        assert text(await up.send(call("greet", {"message": "you"}))) == "Hello, you!"
        served.card.supported_interfaces[0].url = other.origin.removeprefix("http://")
        await up.upstream.probe()
        assert (await refused(up, "greet"))[0] == 50300


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON", "GRPC"])
async def test_a_card_sends_nothing_to_another_origin(binding: str) -> None:
    async with raw() as thief, raw() as server:
        port = thief.origin.rpartition(":")[2]
        url = f"127.0.0.1:{port}" if binding == "GRPC" else f"{thief.origin}/rpc"
        declared: Json = {"url": url, "protocolBinding": binding, "protocolVersion": "1.0"}
        server.card = card_for(declared)
        async with running(server.origin) as up:
            assert up.upstream.state is State.DEGRADED
            assert "is not among `origins`" in up.upstream.reason
            assert (await refused(up))[0] == 50300
        assert thief.connections == 0


async def test_another_origin_may_be_allowed() -> None:
    async with raw(SendMessage=rpc(task())) as other, raw() as server:
        server.card = card_for(f"{other.origin}/rpc")
        async with running(server.origin, origins=[other.origin]) as up:
            assert structured(await up.send(call("send", {"message": "x"})))["state"] == "completed"
    assert (len(other.bodies), len(server.bodies)) == (1, 0)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "localhost"]
)
async def test_a_forbidden_address_is_never_connected_to_however_it_is_spelt(host: str) -> None:
    async with raw() as server:
        port = server.origin.rpartition(":")[2]
        async with running(f"http://{host}:{port}", allow_private=False) as up:
            assert up.upstream.state is State.UNAVAILABLE
            assert up.upstream.reason.startswith("address_not_allowed")
            assert (await refused(up)) == (50300, "address_not_allowed")
        assert server.connections == 0


@pytest.mark.parametrize("binding", ["JSONRPC", "GRPC"])
async def test_an_allowed_origin_at_a_metadata_address_is_never_connected_to(binding: str) -> None:
    scheme = "grpc" if binding == "GRPC" else "http"
    url = f"{scheme}://169.254.169.254:80"
    async with raw() as server:
        declared: Json = {"url": url, "protocolBinding": binding, "protocolVersion": "1.0"}
        server.card = card_for(declared)
        async with running(server.origin, origins=[url]) as up:
            code, reason = await refused(up)
        assert (code, reason.partition(" ")[0]) == (50300, "address_not_allowed")
        assert server.bodies == []


@pytest.mark.parametrize("binding", ["JSONRPC", "GRPC"])
async def test_a_name_that_turns_to_a_forbidden_address_is_not_followed(
    binding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with agent([binding]) as served:
        port = int(served.url.rpartition(":")[2])
        target = int(served.grpc.rpartition(":")[2])
        turns = {port: ["127.0.0.1"], target: ["127.0.0.1"]}

        async def resolve(host: str, port: int, **_: Any) -> Any:
            found = turns[port] if host == "agent.test" else [host]  # uvloop asks of addresses, too
            return [(2, 1, 6, "", (address, port)) for address in found]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
        [interface] = served.card.supported_interfaces
        interface.url = interface.url.replace("127.0.0.1", "agent.test")
        origins = [f"grpc://agent.test:{target}"]
        async with running(f"http://agent.test:{port}", origins=origins) as up:
            assert text(await up.send(call("greet", {"message": "you"}))) == "Hello, you!"
            turns[port] = ["127.0.0.1", "169.254.169.254"]
            turns[target] = ["169.254.169.254"]
            if binding == "JSONRPC":
                up.upstream._web.close()  # as if it had closed its connections
                with pytest.raises(Refused) as found:
                    await up.send(call("greet", {"message": "you"}))
                assert found.value.data["gateway"]["reason"] == "address_not_allowed (metadata)"
            await up.upstream.refresh()
            await up.until_state(State.UNAVAILABLE)
            assert up.upstream.reason == "address_not_allowed (metadata)"
            assert len(served.script.heard) == 1
