"""Legacy clients that are asked something in mid-call, and batches (2025-03-26)."""

from __future__ import annotations

import msgspec
import pytest

from portico.api import LEGACY_VERSIONS, Json
from tests.plugins.transports.kit import YES, error_of
from tests.plugins.transports.web import Web, frame, gateway

ASKABLE: Json = {"elicitation": {}}


# --- the client is asked --------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["elicit", "rounds"])
async def test_a_question_comes_on_the_calls_stream_and_its_answer_by_post(web: Web, tool: str) -> None:
    session = await web.session(capabilities=ASKABLE)
    answer = session.call(tool)
    question = await answer.message()
    assert question["method"] == "elicitation/create"
    reply = session.post({"jsonrpc": "2.0", "id": question["id"], "result": YES})
    assert (await reply.head(), await reply.body()) == (202, b"")
    (result,) = await answer.rest()
    assert "Ada" in str(result["result"]["structuredContent"])


async def test_a_question_is_asked_once_even_beside_a_get_stream(web: Web) -> None:
    session = await web.session(capabilities=ASKABLE)
    listening = session.get()
    assert await listening.head() == 200
    answer = session.call("elicit")
    question = await answer.message()
    await session.post({"jsonrpc": "2.0", "id": question["id"], "result": YES}).head()
    await answer.rest()
    assert await session.delete().head() == 204
    assert await listening.rest() == []


async def test_another_session_cannot_answer_the_question(web: Web) -> None:
    mine, other = await web.session(capabilities=ASKABLE), await web.session()
    answer = mine.call("elicit")
    question = await answer.message()
    await other.post({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}}).head()
    await mine.post({"jsonrpc": "2.0", "id": question["id"], "result": YES}).head()
    assert (await answer.rest())[-1]["result"]["structuredContent"] == YES


async def test_a_client_that_answers_with_an_error_fails_the_call(web: Web) -> None:
    session = await web.session(capabilities=ASKABLE)
    answer = session.call("elicit")
    question = await answer.message()
    error = {"code": -1, "message": "User is away"}
    await session.post({"jsonrpc": "2.0", "id": question["id"], "error": error}).head()
    (result,) = await answer.rest()
    assert result["error"] == error


@pytest.mark.parametrize("declared", [{}, {"sampling": {}}])
async def test_a_client_that_cannot_be_asked_is_not(web: Web, declared: Json) -> None:
    session = await web.session(capabilities=declared)
    body = await session.call("elicit").json()
    assert body["error"]["code"] == -32600


async def test_a_session_that_ends_while_its_client_is_asked_ends_the_call(web: Web) -> None:
    session = await web.session(capabilities=ASKABLE)
    answer = session.call("elicit")
    await answer.message()
    assert await session.delete().head() == 204
    await answer.over()
    assert not web.gateway.plane.load.calls


# --- batches --------------------------------------------------------------------------------------


async def test_a_batch_is_answered_by_an_array_in_2025_03_26() -> None:
    async with gateway("stream_after = 5.0") as web:
        session = await web.session("2025-03-26")
        answer = session.post(
            [
                {"jsonrpc": "2.0", "id": 1, "method": "ping"},
                {"jsonrpc": "2.0", "method": "notifications/unheard-of"},
                {"jsonrpc": "2.0", "id": "2", "method": "tools/call", "params": {"name": "echo"}},
                {"jsonrpc": "2.0", "id": 3, "method": "no/such"},
                {"jsonrpc": "1.0", "id": 4, "method": "ping"},
                7,
            ]
        )
        answers = await answer.json()
        assert {a["id"]: a.get("error", {}).get("code") for a in answers if a["id"] is not None} == {
            1: None,
            "2": None,
            3: -32601,
        }
        assert [a["error"]["code"] for a in answers if a["id"] is None] == [-32600, -32600]


async def test_a_batch_of_notifications_and_answers_is_taken(web: Web) -> None:
    session = await web.session("2025-03-26")
    answer = session.post(
        [{"jsonrpc": "2.0", "method": "notifications/x"}, {"jsonrpc": "2.0", "id": 9, "result": {}}]
    )
    assert (await answer.head(), await answer.body()) == (202, b"")


async def test_a_batch_whose_calls_stream_is_a_stream(web: Web) -> None:
    session = await web.session("2025-03-26")
    progress = {"name": "progress", "arguments": {"n": 1}, "_meta": {"progressToken": "t"}}
    answer = session.post(
        [
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": progress},
            {"jsonrpc": "2.0", "id": 2, "method": "ping"},
        ]
    )
    messages = await answer.rest()
    assert answer.headers["content-type"] == "text/event-stream"
    assert {m.get("id") for m in messages} == {None, 1, 2}


@pytest.mark.parametrize("version", [v for v in LEGACY_VERSIONS if v != "2025-03-26"])
async def test_other_revisions_know_no_batches(web: Web, version: str) -> None:
    session = await web.session(version)
    answer = session.post([{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo"}}])
    assert await error_of(answer) == (400, -32600)
    assert not web.upstream.calls


@pytest.mark.parametrize("size", [0, 51])
async def test_an_empty_or_endless_batch_is_refused(web: Web, size: int) -> None:
    session = await web.session("2025-03-26")
    answer = session.post([{"jsonrpc": "2.0", "id": n, "method": "ping"} for n in range(size)])
    assert await error_of(answer) == (400, -32600)


async def test_a_member_that_stands_twice_in_a_batch_is_refused(web: Web) -> None:
    session = await web.session("2025-03-26")
    twice = b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}'
    body = b"[" + twice + b"," + frame(2, "ping", {}) + b"]"
    answers = msgspec.json.decode(await web.open("POST", session.headers, body).body())
    assert [a.get("error", {}).get("code") for a in answers] == [-32700, None]
