"""Tasks as 2025-11-25 has them, for clients of that revision, whatever the upstream makes of a call."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from portico._core.protocol.eras import RELATED_TASK, TASKS_EXTENSION
from portico._core.requests.tasks_known import MOST_EACH, MOST_KEPT_EACH, KnownTasks
from portico.api import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    OVERLOADED,
    Era,
    Exchange,
    Json,
    Offer,
    Refused,
    Result,
    Target,
)
from tests.kernel.doubles import (
    ALICE,
    BOB,
    LegacyPeer,
    StubUpstream,
    World,
    answer_of,
    frames_of,
    jumping,
    offer,
    settle,
    tool,
)

HAS_TASKS: Json = {"extensions": {TASKS_EXTENSION: {}}}
CAPABILITY: Json = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
CALL: Json = {"name": "t", "arguments": {}}
ASKING: Json = {**CALL, "task": {"ttl": 60_000}}
WHEN = "2026-07-28T00:00:00Z"
DONE: Json = {"status": "completed", "result": {"content": [{"type": "text", "text": "done"}]}}
OWN: Json = {
    "taskId": "own-1",
    "createdAt": WHEN,
    "lastUpdatedAt": WHEN,
    "ttlMs": 5000,
    "pollIntervalMs": 100,
}


class TaskUpstream(StubUpstream):
    """Answers a call with a task, and questions about it with its next states."""

    def __init__(self, *states: Json, made: Json | None = None, own: Offer | None = None) -> None:
        super().__init__(own or offer("t", capabilities=HAS_TASKS), self._act)
        self.states = list(states) or [{"status": "working"}]
        self.made = {"resultType": "task", "status": "working", **OWN} if made is None else made
        self.meet: Callable[[], Awaitable[None]] | None = None

    async def _act(self, exchange: Exchange, target: Target) -> Result:
        if exchange.method == "tools/call":
            return Result(value=dict(self.made))
        if exchange.method == "tasks/get":
            if self.meet is not None:
                await self.meet()
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return Result(value={"resultType": "complete", **OWN, **state})
        return Result(value={"resultType": "complete"})

    @property
    def methods(self) -> list[str]:
        return [method for method, _, _ in self.sent]


async def asked(peer: LegacyPeer, method: str, params: Json | None = None) -> Json:
    """The result of a request."""
    answer = await answer_of(peer.request(method, params))
    assert "error" not in answer, answer
    result: Json = answer["result"]
    return result


async def refused(peer: LegacyPeer, method: str, params: Json | None = None) -> Json:
    """The error of a request."""
    error: Json = (await answer_of(peer.request(method, params)))["error"]
    return error


async def begun(peer: LegacyPeer, params: Json | None = None) -> Json:
    """The task that a call is answered with."""
    made = await asked(peer, "tools/call", params or ASKING)
    assert set(made) == {"task"}
    task: Json = made["task"]
    return task


# --- what is said of tasks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "have", "told"),
    [
        ("2025-11-25", HAS_TASKS, True),
        ("2025-11-25", {}, False),
        ("2025-06-18", HAS_TASKS, False),
        ("2024-11-05", HAS_TASKS, False),
    ],
)
@jumping
async def test_clients_of_2025_11_25_hear_of_tasks_where_there_are_some(
    version: str, have: Json, told: bool
) -> None:
    world = World({"a": StubUpstream(offer("t", capabilities=have))})
    capabilities = world.endpoint.lists.initialize_result(version)["capabilities"]
    assert capabilities.get("tasks") == (CAPABILITY if told else None)
    assert "tasks" not in world.endpoint.lists.discover()["capabilities"]


@jumping
async def test_a_tool_says_what_holds_here_and_to_clients_of_that_era_only() -> None:
    supports = ("required", "optional", "forbidden", "sometimes")
    tools = [tool(each, execution={"taskSupport": each}) for each in supports]
    old = offer(tool("plain"), *tools, capabilities=HAS_TASKS, eras=frozenset({Era.LEGACY}))
    new = offer("new", capabilities=HAS_TASKS)
    none = offer(tool("none", execution={"taskSupport": "required"}))
    world = World({"old": StubUpstream(old), "new": StubUpstream(new), "none": StubUpstream(none)})
    legacy = (await asked(world.legacy().open(), "tools/list"))["tools"]
    said = {each["name"]: each["execution"] for each in legacy if "execution" in each}
    assert said == {key: {"taskSupport": "optional"} for key in ("required", "optional", "new")}
    modern = (await world.modern("tools/list"))["tools"]
    assert len(modern) == len(legacy) == 7
    assert not any("execution" in each for each in modern)


@jumping
async def test_a_task_of_a_tool_that_makes_none_is_refused() -> None:
    other = StubUpstream(offer("u"))
    peer = World({"a": TaskUpstream(), "b": other}).legacy().open()
    error = await refused(peer, "tools/call", {"name": "u", "task": {}})
    assert error["code"] == METHOD_NOT_FOUND
    assert other.sent == []
    assert (await refused(peer, "tools/call", {"name": "nowhere", "task": {}}))["code"] == INVALID_PARAMS


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
@jumping
async def test_who_was_offered_no_tasks_and_asks_for_one_has_an_ordinary_call(version: str) -> None:
    have = HAS_TASKS if version < "2025-11-25" else {}
    up = StubUpstream(offer("t", capabilities=have))
    peer = World({"a": up}).legacy().open(version)
    assert "task" not in await asked(peer, "tools/call", ASKING)
    assert ["task" in params for _, params, _ in up.sent] == [False]
    for method in ("tasks/list", "tasks/result"):
        assert (await refused(peer, method, {"taskId": "x"}))["code"] == METHOD_NOT_FOUND


@jumping
async def test_modern_clients_have_no_such_methods() -> None:
    for method in ("tasks/list", "tasks/result"):
        with pytest.raises(Refused) as caught:
            await World({"a": TaskUpstream()}).modern(method, {"taskId": "x"}, capabilities=HAS_TASKS)
        assert caught.value.code == METHOD_NOT_FOUND


# --- tasks that upstreams have ----------------------------------------------------------------------


@jumping
async def test_a_call_that_asks_for_a_task_is_answered_with_one() -> None:
    up = TaskUpstream()
    peer = World({"a": up}).legacy().open(capabilities={"elicitation": {}})
    task = await begun(peer)
    assert task == {
        "taskId": task["taskId"],
        "status": "working",
        "createdAt": WHEN,
        "lastUpdatedAt": WHEN,
        "ttl": 5000,
        "pollInterval": 100,
    }
    assert "own-1" not in task["taskId"]
    assert up.exchanges[0].capabilities == {"elicitation": {}, **HAS_TASKS}
    assert up.sent[0][1]["task"] == {"ttl": 60_000}


@jumping
async def test_a_task_is_looked_at_and_its_result_fetched() -> None:
    up = TaskUpstream({"status": "working", "statusMessage": "half of it"}, DONE)
    peer = World({"a": up}).legacy().open()
    ident = (await begun(peer))["taskId"]
    state = await asked(peer, "tasks/get", {"taskId": ident})
    assert (state["taskId"], state["status"], state["statusMessage"]) == (ident, "working", "half of it")
    state = await asked(peer, "tasks/get", {"taskId": ident})
    assert state["status"] == "completed"
    assert not {"result", "resultType", "ttlMs", "pollIntervalMs"} & set(state)
    result = await asked(peer, "tasks/result", {"taskId": ident})
    assert result == {**DONE["result"], "_meta": {RELATED_TASK: {"taskId": ident}}}
    assert {params["taskId"] for method, params, _ in up.sent if method == "tasks/get"} == {"own-1"}


@jumping
async def test_its_result_is_waited_for_and_the_wait_given_up_leaves_the_task_alone() -> None:
    up = TaskUpstream({"status": "working"}, {"status": "working"}, DONE)
    peer = World({"a": up}).legacy().open()
    ident = (await begun(peer))["taskId"]
    assert "content" in await asked(peer, "tasks/result", {"taskId": ident})
    up.states = [{"status": "working"}]
    stream = peer.request("tasks/result", {"taskId": ident}, ident="w")
    await stream.wait(0, 0.5)
    peer.say("notifications/cancelled", {"requestId": "w"})
    while not stream.ended:
        await stream.wait(0, 15)
    assert "tasks/cancel" not in up.methods


@jumping
async def test_what_it_asks_is_put_to_the_client_that_waits_for_its_result() -> None:
    form = {"method": "elicitation/create", "params": {"message": "?"}}
    up = TaskUpstream({"status": "input_required", "inputRequests": {"k": form}}, DONE)
    peer = World({"a": up}).legacy().open(capabilities={"elicitation": {}})
    ident = (await begun(peer))["taskId"]
    stream = peer.request("tasks/result", {"taskId": ident})
    while not stream.last:
        await stream.wait(0, 15)
    question = frames_of(stream)[0]
    assert question["params"]["_meta"] == {RELATED_TASK: {"taskId": ident}}
    assert question["params"]["message"] == "?"
    peer.reply(question, {"action": "accept"})
    assert "content" in (await answer_of(stream))["result"]
    update = next(params for method, params, _ in up.sent if method == "tasks/update")
    assert update == {"taskId": "own-1", "inputResponses": {"k": {"action": "accept"}}}


@jumping
async def test_a_tools_own_failure_is_the_tasks_and_an_error_the_results() -> None:
    wrong = {"status": "completed", "result": {"content": [], "isError": True}}
    up = TaskUpstream(wrong)
    peer = World({"a": up}).legacy().open()
    ident = (await begun(peer))["taskId"]
    assert (await asked(peer, "tasks/get", {"taskId": ident}))["status"] == "failed"
    assert (await asked(peer, "tasks/result", {"taskId": ident}))["isError"] is True
    up.states = [{"status": "failed", "error": {"code": -32050, "message": "broke"}}]
    assert (await asked(peer, "tasks/get", {"taskId": ident}))["status"] == "failed"
    error = await refused(peer, "tasks/result", {"taskId": ident})
    assert error == {"code": -32050, "message": "broke"}


@jumping
async def test_a_task_is_cancelled_once() -> None:
    up = TaskUpstream()
    peer = World({"a": up}).legacy().open()
    ident = (await begun(peer))["taskId"]
    assert (await asked(peer, "tasks/cancel", {"taskId": ident}))["status"] == "cancelled"
    assert up.methods[-1] == "tasks/cancel"
    assert [each["status"] for each in (await asked(peer, "tasks/list"))["tasks"]] == ["cancelled"]
    up.states = [{"status": "cancelled"}]
    assert (await refused(peer, "tasks/result", {"taskId": ident}))["message"] == "The task was cancelled"
    assert (await refused(peer, "tasks/cancel", {"taskId": ident}))["code"] == INVALID_PARAMS
    assert up.methods.count("tasks/cancel") == 1


@jumping
async def test_the_list_has_a_principals_own_tasks_as_they_were_told_last() -> None:
    up = TaskUpstream({"status": "working", "statusMessage": "half of it"})
    world = World({"a": up})
    alice, bob = world.legacy().open(), world.legacy(BOB).open()
    idents = [(await begun(alice))["taskId"] for _ in range(2)]
    await asked(alice, "tasks/get", {"taskId": idents[1]})
    listed = (await asked(alice, "tasks/list"))["tasks"]
    assert [each["taskId"] for each in listed] == idents
    assert [each.get("statusMessage") for each in listed] == [None, "half of it"]
    assert (await asked(bob, "tasks/list")) == {"tasks": []}
    assert (await refused(alice, "tasks/list", {"cursor": "x"}))["code"] == INVALID_PARAMS
    await asyncio.sleep(6)  # longer than they live
    assert (await asked(alice, "tasks/list")) == {"tasks": []}


@jumping
async def test_what_comes_with_a_new_task_comes_through() -> None:
    meta = {"io.modelcontextprotocol/model-immediate-response": "Go on"}
    up = TaskUpstream(made={"resultType": "task", "status": "working", **OWN, "_meta": meta})
    made = await asked(World({"a": up}).legacy().open(), "tools/call", ASKING)
    assert made["_meta"] == meta
    assert made["task"]["status"] == "working"


@jumping
async def test_odd_words_of_an_upstream_are_no_obstacle() -> None:
    odd = {"ttlMs": "x", "pollIntervalMs": True, "statusMessage": 7, "createdAt": None}
    up = TaskUpstream({"status": "working", **odd, "ttlMs": -5, "pollIntervalMs": 1e300})
    up.made |= odd
    peer = World({"a": up}).legacy().open()
    task = await begun(peer)
    assert (task["ttl"], "pollInterval" in task, "statusMessage" in task) == (None, False, False)
    assert isinstance(task["createdAt"], str)
    state = await asked(peer, "tasks/get", {"taskId": task["taskId"]})
    assert (state["ttl"], state["pollInterval"]) == (0, 2**53 - 1)


# --- answers that are there at once -------------------------------------------------------------------


@jumping
async def test_an_answer_that_is_there_at_once_is_a_task_that_is_over() -> None:
    up = TaskUpstream(made={"content": [{"type": "text", "text": "soon"}], "structuredContent": [1]})
    world = World({"a": up})
    peer = world.legacy().open()
    task = await begun(peer)
    assert (task["status"], task["ttl"]) == ("working", 60_000)
    state = await asked(peer, "tasks/get", {"taskId": task["taskId"]})
    assert (state["status"], state["createdAt"]) == ("completed", task["createdAt"])
    result = await asked(peer, "tasks/result", {"taskId": task["taskId"]})
    assert result == {
        "content": [{"type": "text", "text": "soon"}],
        "_meta": {RELATED_TASK: {"taskId": task["taskId"]}},
    }
    assert (await refused(peer, "tasks/cancel", {"taskId": task["taskId"]}))["code"] == INVALID_PARAMS
    assert [each["taskId"] for each in (await asked(peer, "tasks/list"))["tasks"]] == [task["taskId"]]
    with pytest.raises(Refused):
        await world.modern("tasks/get", {"taskId": task["taskId"]}, capabilities=HAS_TASKS)
    await asyncio.sleep(61)
    for method in ("tasks/get", "tasks/result"):
        assert (await refused(peer, method, {"taskId": task["taskId"]}))["code"] == INVALID_PARAMS
    assert up.methods == ["tools/call"]


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [(None, 600), (0, 600), (-1, 600), ("x", 600), (True, 600), (10**400, 3600), (7000.5, 7), (1e308, 3600)],
)
@jumping
async def test_an_answer_is_kept_for_as_long_as_was_asked_within_reason(ttl: Any, seconds: int) -> None:
    peer = World({"a": TaskUpstream(made={"content": []})}).legacy().open()
    assert (await begun(peer, {**CALL, "task": {"ttl": ttl}}))["ttl"] == seconds * 1000
    assert (await begun(peer, {**CALL, "task": "odd"}))["ttl"] == 600_000


@jumping
async def test_an_upstreams_refusal_is_the_calls_and_no_task() -> None:
    def refuse(exchange: Exchange, target: Target) -> Result:
        raise Refused(-32050, "no")

    peer = World({"a": StubUpstream(offer("t", capabilities=HAS_TASKS), refuse)}).legacy().open()
    assert (await refused(peer, "tools/call", ASKING))["code"] == -32050
    assert await asked(peer, "tasks/list") == {"tasks": []}


# --- whose they are -------------------------------------------------------------------------------------


@jumping
async def test_a_foreign_task_another_servers_and_a_made_up_one_look_the_same() -> None:
    world = World({"a": TaskUpstream()})
    other = world.add("other", ("a",))
    mine, at_other = world.legacy().open(), world.legacy(endpoint=other).open()
    for params in (ASKING, {**ASKING, "name": "t"}):
        ident = (await begun(mine, params))["taskId"]
        for peer, given in ((world.legacy(BOB).open(), ident), (at_other, ident), (mine, "made-up")):
            for method in ("tasks/get", "tasks/result", "tasks/cancel"):
                error = await refused(peer, method, {"taskId": given})
                assert error == {"code": INVALID_PARAMS, "message": "Unknown task"}
    modern = await world.modern("tools/call", CALL, capabilities=HAS_TASKS)
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        with pytest.raises(Refused) as caught:
            await world.modern(method, {"taskId": modern["taskId"]}, capabilities=HAS_TASKS, endpoint=other)
        assert caught.value.body() == {"code": INVALID_PARAMS, "message": "Unknown task"}


@jumping
async def test_a_task_of_a_tool_that_is_hidden_by_now_is_unknown() -> None:
    up = TaskUpstream()
    world = World({"a": up})
    ident = (await world.modern("tools/call", CALL, capabilities=HAS_TASKS))["taskId"]
    up.offer = attrs.evolve(up.offer, tools=(tool("u"),))
    world.plane.offer_changed("a")
    await settle()
    with pytest.raises(Refused) as caught:
        await world.modern("tasks/get", {"taskId": ident}, capabilities=HAS_TASKS)
    assert caught.value.code == INVALID_PARAMS
    up.offer = Offer()  # as after a restart: nothing is known of it yet, and so nothing hidden
    world.plane.offer_changed("a")
    await settle()
    assert (await world.modern("tasks/get", {"taskId": ident}, capabilities=HAS_TASKS))["status"] == "working"


@jumping
async def test_a_task_outlives_the_gateway_that_sealed_its_id() -> None:
    up = TaskUpstream()
    ident = (await begun(World({"a": up}).legacy().open()))["taskId"]
    again = World({"a": up}).legacy().open()
    assert (await asked(again, "tasks/get", {"taskId": ident}))["status"] == "working"


# --- how many -------------------------------------------------------------------------------------------


@jumping
async def test_who_has_as_many_tasks_as_it_may_is_given_no_more() -> None:
    up = TaskUpstream(DONE)
    world = World({"a": up})
    peer = world.legacy().open()
    idents = [(await begun(peer))["taskId"] for _ in range(MOST_EACH)]
    error = await refused(peer, "tools/call", ASKING)
    assert (error["code"], error["data"]["gateway"]["reason"]) == (OVERLOADED, "task_limit")
    assert (await asked(peer, "tools/call", CALL))["content"]
    # A modern client does not ask for one, and waits instead.
    assert (await world.modern("tools/call", CALL, capabilities=HAS_TASKS))["resultType"] == "complete"
    await begun(world.legacy(BOB).open())
    await asked(peer, "tasks/get", {"taskId": idents[0]})  # which is over
    await begun(peer)
    assert (await refused(peer, "tools/call", ASKING))["code"] == OVERLOADED
    await world.modern("tasks/cancel", {"taskId": idents[1]}, capabilities=HAS_TASKS)
    await begun(peer)


@jumping
async def test_one_with_too_many_tasks_is_no_client_of_tasks_to_an_upstream_that_waits_by_itself() -> None:
    own = attrs.evolve(offer("t", capabilities=HAS_TASKS), waits=True)
    up = TaskUpstream(own=own)
    world = World({"a": up})
    for _ in range(MOST_EACH):
        await world.modern("tools/call", CALL, capabilities=HAS_TASKS)
    up.made = {"content": []}
    await world.modern("tools/call", CALL, capabilities=HAS_TASKS)
    assert up.exchanges[-1].capabilities == {"extensions": {}}


async def test_results_that_are_kept_take_no_more_room_than_they_may() -> None:
    known = KnownTasks()
    state: Json = {"status": "completed", "ttlMs": 60_000}
    half = Result(raw=b'{"x":"' + b"x" * (MOST_KEPT_EACH // 2) + b'"}')
    for number in range(4):
        known.add(ALICE, f"h{number}", state, half)
    known.add(BOB, "bobs", state, half)
    assert [each.handle for each in known.of(ALICE)] == ["h3"]
    known.add(ALICE, "huge", state, Result(raw=half.raw * 3))
    assert [each.handle for each in known.of(ALICE)] == ["huge"]
    assert known.kept(ALICE, "h3") is None
    assert known.kept(ALICE, "bobs") is None
    assert known.kept(BOB, "bobs") is not None


@jumping
async def test_a_result_that_nobody_fetches_is_forgotten_in_time() -> None:
    known = KnownTasks()
    state: Json = {"status": "completed", "ttlMs": 60_000}
    kept = weakref.ref(known.add(ALICE, "h", state, Result(raw=b'{"content":[]}')))
    await asyncio.sleep(59)
    assert known.kept(ALICE, "h") is kept() is not None
    await asyncio.sleep(2)
    assert kept() is None


async def test_tasks_that_are_over_are_forgotten_before_those_that_live() -> None:
    known = KnownTasks()
    known.add(ALICE, "living", {"status": "working"})
    for number in range(3 * MOST_EACH):
        known.add(ALICE, f"h{number}", {"status": "completed"})
    kept = [each.handle for each in known.of(ALICE)]
    assert len(kept) == MOST_EACH + 1
    assert kept[0] == "living"
    assert kept[-1] == f"h{3 * MOST_EACH - 1}"
