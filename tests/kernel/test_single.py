"""Requests on behalf of callers who have neither a session nor a stream."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portico.api import (
    INVALID_REQUEST,
    LATEST_MODERN,
    META_CAPABILITIES,
    META_VERSION,
    METHOD_NOT_FOUND,
    OF_A_SESSION,
    Exchange,
    Json,
    Refused,
    Result,
    Target,
    answer_alone,
    carry_out,
)
from tests.kernel.doubles import ALICE, StubUpstream, World, asking, offer, script, settle


def world(act: Any = None, **options: Any) -> World:
    return World({"a": StubUpstream(offer("t", prompts=["p"]), act)}, **options)


async def ask(made: World, method: str = "tools/call", params: Json | None = None) -> Result:
    given = {"name": "t"} if params is None else params
    return await carry_out(made.endpoint, method, given, ALICE, headers={})


async def test_a_call_passes_the_policies_and_its_result_is_the_answer() -> None:
    seen: list[str] = []

    async def policy(exchange: Exchange, call_next: Any) -> Result:
        seen.append(exchange.principal.subject)
        return await call_next(exchange)

    made = world(script({"content": []}), policies=[("p", policy)])
    assert (await ask(made)).value == {"content": []}
    assert seen == ["alice"]


async def test_a_list_is_answered_by_the_catalog() -> None:
    assert [each["name"] for each in (await ask(world(), "tools/list", {})).value["tools"]] == ["t"]


async def test_nobody_is_there_to_be_asked() -> None:
    with pytest.raises(Refused) as caught:
        await ask(world(asking()))
    assert caught.value.code == INVALID_REQUEST


async def test_a_refusal_is_raised() -> None:
    with pytest.raises(Refused) as caught:
        await ask(world(script(Refused(-32000, "no"))))
    assert caught.value.code == -32000


@pytest.mark.parametrize("method", ["resources/read", "nothing/known"])
async def test_a_method_nobody_serves_is_not_found(method: str) -> None:
    with pytest.raises(Refused) as caught:
        await ask(world(), method, {"uri": "m://x"})
    assert caught.value.code == METHOD_NOT_FOUND


async def test_progress_and_log_messages_have_nowhere_to_go() -> None:
    async def act(exchange: Exchange, target: Target) -> Result:
        await exchange.client.notify("notifications/progress", {"progressToken": 1, "progress": 1})
        await exchange.client.notify("notifications/message", {"level": "error", "data": "x"})
        return Result(value={"content": []})

    made = world(act)
    result = await ask(made, params={"name": "t", "_meta": {"progressToken": 1}})
    assert result.value == {"content": []}


async def test_a_caller_who_leaves_takes_the_call_along() -> None:
    ended = asyncio.Event()

    async def act(exchange: Exchange, target: Target) -> Result:
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    task = asyncio.ensure_future(ask(world(act)))
    await settle()
    task.cancel()
    async with asyncio.timeout(30):
        await ended.wait()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- clients without a session ---------------------------------------------------------------------------

MODERN: Json = {META_VERSION: LATEST_MODERN, META_CAPABILITIES: {"elicitation": {}}}


async def alone(made: World, method: str, params: Json) -> Json:
    return (await answer_alone(made.endpoint, method, params, ALICE, headers={})).value


async def test_a_handshake_is_answered_and_not_remembered() -> None:
    made = world()
    hello = {"protocolVersion": "2025-03-26", "capabilities": {}}
    assert (await alone(made, "initialize", hello))["protocolVersion"] == "2025-03-26"
    assert await alone(made, "ping", {}) == {}
    assert not made.endpoint.sessions


@pytest.mark.parametrize("method", [*sorted(OF_A_SESSION), "subscriptions/listen", "no/such"])
async def test_what_is_about_a_session_is_not_found(method: str) -> None:
    for params in ({}, {"_meta": MODERN}):
        with pytest.raises(Refused) as caught:
            await alone(world(), method, params)
        assert caught.value.code == METHOD_NOT_FOUND


async def test_each_era_is_answered_in_its_own_words() -> None:
    made = world()
    assert "ttlMs" in await alone(made, "tools/list", {"_meta": MODERN})
    assert "ttlMs" not in await alone(made, "tools/list", {})


async def test_a_modern_caller_is_asked_and_the_call_waits_for_the_answer() -> None:
    made = world(asking())
    call = {"name": "t", "_meta": MODERN}
    asked = await alone(made, "tools/call", call)
    assert asked["resultType"] == "input_required"
    answers = {key: {"action": "decline"} for key in asked["inputRequests"]}
    more = {"requestState": asked["requestState"], "inputResponses": answers}
    assert (await alone(made, "tools/call", {**call, **more}))["resultType"] == "complete"
