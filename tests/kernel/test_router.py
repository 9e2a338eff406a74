from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portico._core.catalog.building import build_view
from portico._core.catalog.naming import Selection
from portico._core.catalog.view import ServerSpec
from portico._core.requests.lists import Lists
from portico._core.requests.router import MAX_ROUNDS, STATE_TTL, Router
from portico._core.seal import Seal
from portico.api import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    UPSTREAM_BAD_RESPONSE,
    UPSTREAM_UNAVAILABLE,
    URL_ELICITATION_REQUIRED_LEGACY,
    Era,
    Exchange,
    Json,
    Refused,
    Result,
    Target,
)
from portico.testing import FakeClock, RecordingClient, make_exchange
from tests.kernel.doubles import ALICE, BOB, KEY, StubUpstream, jumping, offer, script

FORM: Json = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
ASK: Json = {"method": "elicitation/create", "params": {"message": "sure?"}}
DONE: Json = {"resultType": "complete", "content": []}


class Routed:
    """A router over stub upstreams."""

    def __init__(self, **upstreams: StubUpstream) -> None:
        self.clock = FakeClock()
        self.upstreams = dict(upstreams)
        self.seal = Seal(KEY, "n", self.clock)
        self.lists = Lists("default", {"name": "gw"}, None, 0, False, self.seal)
        self.view()
        self.router = Router(self.upstreams, self.seal, self.lists)

    def view(self, **spec: Any) -> None:
        offers = {name: each.offer for name, each in self.upstreams.items()}
        self.lists.view = build_view(ServerSpec("default", tuple(offers), **spec), offers)

    async def send(self, method: str = "tools/call", params: Json | None = None, **options: Any) -> Json:
        options.setdefault("capabilities", FORM)
        options.setdefault("principal", ALICE)
        made = make_exchange(method, params if params is not None else {"name": "t"}, **options)
        self.last = made
        return (await self.router(made)).value

    async def refused(
        self, method: str = "tools/call", params: Json | None = None, **options: Any
    ) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.send(method, params, **options)
        return caught.value


def only(*answers: Json | Refused, **kinds: Any) -> Routed:
    """A router with one upstream, `a`, that gives these answers."""
    return Routed(a=StubUpstream(offer("t", **kinds), script(*(answers or (DONE,)))))


def sent(routed: Routed, upstream: str = "a") -> list[Json]:
    return [params for _, params, _ in _stub(routed, upstream).sent]


def _stub(routed: Routed, upstream: str) -> StubUpstream:
    return routed.upstreams[upstream]


# --- names and URIs ------------------------------------------------------------------------------------


@jumping
async def test_the_upstream_is_sent_its_own_name_and_the_exchange_keeps_the_advertised_one() -> None:
    routed = Routed(a=StubUpstream(offer("t")), b=StubUpstream(offer("t", prompts=["p"])))
    await routed.send(params={"name": "b__t", "arguments": {"n": 10**30}})
    method, params, target = _stub(routed, "b").sent[0]
    assert (method, params) == ("tools/call", {"name": "t", "arguments": {"n": 10**30}})
    assert (target.upstream, target.name) == ("b", "t")
    assert routed.last.params["name"] == "b__t"
    assert routed.last.target == target
    assert _stub(routed, "a").sent == []


@jumping
async def test_references_are_sent_in_the_upstreams_words() -> None:
    completes: Json = {"completions": {}}
    routed = Routed(
        a=StubUpstream(offer(prompts=["p"], templates=["m://{v}"], capabilities=completes)),
        b=StubUpstream(offer(prompts=["p"], templates=["m://{v}"])),
    )
    await routed.send(
        "completion/complete", {"ref": {"type": "ref/prompt", "name": "b__p", "x": 1}, "argument": {}}
    )
    await routed.send("completion/complete", {"ref": {"type": "ref/resource", "uri": "m://b~{v}"}})
    assert sent(routed, "b") == [
        {"ref": {"type": "ref/prompt", "name": "p", "x": 1}, "argument": {}},
        {"ref": {"type": "ref/resource", "uri": "m://{v}"}},
    ]


