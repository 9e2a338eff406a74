from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from portico._core.protocol.eras import TASKS_EXTENSION
from portico._core.requests.tasks import HANDLE_TTL
from portico.api import (
    INVALID_PARAMS,
    UPSTREAM_BAD_RESPONSE,
    Exchange,
    Json,
    Refused,
    Result,
    Target,
)
from tests.kernel.doubles import BOB, StubUpstream, World, answer_of, frames_of, jumping, offer, settle

HAS_TASKS: Json = {"extensions": {TASKS_EXTENSION: {}}}
CALL: Json = {"name": "t", "arguments": {}}


def task(status: str = "working", **more: Any) -> Json:
    return {"resultType": "task", "taskId": "own-1", "status": status, "ttlMs": None, **more}


class TaskUpstream(StubUpstream):
    """Answers a call with a task, and questions about the task with its next states."""

    def __init__(self, *states: Json | Refused) -> None:
        super().__init__(offer("t", capabilities=HAS_TASKS), self._act)
        self.states = list(states)
        self.on_cancel: Callable[[], Any] | None = None

    async def _act(self, exchange: Exchange, target: Target) -> Result:
        if exchange.method == "tools/call":
            return Result(value=task(pollIntervalMs=100))
        if exchange.method == "tasks/get":
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            if isinstance(state, Refused):
                raise state
            return Result(value={"resultType": "complete", "taskId": "own-1", **state})
        if exchange.method == "tasks/cancel" and self.on_cancel is not None:
            await self.on_cancel()
        return Result(value={"resultType": "complete"})

    @property
    def methods(self) -> list[str]:
        return [method for method, _, _ in self.sent]


