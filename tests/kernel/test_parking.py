from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portico._core.protocol.parking import binding_of
from portico.api import INVALID_PARAMS, Exchange, Json, Next, Refused, Result, Target
from portico.testing import make_exchange
from tests.kernel.doubles import BOB, StubUpstream, World, asking, jumping, offer, settle

FORM: Json = {"elicitation": {}}
CALL: Json = {"name": "t", "arguments": {"a": 1}}


class Parked(World):
    """A world whose only tool asks its client and tells what became of it."""

    def __init__(self, act: Any = None, **options: Any) -> None:
        self.ended: list[str] = []
        self.up = StubUpstream(offer("t", "u", prompts=["t"]), act or self._act)
        super().__init__({"a": self.up}, **options)

    async def _act(self, exchange: Exchange, target: Target) -> Result:
        try:
            answer = await exchange.client.ask("elicitation/create", {"message": "sure?"})
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("answered")
        return Result(value={"content": [], "answer": answer})

    async def first(self, params: Json = CALL, **options: Any) -> tuple[str, Json]:
        """Make the call; gives the key of the question and the params of the retry that answers it."""
        asked = await self.modern("tools/call", params, capabilities=FORM, **options)
        assert asked["resultType"] == "input_required"
        (key,) = asked["inputRequests"]
        assert asked["inputRequests"][key] == {"method": "elicitation/create", "params": {"message": "sure?"}}
        answers = {key: {"action": "accept", "content": {}}}
        return key, {**params, "requestState": asked["requestState"], "inputResponses": answers}

    async def refused(self, params: Json, method: str = "tools/call", **options: Any) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.modern(method, params, capabilities=FORM, **options)
        return caught.value


@jumping
async def test_a_retry_resumes_the_call_which_ran_once() -> None:
    world = Parked()
    _, retry = await world.first()
    assert len(world.parking) == 1
    result = await world.modern("tools/call", retry, capabilities=FORM)
    assert result["answer"] == {"action": "accept", "content": {}}
    assert result["resultType"] == "complete"
    assert len(world.up.sent) == 1
    assert len(world.parking) == 0


@jumping
async def test_a_handle_works_once() -> None:
    world = Parked()
    _, retry = await world.first()
    await world.modern("tools/call", retry, capabilities=FORM)
    assert (await world.refused(retry)).code == INVALID_PARAMS
    assert len(world.up.sent) == 1


@jumping
async def test_an_answer_that_is_missing_is_asked_for_again_under_a_new_handle() -> None:
    world = Parked()
    key, retry = await world.first()
    again = await world.modern("tools/call", {**retry, "inputResponses": {}}, capabilities=FORM)
    assert again["resultType"] == "input_required"
    assert list(again["inputRequests"]) == [key]
    assert again["requestState"] != retry["requestState"]
    assert (await world.refused(retry)).code == INVALID_PARAMS
    done = await world.modern(
        "tools/call", {**retry, "requestState": again["requestState"]}, capabilities=FORM
    )
    assert done["resultType"] == "complete"
    assert len(world.up.sent) == 1


@jumping
async def test_answers_that_are_no_object_count_as_missing() -> None:
    world = Parked()
    _, retry = await world.first()
    again = await world.modern("tools/call", {**retry, "inputResponses": ["accept"]}, capabilities=FORM)
    assert again["resultType"] == "input_required"
    await world.plane.close(world.parking)


@pytest.mark.parametrize(
    "change",
    [{"arguments": {"a": 2}}, {"arguments": {}}, {"name": "u"}, {"extra": 1}, {"arguments": {"a": 1.5}}],
)
@jumping
async def test_a_handle_is_for_the_params_it_was_given_for(change: Json) -> None:
    world = Parked()
    _, retry = await world.first()
    assert (await world.refused({**retry, **change})).code == INVALID_PARAMS
    assert world.ended == []
    assert (await world.modern("tools/call", retry, capabilities=FORM))["resultType"] == "complete"
    assert len(world.up.sent) == 1


@jumping
async def test_a_handle_is_for_the_method_it_was_given_for() -> None:
    world = Parked()
    _, retry = await world.first()
    assert (await world.refused(retry, "prompts/get")).code == INVALID_PARAMS
    assert len(world.up.sent) == 1
    await world.plane.close(world.parking)


@jumping
async def test_another_principal_cannot_use_a_handle_and_learns_nothing() -> None:
    world = Parked()
    _, retry = await world.first()
    stolen = await world.refused(retry, principal=BOB)
    made_up = await world.refused({**retry, "requestState": "made-up"}, principal=BOB)
    assert stolen.code == INVALID_PARAMS
    assert stolen.body() == made_up.body()
    assert world.ended == []
    assert len(world.up.sent) == 1
    await world.modern("tools/call", retry, capabilities=FORM)
    assert world.ended == ["answered"]


@jumping
async def test_a_handle_is_for_the_server_it_was_given_by() -> None:
    world = Parked()
    other = world.add("other", ("a",))
    _, retry = await world.first()
    assert (await world.refused(retry, endpoint=other)).code == INVALID_PARAMS
    assert len(world.up.sent) == 1
    await world.plane.close(world.parking)


