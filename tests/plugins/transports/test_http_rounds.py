"""Calls that need something from a modern client: `input_required`, and the retry that answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portico.api import Json
from tests.plugins.transports.kit import TOKENS, YES
from tests.plugins.transports.web import PATIENCE, Answer, Web, gateway

ASKABLE: Json = {"elicitation": {"form": {}}}


async def asked(answer: Answer) -> tuple[str, str]:
    """The key of the one question, and the state."""
    result = (await answer.json())["result"]
    assert result["resultType"] == "input_required"
    (key, request), *others = result["inputRequests"].items()
    assert not others
    assert request["method"] == "elicitation/create"
    return key, result["requestState"]


def retry(web: Web, name: str, key: str, state: Any, given: Any = YES, **options: Any) -> Answer:
    options.setdefault("capabilities", ASKABLE)
    more = {"requestState": state, "inputResponses": {key: given}}
    return web.call(name, options.pop("arguments", {}), more=more, ident=2, **options)


@pytest.mark.parametrize("tool", ["elicit", "rounds"])
async def test_a_retry_with_the_answer_gets_the_result(web: Web, tool: str) -> None:
    key, state = await asked(web.call(tool, capabilities=ASKABLE))
    body = await retry(web, tool, key, state).json()
    assert body["id"] == 2
    assert "Ada" in str(body["result"]["structuredContent"])


async def test_a_parked_call_is_resumed_and_not_run_again(web: Web) -> None:
    key, state = await asked(web.call("elicit", capabilities=ASKABLE))
    await retry(web, "elicit", key, state).json()
    assert [name for name, _ in web.upstream.calls] == ["elicit"]
    assert len(web.gateway.parking) == 0


async def test_leaving_after_the_question_does_not_cancel_the_call(web: Web) -> None:
    first = web.call("elicit", capabilities=ASKABLE)
    key, state = await asked(first)
    await first.gone()
    assert "result" in await retry(web, "elicit", key, state).json()
    assert not web.upstream.cancelled.is_set()


async def test_the_upstreams_own_state_comes_back_to_it_and_is_never_seen(web: Web) -> None:
    key, state = await asked(web.call("rounds", capabilities=ASKABLE))
    assert "state-1" not in state
    result = (await retry(web, "rounds", key, state).json())["result"]
    assert result["structuredContent"] == {"answers": {key: YES}, "state": "state-1"}


async def test_a_handle_works_once(web: Web) -> None:
    key, state = await asked(web.call("elicit", capabilities=ASKABLE))
    assert "result" in await retry(web, "elicit", key, state).json()
    again = retry(web, "elicit", key, state)
    assert ((await again.json())["error"]["code"], again.status) == (-32602, 400)
    assert [name for name, _ in web.upstream.calls] == ["elicit"]


async def test_of_two_retries_at_once_one_resumes(web: Web) -> None:
    key, state = await asked(web.call("elicit", capabilities=ASKABLE))
    both = [await a.json() for a in [retry(web, "elicit", key, state), retry(web, "elicit", key, state)]]
    assert sorted("result" in body for body in both) == [False, True]


@pytest.mark.parametrize("tool", ["elicit", "rounds"])
@pytest.mark.parametrize("spoil", ["bit", "cut", "empty", "number", "object"])
async def test_a_state_that_was_touched_is_refused(web: Web, tool: str, spoil: str) -> None:
    key, state = await asked(web.call(tool, capabilities=ASKABLE))
    middle = len(state) // 2
    other = "A" if state[middle] != "A" else "B"
    spoilt: Any = {
        "bit": state[:middle] + other + state[middle + 1 :],
        "cut": state[:-4],
        "empty": "",
        "number": 7,
        "object": {"state": state},
    }[spoil]
    answer = retry(web, tool, key, spoilt)
    assert ((await answer.json())["error"]["code"], answer.status) == (-32602, 400)
    assert [name for name, _ in web.upstream.calls] == [tool]


@pytest.mark.parametrize("tool", ["elicit", "rounds"])
async def test_a_state_belongs_to_its_arguments(web: Web, tool: str) -> None:
    key, state = await asked(web.call(tool, {"a": 1}, capabilities=ASKABLE))
    answer = retry(web, tool, key, state, arguments={"a": 2})
    assert (await answer.json())["error"]["code"] == -32602
    assert "result" in await retry(web, tool, key, state, arguments={"a": 1}).json()


async def test_a_state_belongs_to_its_tool(web: Web) -> None:
    key, state = await asked(web.call("elicit", capabilities=ASKABLE))
    answer = retry(web, "rounds", key, state)
    assert (await answer.json())["error"]["code"] == -32602


@pytest.mark.parametrize("tool", ["elicit", "rounds"])
async def test_a_state_belongs_to_its_principal(tool: str) -> None:
    alice = {"authorization": "Bearer alice-0123456789abcdef"}
    bob = {"authorization": "Bearer bob-0123456789abcdef"}
    async with gateway(auth=TOKENS) as web:
        key, state = await asked(web.call(tool, capabilities=ASKABLE, headers=alice))
        stolen = retry(web, tool, key, state, headers=bob)
        assert ((await stolen.json())["error"]["code"], stolen.status) == (-32602, 400)
        assert len(web.upstream.calls) == 1
        assert "result" in await retry(web, tool, key, state, headers=alice).json()


async def test_a_retry_without_the_answer_is_asked_again(web: Web) -> None:
    key, state = await asked(web.call("elicit", capabilities=ASKABLE))
    key_again, state_again = await asked(
        web.call("elicit", more={"requestState": state, "inputResponses": {}}, capabilities=ASKABLE)
    )
    assert key_again == key
    assert state_again != state
    assert "result" in await retry(web, "elicit", key, state_again).json()


async def test_an_answer_nobody_asked_for_is_ignored(web: Web) -> None:
    key, state = await asked(web.call("elicit", capabilities=ASKABLE))
    more = {"requestState": state, "inputResponses": {key: YES, "extra": {"action": "accept"}}}
    body = await web.call("elicit", more=more, capabilities=ASKABLE).json()
    assert body["result"]["structuredContent"] == YES


async def test_a_second_question_needs_a_second_round(web: Web) -> None:
    key, state = await asked(web.call("elicit_late", capabilities=ASKABLE))
    key_two, state_two = await asked(retry(web, "elicit_late", key, state))
    assert key_two != key
    result = (await retry(web, "elicit_late", key_two, state_two).json())["result"]
    assert result["structuredContent"] == {"first": YES, "second": YES}


async def test_progress_after_a_retry_has_the_retrys_token(web: Web) -> None:
    key, state = await asked(web.call("elicit_late", capabilities=ASKABLE, meta={"progressToken": "old"}))
    answer = retry(web, "elicit_late", key, state, meta={"progressToken": "new"})
    progress, last = await answer.rest()
    assert progress["params"] == {"progress": 1, "progressToken": "new"}
    assert last["result"]["resultType"] == "input_required"


async def test_a_question_after_frames_goes_on_the_stream(web: Web) -> None:
    answer = web.call("elicit", {"n": 1}, capabilities=ASKABLE, meta={"progressToken": 1})
    _, last = await answer.rest()
    result = last["result"]
    (key,) = result["inputRequests"]
    assert "result" in await retry(web, "elicit", key, result["requestState"], arguments={"n": 1}).json()


@pytest.mark.parametrize("tool", ["elicit", "rounds"])
@pytest.mark.parametrize("declared", [{}, {"sampling": {}}, {"elicitation": {"url": {}}}, {"elicitation": 1}])
async def test_a_client_that_cannot_be_asked_is_told_what_is_missing(
    web: Web, tool: str, declared: Json
) -> None:
    answer = web.call(tool, capabilities=declared)
    error = (await answer.json())["error"]
    assert (error["code"], answer.status) == (-32021, 400)
    assert list(error["data"]["requiredCapabilities"]) == ["elicitation"]
    assert len(web.gateway.parking) == 0


async def test_a_call_nobody_comes_back_to_is_cancelled() -> None:
    async with gateway(auth="[gateway]\npark_timeout = 0.02") as web:
        key, state = await asked(web.call("elicit", capabilities=ASKABLE))
        async with asyncio.timeout(PATIENCE):
            await web.upstream.cancelled.wait()
        late = retry(web, "elicit", key, state)
        assert ((await late.json())["error"]["code"], late.status) == (-32602, 400)


async def test_waiting_for_the_client_does_not_use_up_the_deadline() -> None:
    async with gateway(auth="[gateway]\ncall_timeout = 0.8") as web:
        key, state = await asked(web.call("elicit", capabilities=ASKABLE))
        loop = asyncio.get_running_loop()
        passed = asyncio.Event()
        loop.call_later(1.0, passed.set)
        await passed.wait()
        assert "result" in await retry(web, "elicit", key, state).json()