async def refused(world: World, method: str, params: Json, **options: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await world.modern(method, params, **options)
    return caught.value


# --- for clients that know tasks -----------------------------------------------------------------------


@jumping
async def test_a_task_passes_with_its_id_sealed_and_leads_back_under_it() -> None:
    up = TaskUpstream({"status": "completed", "result": {"content": []}})
    world = World({"a": up})
    made = await world.modern("tools/call", CALL, capabilities=HAS_TASKS)
    handle = made["taskId"]
    assert made == {**task(pollIntervalMs=100), "taskId": handle, "_meta": made["_meta"]}
    assert "own-1" not in handle
    got = await world.modern("tasks/get", {"taskId": handle}, capabilities=HAS_TASKS)
    assert (got["taskId"], got["status"]) == (handle, "completed")
    await world.modern(
        "tasks/update", {"taskId": handle, "inputResponses": {"k": {}}}, capabilities=HAS_TASKS
    )
    await world.modern("tasks/cancel", {"taskId": handle}, capabilities=HAS_TASKS)
    assert [(method, params["taskId"], target) for method, params, target in up.sent[1:]] == [
        (method, "own-1", Target("a", "own-1")) for method in ("tasks/get", "tasks/update", "tasks/cancel")
    ]
    assert up.sent[2][1]["inputResponses"] == {"k": {}}


@jumping
async def test_a_task_outlives_the_gateway_that_sealed_its_id() -> None:
    up = TaskUpstream({"status": "working"})
    made = await World({"a": up}).modern("tools/call", CALL, capabilities=HAS_TASKS)
    again = World({"a": up})
    assert (await again.modern("tasks/get", {"taskId": made["taskId"]}))["status"] == "working"


@jumping
async def test_a_foreign_task_an_unknown_one_and_an_old_one_look_the_same() -> None:
    world = World({"a": TaskUpstream({"status": "working"})})
    handle = (await world.modern("tools/call", CALL, capabilities=HAS_TASKS))["taskId"]
    foreign = await refused(world, "tasks/get", {"taskId": handle}, principal=BOB)
    unknown = await refused(world, "tasks/get", {"taskId": "made-up"})
    await asyncio.sleep(HANDLE_TTL + 1)
    old = await refused(world, "tasks/get", {"taskId": handle})
    assert foreign.body() == unknown.body() == old.body()
    assert foreign.code == INVALID_PARAMS


@pytest.mark.parametrize("ident", [None, 7, [], {}, "", "own-1"])
@jumping
async def test_the_upstreams_own_id_is_none(ident: Any) -> None:
    up = TaskUpstream({"status": "working"})
    assert (await refused(World({"a": up}), "tasks/cancel", {"taskId": ident})).code == INVALID_PARAMS
    assert up.sent == []


@jumping
async def test_a_task_without_an_id_is_the_upstreams_fault() -> None:
    for capabilities in (HAS_TASKS, {}):
        up = StubUpstream(
            offer("t", capabilities=HAS_TASKS), lambda e, t: Result(value={"resultType": "task"})
        )
        refusal = await refused(World({"a": up}), "tools/call", CALL, capabilities=capabilities)
        assert refusal.code == UPSTREAM_BAD_RESPONSE


# --- for clients that know none ------------------------------------------------------------------------


@jumping
async def test_a_task_is_polled_to_its_end_for_a_client_that_knows_none() -> None:
    up = TaskUpstream(
        {"status": "working"}, {"status": "working"}, {"status": "completed", "result": {"content": [1]}}
    )
    loop = asyncio.get_running_loop()
    before = loop.time()
    result = await World({"a": up}).modern("tools/call", CALL)
    assert result["content"] == [1]
    assert result["resultType"] == "complete"
    assert up.methods == ["tools/call", "tasks/get", "tasks/get", "tasks/get"]
    assert up.exchanges[0].capabilities == HAS_TASKS
    assert 0.1 + 2 * 1.0 <= loop.time() - before + 0.01 < 2.2


@jumping
async def test_it_is_polled_for_a_legacy_client_too() -> None:
    up = TaskUpstream({"status": "completed", "result": {"content": []}})
    peer = World({"a": up}).legacy().open()
    answer = await answer_of(peer.request("tools/call", CALL))
    assert answer["result"] == {"content": []}


@jumping
async def test_it_is_polled_for_a_legacy_client_that_says_it_knows_tasks() -> None:
    up = TaskUpstream({"status": "completed", "result": {"content": []}})
    peer = World({"a": up}).legacy().open(capabilities=HAS_TASKS)
    answer = await answer_of(peer.request("tools/call", CALL))
    assert answer["result"] == {"content": []}


@jumping
async def test_a_call_that_asks_for_a_task_of_2025_11_25_is_an_ordinary_call_upstream() -> None:
    up = StubUpstream(offer("t"))
    world = World({"a": up})
    wanting = {**CALL, "task": {"ttl": 60_000}}
    await world.modern("tools/call", wanting)
    await answer_of(world.legacy().open().request("tools/call", wanting))
    assert [params.get("task") for _, params, _ in up.sent] == [None, None]
    assert [params["name"] for _, params, _ in up.sent] == ["t", "t"]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [(0, 0.05), (-5, 0.05), (10**9, 30.0), (10**400, 30.0), ("x", 1.0), (True, 1.0), (2500.0, 2.5)],
)
@jumping
async def test_the_interval_is_the_upstreams_within_reason(said: Any, seconds: float) -> None:
    states = [{"status": "working", "pollIntervalMs": said}, {"status": "completed", "result": {}}]
    loop = asyncio.get_running_loop()
    before = loop.time()
    await World({"a": TaskUpstream(*states)}).modern("tools/call", CALL)
    assert loop.time() - before == pytest.approx(0.1 + seconds, abs=0.05)


@jumping
async def test_a_failed_task_fails_the_call_with_its_error() -> None:
    failed = {"status": "failed", "error": {"code": -32603, "message": "broke", "data": {"a": 1}}}
    refusal = await refused(World({"a": TaskUpstream(failed)}), "tools/call", CALL)
    assert refusal.body() == failed["error"]