@pytest.mark.parametrize("state", ["", "x", "A" * 300, 7, [], {}])
@jumping
async def test_a_state_nobody_gave_out_never_begins_a_call(state: Any) -> None:
    world = Parked()
    assert (await world.refused({**CALL, "requestState": state})).code == INVALID_PARAMS
    assert world.up.sent == []


@jumping
async def test_a_call_nobody_comes_back_to_is_cancelled_and_its_handle_is_void() -> None:
    world = Parked(park=300.0)
    _, retry = await world.first()
    loop = asyncio.get_running_loop()
    before = loop.time()
    while not world.ended:
        await asyncio.sleep(1)
    assert world.ended == ["cancelled"]
    assert 300 <= loop.time() - before <= 302
    assert len(world.parking) == 0
    assert (await world.refused(retry)).code == INVALID_PARAMS
    assert len(world.up.sent) == 1


@jumping
async def test_the_deadline_of_a_call_stands_still_while_it_is_parked() -> None:
    world = Parked(call_timeout=10.0, park=300.0)
    _, retry = await world.first()
    await asyncio.sleep(200)
    assert (await world.modern("tools/call", retry, capabilities=FORM))["resultType"] == "complete"


@jumping
async def test_a_call_that_ends_while_it_is_parked_keeps_its_outcome_for_the_retry() -> None:
    over = asyncio.Event()

    async def act(exchange: Exchange, target: Target) -> Result:
        waiting = asyncio.ensure_future(exchange.client.ask("elicitation/create", {"message": "sure?"}))
        await over.wait()
        waiting.cancel()
        raise Refused(-32099, "took it back")

    world = Parked(act)
    _, retry = await world.first()
    over.set()
    await settle()
    assert (await world.refused(retry)).message == "took it back"


@jumping
async def test_closing_gives_every_parked_call_up() -> None:
    world = Parked()
    await world.first()
    await world.first(params={"name": "u"})
    world.parking.close()
    await settle()
    assert world.ended == ["cancelled", "cancelled"]
    assert len(world.parking) == 0
    assert not world.load.calls


@jumping
async def test_a_second_question_of_one_call_parks_it_again() -> None:
    async def act(exchange: Exchange, target: Target) -> Result:
        answers = [await exchange.client.ask("elicitation/create", {"message": "sure?"}) for _ in range(2)]
        return Result(value={"answers": answers})

    world = Parked(act)
    _, retry = await world.first()
    again = await world.modern("tools/call", retry, capabilities=FORM)
    (key,) = again["inputRequests"]
    assert key not in retry["inputResponses"]
    last = {**retry, "requestState": again["requestState"], "inputResponses": {key: {"n": 2}}}
    result = await world.modern("tools/call", last, capabilities=FORM)
    assert result["answers"] == [{"action": "accept", "content": {}}, {"n": 2}]


@jumping
async def test_who_was_asked_by_a_policy_is_not_asked_by_it_again_when_the_upstream_asks_too() -> None:
    asks = {"method": "elicitation/create", "params": {"message": "which?"}}
    wants: Json = {"resultType": "input_required", "inputRequests": {"k": asks}, "requestState": "inner"}

    def act(exchange: Exchange, target: Target) -> Result:
        answered = "inputResponses" in exchange.params
        return Result(value={"content": [], "seen": exchange.params} if answered else dict(wants))

    async def confirm(exchange: Exchange, call_next: Next) -> Result:
        assert (await exchange.client.ask("elicitation/create", {"message": "sure?"}))["action"] == "accept"
        return await call_next(exchange)

    world = Parked(act, policies=[("confirm", confirm)])
    _, retry = await world.first()
    asked = await world.modern("tools/call", retry, capabilities=FORM)
    ((key, question),) = asked["inputRequests"].items()
    assert question["params"] == {"message": "which?"}
    answers = {key: {"action": "accept", "content": {"a": 1}}}
    retry = {**CALL, "requestState": asked["requestState"], "inputResponses": answers}
    result = await world.modern("tools/call", retry, capabilities=FORM)
    assert result["resultType"] == "complete"
    seen = {name: value for name, value in result["seen"].items() if name != "_meta"}
    assert seen == {**CALL, "requestState": "inner", "inputResponses": {"k": answers[key]}}
    assert len(world.up.sent) == 2


@jumping
async def test_a_client_that_declared_nothing_is_refused_before_anything_is_parked() -> None:
    world = World({"a": StubUpstream(offer("t"), asking())})
    with pytest.raises(Refused) as caught:
        await world.modern("tools/call", CALL)
    assert caught.value.data == {"requiredCapabilities": {"elicitation": {"form": {}}}}
    assert len(world.parking) == 0


def test_a_binding_leaves_out_what_a_retry_changes_and_nothing_else() -> None:
    def bound(method: str = "tools/call", server: str = "default", **params: Any) -> str:
        return binding_of(make_exchange(method, params, server=server))

    assert bound(name="x") == bound(
        name="x", inputResponses={"a": 1}, requestState="s", _meta={"progressToken": 1}
    )
    kinds = {
        bound(name="x"),
        bound(name="y"),
        bound("prompts/get", name="x"),
        bound(server="o", name="x"),
        bound(),
    }
    assert len(kinds) == 5