@jumping
async def test_uris_are_told_apart_on_the_way_there_and_back() -> None:
    contents = {"contents": [{"uri": "m://x", "text": "m://x"}, {"uri": "m://7"}]}
    routed = Routed(
        a=StubUpstream(offer(resources=["m://x"], templates=["m://{v}"])),
        b=StubUpstream(offer("t", resources=["m://x"], templates=["m://{v}"]), script(contents)),
    )
    read = await routed.send("resources/read", {"uri": "m://b~x"})
    assert sent(routed, "b") == [{"uri": "m://x"}]
    assert [each["uri"] for each in read["contents"]] == ["m://b~x", "m://7"]
    read = await routed.send("resources/read", {"uri": "m://b~7"})
    assert sent(routed, "b")[1] == {"uri": "m://7"}
    assert [each["uri"] for each in read["contents"]] == ["m://b~x", "m://b~7"]


@jumping
async def test_a_result_without_renamed_uris_keeps_its_bytes() -> None:
    raw = b'{ "contents" : [ {"uri":"m://x"} ] }'
    routed = Routed(a=StubUpstream(offer(resources=["m://x"]), lambda e, t: Result(raw=raw)))
    exchange = make_exchange("resources/read", {"uri": "m://x"})
    assert (await routed.router(exchange)).raw is raw


@jumping
async def test_lists_and_discovery_never_reach_an_upstream() -> None:
    routed = only()
    assert [each["name"] for each in (await routed.send("tools/list", {}))["tools"]] == ["t"]
    assert "supportedVersions" in await routed.send("server/discover", {})
    assert sent(routed) == []


@jumping
async def test_hidden_tools_and_unknown_methods_never_reach_an_upstream() -> None:
    routed = only()
    routed.view(tools=Selection(exclude=("t",)))
    assert (await routed.refused()).code == INVALID_PARAMS
    assert (await routed.refused("x/y", {})).code == METHOD_NOT_FOUND
    assert (await routed.refused("tasks/result", {"taskId": "1"})).code == METHOD_NOT_FOUND
    assert (await routed.refused("tasks/list", {})).code == METHOD_NOT_FOUND
    assert sent(routed) == []


@jumping
async def test_an_upstream_that_is_gone_is_unavailable() -> None:
    routed = only()
    handle = routed.seal.close("task", ALICE, ["default", "a", "1", "t"], 60)
    del routed.upstreams["a"]  # what is shown follows
    refusal = await routed.refused("tasks/get", {"taskId": handle}, server="default")
    assert refusal.code == UPSTREAM_UNAVAILABLE
    assert refusal.data["gateway"]["upstream"] == "a"


@jumping
async def test_an_unknown_kind_of_result_is_the_upstreams_fault() -> None:
    for value in ({"resultType": "surprise"}, {"resultType": 7}):
        refusal = await only(value).refused()
        assert refusal.code == UPSTREAM_BAD_RESPONSE
        assert refusal.data["gateway"]["upstream"] == "a"