@pytest.mark.parametrize(
    "state", [{"status": "failed"}, {"status": "failed", "error": "no"}, {"status": "cancelled"}]
)
@jumping
async def test_a_task_that_ends_without_a_word_is_the_upstreams_fault(state: Json) -> None:
    assert (
        await refused(World({"a": TaskUpstream(state)}), "tools/call", CALL)
    ).code == UPSTREAM_BAD_RESPONSE


@jumping
async def test_a_completed_task_without_a_result_is_the_upstreams_fault() -> None:
    up = StubUpstream(offer("t", capabilities=HAS_TASKS), lambda e, t: Result(value=task("completed")))
    assert (await refused(World({"a": up}), "tools/call", CALL)).code == UPSTREAM_BAD_RESPONSE


ASKS: Json = {
    "status": "input_required",
    "inputRequests": {"k": {"method": "elicitation/create", "params": {"q": 1}}},
}
DONE: Json = {"status": "completed", "result": {"content": []}}


@jumping
async def test_a_task_that_asks_gets_a_modern_clients_answer_through_a_parked_call() -> None:
    up = TaskUpstream(ASKS, DONE)
    world = World({"a": up})
    asked = await world.modern("tools/call", CALL, capabilities={"elicitation": {}})
    ((key, request),) = asked["inputRequests"].items()
    assert request == {"method": "elicitation/create", "params": {"q": 1}}
    retry = {**CALL, "requestState": asked["requestState"], "inputResponses": {key: {"action": "accept"}}}
    assert (await world.modern("tools/call", retry, capabilities={"elicitation": {}}))["content"] == []
    assert up.methods == ["tools/call", "tasks/get", "tasks/update", "tasks/get"]
    assert up.sent[2][1] == {"taskId": "own-1", "inputResponses": {"k": {"action": "accept"}}}


@jumping
async def test_a_task_that_asks_gets_a_legacy_clients_answer_on_its_stream() -> None:
    up = TaskUpstream(ASKS, DONE)
    peer = World({"a": up}).legacy().open(capabilities={"elicitation": {}})
    stream = peer.request("tools/call", CALL)
    while not stream.last:
        await stream.wait(0, 15)
    peer.reply(frames_of(stream)[0], {"action": "decline"})
    assert (await answer_of(stream))["result"] == {"content": []}
    assert up.sent[2][1]["inputResponses"] == {"k": {"action": "decline"}}


@jumping
async def test_a_task_whose_elicitation_nobody_answers_is_told_so() -> None:
    up = TaskUpstream(ASKS, DONE)
    peer = World({"a": up}).legacy().open()
    assert (await answer_of(peer.request("tools/call", CALL)))["result"] == {"content": []}
    assert up.sent[2][1]["inputResponses"] == {"k": {"action": "decline"}}


@jumping
async def test_a_question_the_upstream_still_shows_is_not_put_to_the_client_twice() -> None:
    both = {**ASKS, "inputRequests": {**ASKS["inputRequests"], "new": {"method": "roots/list"}}}
    up = TaskUpstream(ASKS, ASKS, both, DONE)
    peer = World({"a": up}).legacy().open(capabilities={"elicitation": {}, "roots": {}})
    stream = peer.request("tools/call", CALL)
    for count in (1, 2):
        while stream.last < count:
            await stream.wait(stream.last, 15)
        peer.reply(frames_of(stream)[-1], {"n": count})
    await answer_of(stream)
    assert [params["inputResponses"] for method, params, _ in up.sent if method == "tasks/update"] == [
        {"k": {"n": 1}},
        {"new": {"n": 2}},
    ]


@pytest.mark.parametrize("asked", [{}, None])
@jumping
async def test_a_task_that_asks_nothing_is_polled_with_patience(asked: Any) -> None:
    up = TaskUpstream({"status": "input_required", "inputRequests": asked})
    await refused(World({"a": up}, call_timeout=10.0), "tools/call", CALL)
    assert up.methods.count("tasks/get") == 10


