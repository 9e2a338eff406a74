"""Conversations in both eras: the same tests for every transport that carries them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from portico.api import (
    LATEST_LEGACY,
    LATEST_MODERN,
    META_CAPABILITIES,
    META_LOG_LEVEL,
    META_SUBSCRIPTION,
    META_VERSION,
)
from tests.plugins.transports.kit import HELLO, YES, call, cancelled, legacy_call, modern
from tests.plugins.transports.scripted import BIG
from tests.plugins.transports.ways import Conversation, conversation
from tests.plugins.transports.web import PATIENCE, frame

CONNECTED = ("stdio", "websocket", "sse")
"""All messages are on one connection, which is the session."""
IN_SESSIONS = (*CONNECTED, "streamable_http")
EVERY = (*IN_SESSIONS, "jsonrpc")


def on(ways: tuple[str, ...]) -> pytest.MarkDecorator:
    """Run a test once for each of these transports."""
    return pytest.mark.parametrize("talk", ways, indirect=True)


@pytest_asyncio.fixture
async def talk(request: pytest.FixtureRequest) -> AsyncIterator[Conversation]:
    async with conversation(request.param) as made:
        yield made


@on(CONNECTED)
@pytest.mark.parametrize(
    ("message", "code"),
    [
        (frame(1, "server/discover", {}), -32602),
        (frame(1, "tools/list", {"_meta": {META_VERSION: LATEST_MODERN}}), -32602),
        (modern(1, "tools/list", meta={META_CAPABILITIES: []}), -32602),
        (modern(1, "tools/list", meta={META_VERSION: "2099-01-01"}), -32022),
        (modern(1, "tools/list", meta={META_VERSION: LATEST_LEGACY}), -32022),
        (modern(1, "initialize"), -32601),
        (modern(1, "ping"), -32601),
        (modern(1, "no/such"), -32601),
        (call(1, "nope"), -32602),
        (frame(1, "tools/list", {}), -32600),
        (legacy_call(1, "echo"), -32600),
    ],
)
async def test_a_bad_request_is_answered_with_its_id(talk: Conversation, message: bytes, code: int) -> None:
    answer = await talk.ask(message)
    assert (answer["id"], answer["error"]["code"]) == (1, code)
    assert await talk.silent()


@on(EVERY)
@pytest.mark.parametrize("ident", [7, "7", 0, -1, 2**63])
async def test_an_id_comes_back_with_its_value_and_type(talk: Conversation, ident: Any) -> None:
    got = (await talk.ask(modern(ident, "tools/list")))["id"]
    assert got == ident
    assert type(got) is type(ident)


@on(EVERY)
async def test_calls_are_answered_when_they_are_done(talk: Conversation) -> None:
    talk.say(call(1, "gate"), call("1", "echo"))
    assert (await talk.hear())["id"] == "1"
    talk.upstream.gate.set()
    assert (await talk.hear())["id"] == 1


@on(CONNECTED)
async def test_an_id_that_is_in_flight_is_refused(talk: Conversation) -> None:
    talk.say(call(1, "gate"))
    assert "error" in await talk.ask(call(1, "echo"))
    talk.upstream.gate.set()
    assert "result" in await talk.hear()
    assert "result" in await talk.ask(call(1, "echo"))


@on(EVERY)
async def test_big_integers_pass_byte_exact(talk: Conversation) -> None:
    talk.say(call(1, "big"))
    assert BIG[1:-1] in await talk.hear_raw()


@on(IN_SESSIONS)
async def test_progress_and_log_messages_come_before_the_answer(talk: Conversation) -> None:
    talk.say(call(1, "progress", {"n": 2}, {"progressToken": "t"}))
    assert [(await talk.hear())["params"]["progress"] for _ in range(2)] == [0, 1]
    assert (await talk.hear())["id"] == 1
    talk.say(call(2, "log", meta={META_LOG_LEVEL: "error"}))
    assert (await talk.hear())["params"]["level"] == "error"
    assert (await talk.hear())["id"] == 2


@on(IN_SESSIONS)
@pytest.mark.parametrize("ident", [7, "7"])
async def test_a_modern_call_the_client_cancels_is_not_answered(talk: Conversation, ident: Any) -> None:
    talk.say(call(ident, "hang"))
    async with asyncio.timeout(PATIENCE):
        await talk.upstream.begun.wait()
    talk.say(cancelled("7" if ident == 7 else 7))
    assert await talk.silent()
    assert not talk.upstream.cancelled.is_set()
    talk.say(cancelled(ident))
    async with asyncio.timeout(PATIENCE):
        await talk.upstream.cancelled.wait()
    assert await talk.silent()


@on(IN_SESSIONS)
async def test_a_legacy_call_the_client_cancels_is_not_answered(talk: Conversation) -> None:
    await talk.ask(frame(0, "initialize", HELLO))
    talk.say(legacy_call(1, "hang"))
    async with asyncio.timeout(PATIENCE):
        await talk.upstream.begun.wait()
    talk.say(cancelled(1))
    async with asyncio.timeout(PATIENCE):
        await talk.upstream.cancelled.wait()
    assert await talk.silent()


@on(EVERY)
async def test_a_modern_client_is_asked_by_input_required(talk: Conversation) -> None:
    asked = (await talk.ask(call(1, "elicit")))["result"]
    (key,) = asked["inputRequests"]
    more = {"requestState": asked["requestState"], "inputResponses": {key: YES}}
    answer = await talk.ask(call(2, "elicit", more=more))
    assert answer["result"]["structuredContent"] == YES
    assert [name for name, _ in talk.upstream.calls] == ["elicit"]


@on(IN_SESSIONS)
@pytest.mark.parametrize("tool", ["elicit", "rounds"])
async def test_a_legacy_client_is_asked_by_a_request(talk: Conversation, tool: str) -> None:
    await talk.ask(frame(0, "initialize", HELLO))
    question = await talk.ask(legacy_call(1, tool))
    assert question["method"] == "elicitation/create"
    answer = await talk.ask(
        frame(question["id"], "", {}).replace(b'"method":"","params":{}', b'"result":{"action":"decline"}')
    )
    assert "decline" in str(answer["result"])


@on(IN_SESSIONS)
async def test_a_subscription_is_acknowledged_first_and_tagged(talk: Conversation) -> None:
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["test://one"]}
    first = await talk.ask(modern(7, "subscriptions/listen", {"notifications": wanted}))
    assert first["method"] == "notifications/subscriptions/acknowledged"
    talk.upstream.wiring.resource_updated("one", talk.principal, {"uri": "test://one"})
    update = await talk.hear()
    assert update["method"] == "notifications/resources/updated"
    assert [m["params"]["_meta"][META_SUBSCRIPTION] for m in (first, update)] == [7, 7]


@on(IN_SESSIONS)
async def test_a_subscription_its_client_cancels_just_ends(talk: Conversation) -> None:
    wanted = {"toolsListChanged": True}
    await talk.ask(modern(7, "subscriptions/listen", {"notifications": wanted}))
    talk.say(cancelled(7))
    assert await talk.silent()
    talk.upstream.wiring.offer_changed("one", ["tools"])
    assert await talk.silent()
    again = await talk.ask(modern(7, "subscriptions/listen", {"notifications": wanted}))
    assert again["method"] == "notifications/subscriptions/acknowledged"


@on(CONNECTED)
async def test_a_subscription_the_gateway_ends_says_so_both_ways(talk: Conversation) -> None:
    await talk.ask(modern(7, "subscriptions/listen", {"notifications": {"toolsListChanged": True}}))
    await talk.web.gateway.plane.hub.close()
    result, notice = await talk.hear(), await talk.hear()
    assert (result["id"], result["result"]["resultType"]) == (7, "complete")
    assert (notice["method"], notice["params"]) == ("notifications/cancelled", {"requestId": 7})


@on(IN_SESSIONS)
async def test_list_changes_reach_a_legacy_client(talk: Conversation) -> None:
    await talk.ask(frame(0, "initialize", HELLO))
    talk.upstream.wiring.offer_changed("one", ["tools"])
    assert (await talk.hear())["method"] == "notifications/tools/list_changed"


@on(CONNECTED)
async def test_a_batch_is_taken_apart_in_2025_03_26_only(talk: Conversation) -> None:
    batch = b"[" + frame(1, "ping", {}) + b"," + frame(2, "tools/list", {}) + b",7]"
    assert (await talk.ask(batch))["error"]["code"] == -32600
    await talk.ask(frame(0, "initialize", {**HELLO, "protocolVersion": "2025-03-26"}))
    talk.say(batch)
    answers = [await talk.hear() for _ in range(3)]
    assert {a["id"] for a in answers} == {1, 2, None}


@on(CONNECTED)
async def test_leaving_cancels_everything(talk: Conversation) -> None:
    await talk.ask(frame(0, "initialize", HELLO))
    talk.say(legacy_call(1, "hang"), call(2, "hang"))
    talk.say(modern(7, "subscriptions/listen", {"notifications": {"toolsListChanged": True}}))
    await talk.hear()
    await talk.leave()
    plane = talk.web.gateway.plane
    async with asyncio.timeout(PATIENCE):
        while plane.load.calls or plane.hub._subscriptions["default"]:
            await asyncio.sleep(0)
