"""Legacy sessions over HTTP: the handshake, POST and its answers, DELETE, expiry, and whose session it is."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from portico.api import LATEST_LEGACY, LEGACY_VERSIONS, Json
from tests.plugins.transports.scripted import BIG
from tests.plugins.transports.web import BASE, PATIENCE, Answer, Legacy, Web, frame, gateway

ASKABLE: Json = {"elicitation": {}}
YES: Json = {"action": "accept", "content": {"name": "Ada"}}
TOKENS = """
[auth.people]
use = "token"
tokens = { alice = "alice-0123456789abcdef", bob = "bob-0123456789abcdef" }
"""
ALICE = {"authorization": "Bearer alice-0123456789abcdef"}
BOB = {"authorization": "Bearer bob-0123456789abcdef"}


async def happened(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE):
        await event.wait()


async def error_of(answer: Answer) -> tuple[int, int]:
    """The status and the code."""
    return answer.status or await answer.head(), (await answer.json())["error"]["code"]


# --- the handshake -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", LEGACY_VERSIONS)
async def test_each_legacy_revision_is_spoken(web: Web, version: str) -> None:
    session = await web.session(version)
    assert session.result["protocolVersion"] == version
    assert session.result["serverInfo"]["name"] == "portico"
    assert (await session.call("echo", {"a": 1}).json())["result"]["structuredContent"] == {"a": 1}


@pytest.mark.parametrize("asked", ["1999-01-01", "2099-01-01", "2026-07-28", ""])
async def test_another_revision_is_answered_with_our_latest_legacy_one(web: Web, asked: str) -> None:
    assert (await web.session(asked)).result["protocolVersion"] == LATEST_LEGACY


async def test_session_ids_are_long_unguessable_and_visible_ascii(web: Web) -> None:
    ids = {(await web.session()).id for _ in range(10)}
    assert len(ids) == 10
    for ident in ids:
        assert len(ident) >= 32
        assert all(0x21 <= ord(c) <= 0x7E for c in ident)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"protocolVersion": LATEST_LEGACY},
        {"protocolVersion": 20251125, "capabilities": {}},
        {"protocolVersion": LATEST_LEGACY, "capabilities": []},
    ],
)
async def test_a_handshake_without_the_essentials_opens_no_session(web: Web, params: Json) -> None:
    answer = web.open("POST", BASE, frame(1, "initialize", params))
    assert (await answer.json())["error"]["code"] == -32602
    assert "mcp-session-id" not in answer.headers
    assert len(web.sessions) == 0


async def test_a_client_cannot_choose_its_session_id(web: Web) -> None:
    params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}}
    answer = web.open("POST", {**BASE, "mcp-session-id": "chosen"}, frame(1, "initialize", params))
    assert (await error_of(answer))[0] == 404
    assert len(web.sessions) == 0


async def test_a_session_is_initialized_once(web: Web) -> None:
    session = await web.session()
    again = session.request("initialize", {"protocolVersion": "2025-03-26", "capabilities": {}})
    assert (await again.json())["error"]["code"] == -32600
    assert "mcp-session-id" not in again.headers
    assert "result" in await session.request("ping").json()


# --- the session header ---------------------------------------------------------------------------------------


async def test_a_request_without_a_session_is_a_bad_request(web: Web) -> None:
    answer = web.open("POST", BASE, frame(1, "tools/list", {}))
    assert (await error_of(answer))[0] == 400


@pytest.mark.parametrize("ident", ["", "nope", "A" * 200])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_an_unknown_session_is_not_found(web: Web, method: str, ident: str) -> None:
    headers = {**BASE, "mcp-session-id": ident}
    answer = web.open(method, headers, frame(1, "ping", {}) if method == "POST" else b"")
    assert await answer.head() == 404


async def test_after_delete_the_session_is_not_found(web: Web) -> None:
    session = await web.session()
    ended = session.delete()
    assert (await ended.head(), await ended.body()) == (204, b"")
    for answer in (session.request("ping"), session.get(), session.delete()):
        assert await answer.head() == 404
    assert len(web.sessions) == 0


async def test_delete_ends_what_is_under_way(web: Web) -> None:
    session = await web.session()
    listening, calling = session.get(), session.call("hang")
    await happened(web.upstream.begun)
    assert await listening.head() == 200
    assert await session.delete().head() == 204
    await listening.over()
    await calling.over()
    await happened(web.upstream.cancelled)
    assert not web.gateway.plane.load.calls


@pytest.mark.parametrize("version", ["1.0", "garbage", "2024-13-01"])
async def test_a_version_header_that_is_none_is_a_bad_request(web: Web, version: str) -> None:
    session = await web.session()
    session.headers["mcp-protocol-version"] = version
    for answer in (session.request("ping"), session.get(), session.delete()):
        assert await answer.head() in (400, 405)
    session.headers["mcp-protocol-version"] = LATEST_LEGACY
    assert "result" in await session.request("ping").json()


async def test_a_session_belongs_to_its_principal_and_looks_unknown_to_others() -> None:
    async with gateway(auth=TOKENS) as web:
        alice = await web.session(headers=ALICE)
        stolen = Legacy(web, alice.id, LATEST_LEGACY, BOB, {})
        unknown = Legacy(web, "unknown", LATEST_LEGACY, BOB, {})
        for steal, guess in (
            (stolen.request("tools/list"), unknown.request("tools/list")),
            (stolen.call("echo"), unknown.call("echo")),
            (stolen.post([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]), unknown.post([])),
            (stolen.get(), unknown.get()),
            (stolen.get("1-1"), unknown.get("1-1")),
            (stolen.delete(), unknown.delete()),
        ):
            assert (await steal.head(), await steal.body()) == (404, await guess.body())
            assert steal.headers == guess.headers
        assert not web.upstream.calls
        assert "result" in await alice.request("ping").json()


async def test_a_session_needs_its_token_on_every_request() -> None:
    async with gateway(auth=TOKENS) as web:
        alice = await web.session(headers=ALICE)
        for token in (None, "Bearer wrong-0123456789abcdef"):
            headers = {k: v for k, v in alice.headers.items() if k != "authorization"}
            if token:
                headers["authorization"] = token
            answer = web.open("POST", headers, frame(1, "ping", {}))
            assert await answer.head() == 401


# --- how many, how long ------------------------------------------------------------------------------------------


async def test_sessions_beyond_the_cap_are_told_to_come_back() -> None:
    async with gateway("max_sessions = 2") as web:
        first, _ = await web.session(), await web.session()
        params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}}
        third = web.open("POST", BASE, frame(1, "initialize", params))
        assert await error_of(third) == (503, 50302)
        assert third.headers["retry-after"] == "1"
        assert await first.delete().head() == 204
        await web.session()


async def test_an_idle_session_ends_and_a_busy_one_stays(web: Web) -> None:
    idle, listens, calls, posts = [await web.session() for _ in range(4)]
    listening = listens.get()
    assert await listening.head() == 200
    calling = calls.call("gate")
    await happened(web.upstream.begun)
    for each in web.sessions._sessions.values():
        each.session.last_seen -= 3600
    assert "result" in await posts.request("ping").json()
    web.sessions.sweep()
    assert await idle.request("ping").head() == 404
    for session in (listens, calls, posts):
        assert "result" in await session.request("ping").json()
    web.upstream.gate.set()
    await calling.over()


async def test_a_session_is_not_idle_the_moment_its_stream_has_ended(web: Web) -> None:
    session = await web.session()
    stream = session.get()
    assert await stream.head() == 200
    for each in web.sessions._sessions.values():
        each.session.last_seen -= 3600
    await stream.gone()
    web.sessions.sweep()
    assert "result" in await session.request("ping").json()


async def test_an_ended_session_leaves_nothing_behind(web: Web) -> None:
    session = await web.session()
    assert "result" in await session.request("resources/subscribe", {"uri": "test://one"}).json()
    assert await session.delete().head() == 204
    endpoint = web.gateway.plane.endpoints["default"]
    assert not list(endpoint.sessions)
    assert not endpoint.hub._subscriptions["default"]


# --- POST ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ident", [7, "7", 0, "", -1, 2**63])
async def test_an_id_comes_back_with_its_value_and_type(web: Web, ident: Any) -> None:
    session = await web.session()
    for answer in (session.request("ping", ident=ident), session.call("echo", ident=ident)):
        got = (await answer.json())["id"]
        assert got == ident
        assert type(got) is type(ident)


async def test_the_ids_7_and_the_string_7_are_two_requests(web: Web) -> None:
    session = await web.session()
    calls = [session.call("gate", {"x": repr(ident)}, ident=ident) for ident in (7, "7")]
    await happened(web.upstream.begun)
    assert [await call.head() for call in calls] == [200, 200]
    await session.post(
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "7"}}
    ).head()
    web.upstream.gate.set()
    ((answer,), cancelled) = [await call.rest() for call in calls]
    assert (answer["id"], answer["result"]["structuredContent"]) == (7, {"x": "7"})
    assert cancelled == []


async def test_an_id_that_is_in_flight_is_refused(web: Web) -> None:
    session = await web.session()
    first = session.call("gate", ident=1)
    assert await first.head() == 200
    second = session.call("echo", ident=1)
    assert (await second.json())["error"]["code"] == -32600
    web.upstream.gate.set()
    assert "result" in (await first.rest())[-1]


async def test_the_same_id_in_two_sessions_is_two_requests(web: Web) -> None:
    sessions = [await web.session() for _ in range(20)]
    calls = [s.call("gate", {"x": n}, ident=1) for n, s in enumerate(sessions)]
    for call in calls:
        await call.head()
    web.upstream.gate.set()
    for number, call in enumerate(calls):
        assert (await call.rest())[-1]["result"]["structuredContent"] == {"x": number}


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/unheard-of", "params": {"a": 1}},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": [1]}},
        {"jsonrpc": "2.0", "method": "notifications/cancelled"},
        {"jsonrpc": "2.0", "id": 99, "result": {}},
        {"jsonrpc": "2.0", "id": "99", "error": {"code": 1, "message": "no"}},
    ],
)
async def test_notifications_and_answers_to_nothing_are_taken(web: Web, message: Json) -> None:
    session = await web.session()
    answer = session.post(message)
    assert (await answer.head(), await answer.body()) == (202, b"")


async def test_roots_that_changed_are_told_to_the_upstream(web: Web) -> None:
    session = await web.session()
    await session.post({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}).head()
    assert "result" in await session.call("echo").json()
    assert web.upstream.told == ["notifications/roots/list_changed"]


async def test_a_quick_answer_is_json() -> None:
    async with gateway("stream_after = 5.0") as web:
        session = await web.session()
        answer = session.call("echo", {"a": 1})
        assert (await answer.json())["result"]["structuredContent"] == {"a": 1}


async def test_an_answer_with_frames_is_a_stream() -> None:
    async with gateway("stream_after = 5.0") as web:
        session = await web.session()
        answer = session.call("progress", {"n": 2}, progressToken="t")
        messages = await answer.rest()
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["x-accel-buffering"] == "no"
        assert [m.get("method") for m in messages] == ["notifications/progress"] * 2 + [None]


async def test_a_late_answer_is_a_stream(web: Web) -> None:
    session = await web.session()
    answer = session.call("gate")
    assert await answer.head() == 200
    assert answer.headers["content-type"] == "text/event-stream"
    web.upstream.gate.set()
    assert "result" in (await answer.rest())[-1]


async def test_an_error_is_an_answer_like_any_other(web: Web) -> None:
    session = await web.session()
    for tool, code in (("fail", -32602), ("nope", -32602), ("crash", -32603)):
        answer = session.call(tool)
        assert (await answer.json())["error"]["code"] == code
        assert answer.status == 200


async def test_a_resource_that_is_not_there_has_the_legacy_code(web: Web) -> None:
    session = await web.session()
    body = await session.request("resources/read", {"uri": "test://none"}).json()
    assert body["error"]["code"] == -32002


async def test_big_integers_and_nulls_pass_byte_exact(web: Web) -> None:
    session = await web.session()
    assert BIG in await session.call("big").body()


async def test_modern_members_do_not_leak_into_legacy_lists(web: Web) -> None:
    session = await web.session()
    result = (await session.request("tools/list").json())["result"]
    assert set(result) == {"tools"}


@pytest.mark.parametrize("method", ["server/discover", "subscriptions/listen", "tasks/list", "no/such"])
async def test_a_method_this_era_lacks_is_not_found(web: Web, method: str) -> None:
    session = await web.session()
    answer = session.request(method, {"notifications": {}})
    assert (await answer.json())["error"]["code"] == -32601
    assert answer.status == 200


async def test_a_call_the_client_cancels_is_cancelled_and_not_answered(web: Web) -> None:
    session = await web.session()
    answer = session.call("hang")
    await happened(web.upstream.begun)
    assert await answer.head() == 200
    await session.post(
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    ).head()
    await happened(web.upstream.cancelled)
    assert await answer.rest() == []


async def test_a_session_cannot_cancel_anothers_call(web: Web) -> None:
    mine, other = await web.session(), await web.session()
    answer = mine.call("gate", ident=1)
    assert await answer.head() == 200
    await other.post(
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    ).head()
    web.upstream.gate.set()
    assert "result" in (await answer.rest())[-1]


# --- the client is asked ---------------------------------------------------------------------------------------------


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


# --- batches -----------------------------------------------------------------------------------------------------------


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
    body = b'[{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"},{"jsonrpc":"2.0","id":2,"method":"ping"}]'
    answers = msgspec.json.decode(await web.open("POST", session.headers, body).body())
    assert [a.get("error", {}).get("code") for a in answers] == [-32700, None]


# --- bleeding between sessions ---------------------------------------------------------------------------------------------


async def test_a_log_level_belongs_to_its_session(web: Web) -> None:
    quiet, loud = await web.session(), await web.session()
    assert "result" in await quiet.request("logging/setLevel", {"level": "error"}).json()
    assert "result" in await loud.request("logging/setLevel", {"level": "debug"}).json()
    assert [m["params"]["level"] for m in (await quiet.call("log").rest())[:-1]] == ["error"]
    assert [m["params"]["level"] for m in (await loud.call("log").rest())[:-1]] == ["debug", "error"]