@jumping
async def test_a_task_that_asks_for_more_than_there_is_is_cancelled_with_its_call() -> None:
    wants = {"status": "input_required", "inputRequests": {"k": {"method": "roots/list"}}}
    up = TaskUpstream(wants)
    refusal = await refused(World({"a": up}), "tools/call", CALL)
    assert refusal.data == {"requiredCapabilities": {"roots": {}}}
    assert up.methods == ["tools/call", "tasks/get", "tasks/cancel"]


@pytest.mark.parametrize("asked", [["x"], "x", {"k": "x"}, {"k": {"method": "roots/list", "params": "x"}}])
@jumping
async def test_a_task_that_asks_in_nonsense_is_the_upstreams_fault(asked: Any) -> None:
    up = TaskUpstream({"status": "input_required", "inputRequests": asked})
    assert (await refused(World({"a": up}), "tools/call", CALL)).code == UPSTREAM_BAD_RESPONSE
    assert up.methods[-1] == "tasks/cancel"


@jumping
async def test_cancelling_the_call_cancels_the_task() -> None:
    up = TaskUpstream({"status": "working"})
    world = World({"a": up})
    call = world.begin("tools/call", CALL)
    await call.turn(0.5)
    call.cancel()
    await settle()
    assert up.methods[-1] == "tasks/cancel"
    assert call.task.done()
    assert call.unwanted


@jumping
async def test_an_upstream_that_will_not_cancel_holds_nobody_up() -> None:
    up = TaskUpstream({"status": "working"})
    up.on_cancel = asyncio.get_running_loop().create_future
    world = World({"a": up}, call_timeout=2.0)
    loop = asyncio.get_running_loop()
    before = loop.time()
    refusal = await refused(world, "tools/call", CALL)
    assert refusal.code == 50400
    assert loop.time() - before < 10


@jumping
async def test_a_legacy_client_that_cancels_gets_no_answer_even_if_the_task_cannot_be_cancelled() -> None:
    up = TaskUpstream({"status": "working"})

    async def refuse() -> None:
        raise Refused(-32603, "no")

    up.on_cancel = refuse
    peer = World({"a": up}).legacy().open()
    stream = peer.request("tools/call", CALL, ident="x")
    await stream.wait(0, 0.5)
    peer.say("notifications/cancelled", {"requestId": "x"})
    while not stream.ended:
        await stream.wait(0, 15)
    assert frames_of(stream) == []


@jumping
async def test_polling_shows_policies_nothing_and_sends_no_progress_token() -> None:
    up = TaskUpstream(DONE)
    world = World({"a": up})
    await world.modern("tools/call", CALL, progressToken="t")
    assert [exchange.progress_token for exchange in up.exchanges] == ["t", None]
    assert [event.facts["method"] for event in world.events] == ["tools/call"]


@jumping
async def test_an_upstream_without_tasks_is_not_told_that_the_client_has_them() -> None:
    up = StubUpstream(offer("t"))
    await World({"a": up}).modern("tools/call", CALL)
    assert up.exchanges[0].capabilities == {}


@jumping
async def test_odd_extensions_of_a_client_are_no_obstacle() -> None:
    up = TaskUpstream(DONE)
    result = await World({"a": up}).modern("tools/call", CALL, capabilities={"extensions": ["x"]})
    assert result["content"] == []


async def test_an_upstream_that_waits_by_itself_is_not_asked_for_a_task_by_who_knows_none() -> None:
    async def act(exchange: Exchange, target: Target) -> Result:
        assert "extensions" not in exchange.capabilities
        return Result(value={"content": [2]})

    own = offer("t", capabilities=HAS_TASKS)
    up = StubUpstream(attrs.evolve(own, waits=True), act)
    assert (await World({"a": up}).modern("tools/call", CALL))["content"] == [2]
