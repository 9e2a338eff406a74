"""Legacy requests over HTTP: POST, and the forms its answer has."""

from __future__ import annotations

from typing import Any

import pytest

from portico.api import Json
from tests.plugins.transports.kit import happened
from tests.plugins.transports.scripted import BIG
from tests.plugins.transports.web import Web, gateway

# --- POST -----------------------------------------------------------------------------------------


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


# --- bleeding between sessions --------------------------------------------------------------------


async def test_a_log_level_belongs_to_its_session(web: Web) -> None:
    quiet, loud = await web.session(), await web.session()
    assert "result" in await quiet.request("logging/setLevel", {"level": "error"}).json()
    assert "result" in await loud.request("logging/setLevel", {"level": "debug"}).json()
    assert [m["params"]["level"] for m in (await quiet.call("log").rest())[:-1]] == ["error"]
    assert [m["params"]["level"] for m in (await loud.call("log").rest())[:-1]] == ["debug", "error"]