@jumping
async def test_only_some_methods_may_be_answered_by_a_question() -> None:
    routed = only(
        {"resultType": "input_required", "requestState": "s"}, capabilities={"completions": {}}, prompts=["p"]
    )
    refusal = await routed.refused("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}})
    assert refusal.code == UPSTREAM_BAD_RESPONSE


# --- requestState of modern clients --------------------------------------------------------------------


def question(state: str | None = "inner", **requests: Json) -> Json:
    return {
        "resultType": "input_required",
        "inputRequests": requests or {"k": ASK},
        **({"requestState": state} if state is not None else {}),
    }


@jumping
async def test_a_question_passes_to_a_modern_client_with_its_state_sealed_and_comes_back_as_it_was() -> None:
    routed = only(question("inner"), DONE)
    asked = await routed.send()
    assert asked["inputRequests"] == {"k": ASK}
    assert "inner" not in asked["requestState"]
    answers = {"k": {"action": "accept"}}
    done = await routed.send(
        params={"name": "t", "requestState": asked["requestState"], "inputResponses": answers}
    )
    assert done == DONE
    assert sent(routed)[1] == {"name": "t", "requestState": "inner", "inputResponses": answers}


@jumping
async def test_a_question_without_state_passes_without() -> None:
    assert "requestState" not in await only(question(None)).send()


async def retried(routed: Routed, change: Json | None = None, **options: Any) -> Refused:
    asked = await routed.send()
    before = len(sent(routed))
    params = {"name": "t", "requestState": asked["requestState"], "inputResponses": {}, **(change or {})}
    refusal = await routed.refused(params=params, **options)
    assert len(sent(routed)) == before
    return refusal


@jumping
async def test_a_state_is_refused_from_another_principal() -> None:
    assert (await retried(only(question()), principal=BOB)).code == INVALID_PARAMS


@jumping
async def test_a_state_is_refused_with_other_params() -> None:
    assert (await retried(only(question()), {"arguments": {"a": 1}})).code == INVALID_PARAMS


@jumping
async def test_a_state_is_refused_when_it_is_tampered_with_or_made_up() -> None:
    states: list[Any] = ["inner", "", 7, [], "A" * 99]
    for state in states:
        assert (await retried(only(question()), {"requestState": state})).code == INVALID_PARAMS


@jumping
async def test_a_state_is_refused_when_it_is_too_old() -> None:
    routed = only(question())
    asked = await routed.send()
    routed.clock.advance(STATE_TTL + 1)
    params = {"name": "t", "requestState": asked["requestState"]}
    assert (await routed.refused(params=params)).code == INVALID_PARAMS


@jumping
async def test_a_state_never_goes_to_another_upstream() -> None:
    routed = Routed(a=StubUpstream(offer("t"), script(question())), b=StubUpstream(offer("u")))
    asked = await routed.send()
    routed.upstreams["a"].offer, routed.upstreams["b"].offer = offer("u"), offer("t")
    routed.view()
    params = {"name": "t", "requestState": asked["requestState"]}
    assert (await routed.refused(params=params)).code == INVALID_PARAMS
    assert sent(routed, "b") == []


@jumping
async def test_a_modern_client_is_not_passed_a_question_it_cannot_be_asked() -> None:
    refusal = await only(question()).refused(capabilities={})
    assert refusal.code == MISSING_CAPABILITY
    assert refusal.data == {"requiredCapabilities": {"elicitation": {"form": {}}}}
    odd = {"k": {"method": "tools/call", "params": {}}}
    assert (await only(question("s", **odd)).refused()).code == METHOD_NOT_FOUND


@pytest.mark.parametrize(
    "asked", [[ASK], "x", 7, {"k": None}, {"k": "x"}, {"k": {"method": "roots/list", "params": [1]}}]
)
@pytest.mark.parametrize("era", Era)
@jumping
async def test_a_malformed_question_is_the_upstreams_fault(asked: Any, era: Era) -> None:
    refusal = await only({"resultType": "input_required", "inputRequests": asked}).refused(era=era)
    assert refusal.code == UPSTREAM_BAD_RESPONSE


@jumping
async def test_pages_a_legacy_upstream_wants_opened_become_a_question() -> None:
    page = {"mode": "url", "url": "https://x.example/", "elicitationId": "7", "message": "log in"}
    wants = Refused(URL_ELICITATION_REQUIRED_LEGACY, "open", {"elicitations": [page]})
    asked = await only(wants).send()
    assert asked["inputRequests"]["url-0"]["params"] == {
        "mode": "url", "url": "https://x.example/", "message": "log in",
    }  # fmt: skip
    assert (await only(wants).refused(capabilities={"elicitation": {}})).code == MISSING_CAPABILITY
    empty = Refused(URL_ELICITATION_REQUIRED_LEGACY, "open", {"elicitations": []})
    assert (await only(empty).refused()) is empty
    assert (await only(wants).refused(era=Era.LEGACY)) is wants


# --- questions driven for legacy clients ---------------------------------------------------------------


@jumping
async def test_a_legacy_client_is_asked_and_the_call_sent_again_with_the_answers() -> None:
    roots = {"method": "roots/list"}
    routed = only(question("s1", k=ASK, r=roots), question("s2", k=ASK), DONE)
    client = RecordingClient({"elicitation/create": {"action": "accept"}, "roots/list": {"roots": []}})
    assert await routed.send(params={"name": "t", "arguments": {}}, era=Era.LEGACY, client=client) == DONE
    assert sent(routed) == [
        {"name": "t", "arguments": {}},
        {
            "name": "t",
            "arguments": {},
            "inputResponses": {"k": {"action": "accept"}, "r": {"roots": []}},
            "requestState": "s1",
        },
        {"name": "t", "arguments": {}, "inputResponses": {"k": {"action": "accept"}}, "requestState": "s2"},
    ]
    assert sorted(method for method, _ in client.asked) == [
        "elicitation/create",
        "elicitation/create",
        "roots/list",
    ]


@jumping
async def test_an_elicitation_without_an_answer_counts_as_cancelled() -> None:
    routed = only(question(None), DONE)
    assert await routed.send(era=Era.LEGACY, client=RecordingClient()) == DONE
    assert sent(routed)[1]["inputResponses"] == {"k": {"action": "cancel"}}
    assert "requestState" not in sent(routed)[1]


@jumping
async def test_sampling_without_an_answer_fails_the_call() -> None:
    refused = Refused(-1, "The user said no")
    client = RecordingClient({"sampling/createMessage": refused})
    routed = only(question("s", k={"method": "sampling/createMessage", "params": {}}))
    assert await routed.refused(era=Era.LEGACY, client=client) is refused


@jumping
async def test_when_one_question_fails_the_call_the_others_are_taken_back() -> None:
    ended: list[str] = []

    async def never(params: Json) -> Json:
        try:
            await asyncio.get_running_loop().create_future()
            raise AssertionError
        except asyncio.CancelledError:
            ended.append("taken back")
            raise

    client = RecordingClient({"elicitation/create": never, "roots/list": Refused(-1, "no")})
    routed = only(question("s", k=ASK, r={"method": "roots/list"}))
    await routed.refused(era=Era.LEGACY, client=client)
    await asyncio.sleep(0)
    assert ended == ["taken back"]


@jumping
async def test_a_legacy_client_is_asked_no_more_often_than_is_reasonable() -> None:
    routed = only(question())
    client = RecordingClient({"elicitation/create": {"action": "accept"}})
    refusal = await routed.refused(era=Era.LEGACY, client=client)
    assert (refusal.code, refusal.data["gateway"]["reason"]) == (UPSTREAM_BAD_RESPONSE, "input_loop")
    assert len(client.asked) == MAX_ROUNDS
    assert len(sent(routed)) == MAX_ROUNDS + 1


@jumping
async def test_an_upstream_may_ask_as_often_as_is_reasonable() -> None:
    routed = only(*[question()] * MAX_ROUNDS, DONE)
    client = RecordingClient({"elicitation/create": {"action": "accept"}})
    assert await routed.send(era=Era.LEGACY, client=client) == DONE
    assert len(client.asked) == MAX_ROUNDS


@jumping
async def test_a_state_alone_means_try_again_after_a_moment() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    routed = only({"resultType": "input_required", "requestState": "busy"}, DONE)
    client = RecordingClient()
    assert await routed.send(era=Era.LEGACY, client=client) == DONE
    assert client.asked == []
    assert sent(routed)[1] == {"name": "t", "requestState": "busy"}
    assert 0.04 < loop.time() - before < 0.3


@jumping
async def test_an_upstream_that_is_for_ever_busy_is_given_up() -> None:
    routed = only({"resultType": "input_required", "requestState": "busy"})
    refusal = await routed.refused(era=Era.LEGACY, client=RecordingClient())
    assert refusal.data["gateway"]["reason"] == "input_loop"
    assert len(sent(routed)) == MAX_ROUNDS + 1


@jumping
async def test_what_a_legacy_client_calls_a_state_is_none_of_ours() -> None:
    routed = only()
    assert (
        await routed.refused(params={"name": "t", "requestState": "x"}, era=Era.LEGACY)
    ).code == INVALID_PARAMS
    assert sent(routed) == []


# --- what goes with an exchange ------------------------------------------------------------------------


@jumping
async def test_the_upstream_sees_the_client_of_the_exchange_its_capabilities_and_its_way_back() -> None:
    seen: list[Exchange] = []

    def act(exchange: Exchange, target: Target) -> Result:
        seen.append(exchange)
        return Result(value=DONE)

    routed = Routed(a=StubUpstream(offer("t"), act))
    await routed.send(params={"name": "t"}, capabilities={"extensions": ["odd"]}, headers={"x": "1"})
    (exchange,) = seen
    assert exchange.client is routed.last.client
    assert exchange.scratch is routed.last.scratch
    assert (exchange.capabilities, exchange.headers) == ({"extensions": ["odd"]}, {"x": "1"})
