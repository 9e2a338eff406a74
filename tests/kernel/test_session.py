from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portico._core.protocol.stream import Stream
from portico.api import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    SHUTTING_DOWN,
    UPSTREAM_TIMEOUT,
    Exchange,
    Json,
    Refused,
    Result,
    Target,
)
from tests.kernel.doubles import (
    BOB,
    LegacyPeer,
    StubUpstream,
    World,
    answer_of,
    asking,
    frames_of,
    hello,
    jumping,
    offer,
    settle,
)

FORM: Json = {"elicitation": {"form": {}, "url": {}}, "roots": {}, "sampling": {}}
LOGS: Json = {"logging": {}}


def world(act: Any = None, **options: Any) -> World:
    have = offer("t", resources=["m://x"], capabilities=LOGS)
    return World({"a": StubUpstream(have, act)}, **options)


def up_of(made: World) -> StubUpstream:
    up = made.plane.upstreams["a"]
    assert isinstance(up, StubUpstream)
    return up


class Gate:
    """Calls that wait until they are let go; it counts the cancelled ones."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.running = 0
        self.cancelled = 0

    async def __call__(self, exchange: Exchange, target: Target) -> Result:
        self.running += 1
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Result(value={"content": [], "echo": exchange.params.get("arguments")})


async def error_of(stream: Stream) -> int:
    return int((await answer_of(stream))["error"]["code"])


async def question_on(stream: Stream, after: int = 0) -> Json:
    while stream.last <= after:
        await stream.wait(after, 15)
    return frames_of(stream)[-1]


# --- handshake -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ],
)
@jumping
async def test_the_handshake_settles_the_revision(asked: str, given: str) -> None:
    peer = world().legacy()
    answer = await answer_of(peer.request("initialize", hello(asked), ident="i"))
    assert answer["id"] == "i"
    assert answer["result"]["protocolVersion"] == peer.session.version == given
    assert answer["result"]["serverInfo"] == {"name": "gw", "version": "1"}
    assert answer["result"]["capabilities"]["tools"] == {"listChanged": True}
    assert "resultType" not in answer["result"]


@jumping
async def test_instructions_come_with_the_handshake() -> None:
    peer = world(instructions="Be kind.").legacy()
    assert (await answer_of(peer.request("initialize", hello())))["result"]["instructions"] == "Be kind."


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"protocolVersion": "2025-11-25"},
        {"capabilities": {}},
        {"protocolVersion": 1, "capabilities": {}},
        hello() | {"capabilities": []},
    ],
)
@jumping
async def test_a_handshake_that_lacks_something_begins_no_session(params: Json) -> None:
    peer = world().legacy()
    assert await error_of(peer.request("initialize", params)) == INVALID_PARAMS
    assert peer.session.version == ""


@jumping
async def test_there_is_one_handshake_a_session() -> None:
    peer = world().legacy().open()
    assert await error_of(peer.request("initialize", hello("2024-11-05"))) == INVALID_REQUEST
    assert peer.session.version == "2025-11-25"


@jumping
async def test_nothing_but_ping_comes_before_the_handshake() -> None:
    made = world()
    peer = made.legacy()
    assert (await answer_of(peer.request("ping")))["result"] == {}
    for method in ("tools/list", "tools/call", "logging/setLevel", "resources/subscribe"):
        assert await error_of(peer.request(method, {"name": "t"})) == INVALID_REQUEST
    assert up_of(made).sent == []


@pytest.mark.parametrize(
    "method", ["server/discover", "subscriptions/listen", "prompts/list", "no/such", "tasks/list"]
)
@jumping
async def test_methods_this_session_does_not_have_are_unknown(method: str) -> None:
    assert await error_of(world().legacy().open().request(method, {"notifications": {}})) == METHOD_NOT_FOUND


@pytest.mark.parametrize(
    ("version", "has"), [("2025-03-26", False), ("2025-06-18", True), ("2025-11-25", True)]
)
@jumping
async def test_revisions_without_elicitation_cannot_be_asked_for_it(version: str, has: bool) -> None:
    peer = world().legacy().open(version, {**FORM, "tasks": {"list": {}}})
    assert ("elicitation" in peer.session.capabilities) is has
    assert "tasks" not in peer.session.capabilities


# --- calls ---------------------------------------------------------------------------------------------


@jumping
async def test_ids_of_different_types_are_different_calls() -> None:
    gate = Gate()
    peer = world(gate).legacy().open()
    streams = {
        ident: peer.request("tools/call", {"name": "t", "arguments": {"id": ident}}, ident=ident)
        for ident in (7, "7")
    }
    await settle()
    assert gate.running == 2
    peer.say("notifications/cancelled", {"requestId": "7"})
    gate.open.set()
    answer = await answer_of(streams[7])
    assert (answer["id"], answer["result"]["echo"]) == (7, {"id": 7})
    await settle()
    assert frames_of(streams["7"]) == []


@jumping
async def test_an_id_is_not_used_twice_at_a_time() -> None:
    gate = Gate()
    peer = world(gate).legacy().open()
    first = peer.request("tools/call", {"name": "t"}, ident=1)
    assert await error_of(peer.request("tools/call", {"name": "t"}, ident=1)) == INVALID_REQUEST
    gate.open.set()
    assert "result" in await answer_of(first)
    assert "result" in await answer_of(peer.request("tools/call", {"name": "t"}, ident=1))


@jumping
async def test_many_clients_with_the_same_id_each_get_their_own_answer() -> None:
    gate = Gate()
    made = world(gate)
    peers = [made.legacy().open() for _ in range(50)]
    streams = [
        peer.request("tools/call", {"name": "t", "arguments": {"n": number}}, ident=1)
        for number, peer in enumerate(peers)
    ]
    gate.open.set()
    assert [(await answer_of(stream))["result"]["echo"]["n"] for stream in streams] == list(range(50))


@jumping
async def test_a_cancelled_call_gets_no_answer_and_is_cancelled_upstream() -> None:
    gate = Gate()
    peer = world(gate).legacy().open()
    stream = peer.request("tools/call", {"name": "t"}, ident=1)
    await settle()
    peer.say("notifications/cancelled", {"requestId": 1, "reason": "bored"})
    await settle()
    assert gate.cancelled == 1
    assert stream.ended
    assert frames_of(stream) == []
    assert peer.session.calls == {}


@pytest.mark.parametrize("ident", [2, "1", None, True, 1.0, [], {}, [1]])
@jumping
async def test_cancelling_what_is_not_there_does_nothing(ident: Any) -> None:
    gate = Gate()
    peer = world(gate).legacy().open()
    stream = peer.request("tools/call", {"name": "t"}, ident=1)
    await settle()
    peer.say("notifications/cancelled", {"requestId": ident})
    peer.say("notifications/cancelled")
    gate.open.set()
    assert "result" in await answer_of(stream)


@jumping
async def test_a_call_that_the_upstream_drops_is_answered_all_the_same() -> None:
    async def dropped(exchange: Exchange, target: Target) -> Result:
        raise asyncio.CancelledError  # as when the upstream's own connection task was cancelled

    peer = world(dropped).legacy().open()
    assert "error" in await answer_of(peer.request("tools/call", {"name": "t"}))


@jumping
async def test_the_deadline_and_the_end_of_the_gateway_are_answers() -> None:
    made = world(Gate(), call_timeout=3.0)
    peer = made.legacy().open()
    assert await error_of(peer.request("tools/call", {"name": "t"})) == UPSTREAM_TIMEOUT
    stream = peer.request("tools/call", {"name": "t"})
    await settle()
    await made.plane.close(made.parking)
    assert await error_of(stream) == SHUTTING_DOWN


@jumping
async def test_an_exchange_says_who_the_client_is() -> None:
    made = world()
    peer = made.legacy(BOB).open("2025-06-18", {"roots": {}})
    peer.request("logging/setLevel", {"level": "warning"})
    await answer_of(peer.request("tools/call", {"name": "t", "_meta": {"progressToken": 0}}))
    (exchange,) = up_of(made).exchanges
    assert (exchange.principal, exchange.version, exchange.capabilities) == (BOB, "2025-06-18", {"roots": {}})
    assert (exchange.log_level, exchange.progress_token) == ("warning", 0)
    assert exchange.client_info == {"name": "peer", "version": "1"}


@jumping
async def test_progress_and_logs_come_on_the_calls_own_stream_before_the_answer() -> None:
    async def act(exchange: Exchange, target: Target) -> Result:
        await exchange.client.notify("notifications/progress", {"progress": 1})
        for level in ("debug", "error"):
            await exchange.client.notify("notifications/message", {"level": level})
        return Result(value={"content": []})

    peer = world(act).legacy().open()
    peer.request("logging/setLevel", {"level": "warning"})
    stream = peer.request("tools/call", {"name": "t", "_meta": {"progressToken": "p"}})
    await answer_of(stream)
    assert [frame.get("params") for frame in frames_of(stream)] == [
        {"progress": 1, "progressToken": "p"}, {"level": "error"}, None,
    ]  # fmt: skip
    assert peer.heard() == []


# --- logging level -------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [None, "", "DEBUG", "loud", 3, [], {}])
@jumping
async def test_a_level_that_is_none_is_invalid(level: Any) -> None:
    peer = world().legacy().open()
    assert await error_of(peer.request("logging/setLevel", {"level": level})) == INVALID_PARAMS
    assert peer.session.log_level is None


@jumping
async def test_messages_outside_of_calls_are_filtered_by_the_sessions_level() -> None:
    peer = world().legacy().open()
    peer.session.notice("notifications/message", {"level": "debug", "n": 1})
    assert (await answer_of(peer.request("logging/setLevel", {"level": "error"})))["result"] == {}
    for number, level in enumerate(("warning", "error", "critical", "odd")):
        peer.session.notice("notifications/message", {"level": level, "n": 10 + number})
    peer.session.notice("notifications/other", {"n": 20})
    assert [frame["params"]["n"] for frame in peer.heard()] == [1, 11, 12, 20]


# --- questions -----------------------------------------------------------------------------------------


@jumping
async def test_a_question_goes_out_on_the_calls_stream_and_its_answer_comes_back() -> None:
    peer = world(asking()).legacy().open(capabilities=FORM)
    stream = peer.request("tools/call", {"name": "t"}, ident="c")
    question = await question_on(stream)
    assert (question["method"], question["params"]) == ("elicitation/create", {"message": "sure?"})
    assert peer.heard() == []
    peer.reply(question, {"action": "accept", "content": {"n": 10**30}})
    answer = await answer_of(stream)
    assert answer["result"]["answer"] == {"action": "accept", "content": {"n": 10**30}}
    assert [frame["id"] for frame in frames_of(stream)] == [question["id"], "c"]


@jumping
async def test_an_error_for_an_answer_fails_the_question_with_it() -> None:
    peer = world(asking("sampling/createMessage")).legacy().open(capabilities=FORM)
    stream = peer.request("tools/call", {"name": "t"})
    peer.reply(await question_on(stream), error={"code": -1, "message": "User said no", "data": {"a": 1}})
    assert (await answer_of(stream))["error"] == {"code": -1, "message": "User said no", "data": {"a": 1}}


@pytest.mark.parametrize("error", [{}, {"code": "x"}, {"message": 7}])
@jumping
async def test_a_malformed_error_is_still_an_error(error: Json) -> None:
    peer = world(asking("sampling/createMessage")).legacy().open(capabilities=FORM)
    stream = peer.request("tools/call", {"name": "t"})
    peer.reply(await question_on(stream), error=error)
    assert "error" in await answer_of(stream)


@jumping
async def test_answers_nobody_waits_for_are_ignored() -> None:
    peer = world(asking()).legacy().open(capabilities=FORM)
    stream = peer.request("tools/call", {"name": "t"})
    question = await question_on(stream)
    for ident in (99, str(question["id"]), -1):
        peer.reply({"id": ident}, {"action": "decline"})
    peer.reply(question, {"action": "accept"})
    peer.reply(question, {"action": "decline"})
    assert (await answer_of(stream))["result"]["answer"] == {"action": "accept"}


@jumping
async def test_one_session_cannot_answer_anothers_question() -> None:
    made = world(asking())
    alice, other = made.legacy().open(capabilities=FORM), made.legacy().open(capabilities=FORM)
    stream = alice.request("tools/call", {"name": "t"})
    question = await question_on(stream)
    other.reply(question, {"action": "accept"})
    await settle()
    assert not stream.ended
    alice.reply(question, {"action": "decline"})
    assert (await answer_of(stream))["result"]["answer"] == {"action": "decline"}


@jumping
async def test_a_question_is_taken_back_when_its_call_is_cancelled() -> None:
    peer = world(asking()).legacy().open(capabilities=FORM)
    stream = peer.request("tools/call", {"name": "t"}, ident=5)
    question = await question_on(stream)
    peer.say("notifications/cancelled", {"requestId": 5})
    await settle()
    assert frames_of(stream)[-1]["params"] == {"requestId": question["id"]}
    assert frames_of(stream)[-1]["method"] == "notifications/cancelled"
    peer.reply(question, {"action": "accept"})


@pytest.mark.parametrize(
    ("version", "params", "shown"),
    [
        ("2025-06-18", {"mode": "form", "message": "x"}, {"message": "x"}),
        ("2025-11-25", {"mode": "form", "message": "x"}, {"mode": "form", "message": "x"}),
        ("2025-11-25", {"message": "x"}, {"message": "x"}),
    ],
)
@jumping
async def test_the_mode_of_an_elicitation_is_unknown_to_older_revisions(
    version: str, params: Json, shown: Json
) -> None:
    peer = world(asking("elicitation/create", params)).legacy().open(version, FORM)
    assert (await question_on(peer.request("tools/call", {"name": "t"})))["params"] == shown
    peer.session.close()


@jumping
async def test_an_elicitation_by_page_gets_an_id_of_its_own_if_it_has_none() -> None:
    page = {"mode": "url", "url": "https://x.example/", "message": "log in"}
    peer = world(asking("elicitation/create", page)).legacy().open(capabilities=FORM)
    ids = []
    for number in range(2):
        params = (await question_on(peer.request("tools/call", {"name": "t"}, ident=number)))["params"]
        ids.append(params.pop("elicitationId"))
        assert params == page
    assert len(set(ids)) == 2
    own = (
        world(asking("elicitation/create", {**page, "elicitationId": "own"})).legacy().open(capabilities=FORM)
    )
    assert (await question_on(own.request("tools/call", {"name": "t"})))["params"]["elicitationId"] == "own"
    peer.session.close()
    own.session.close()


@jumping
async def test_a_question_outside_of_calls_needs_a_stream_somebody_reads() -> None:
    peer = world().legacy().open(capabilities={"roots": {}})
    asked = asyncio.ensure_future(peer.session.ask("roots/list", {}))
    peer.reply(await question_on(peer.outlet), {"roots": []})
    assert await asked == {"roots": []}
    peer.outlet.detach(peer.outlet.reader)
    with pytest.raises(Refused) as caught:
        await peer.session.ask("roots/list", {})
    assert caught.value.code == METHOD_NOT_FOUND


# --- subscriptions and changes -------------------------------------------------------------------------


@jumping
async def test_a_subscription_is_answered_once_the_upstream_knows_and_then_brings_updates() -> None:
    made = world()
    up, knows = up_of(made), asyncio.Event()

    async def learning() -> None:
        await knows.wait()

    up.watching = learning
    peer = made.legacy().open()
    stream = peer.request("resources/subscribe", {"uri": "m://x"})
    await settle()
    assert not stream.ended
    knows.set()
    assert (await answer_of(stream))["result"] == {}
    assert up.watched == [(peer.session.principal, frozenset({"m://x"}))]
    made.plane.resource_updated("a", peer.session.principal, {"uri": "m://x", "title": "new"})
    assert peer.heard() == [
        {
            "jsonrpc": "2.0",
            "method": "notifications/resources/updated",
            "params": {"uri": "m://x", "title": "new"},
        }
    ]
    await answer_of(peer.request("resources/unsubscribe", {"uri": "m://x"}))
    made.plane.resource_updated("a", peer.session.principal, {"uri": "m://x"})
    assert len(peer.heard()) == 1
    assert up.watched[-1] == (peer.session.principal, frozenset())


@pytest.mark.parametrize("uri", ["zzz://nothing", None, 7, [], {}])
@jumping
async def test_what_is_no_resource_cannot_be_subscribed_to(uri: Any) -> None:
    made = World(
        {"a": StubUpstream(offer(resources=["m://x"])), "b": StubUpstream(offer(resources=["n://x"]))}
    )
    assert await error_of(made.legacy().open().request("resources/subscribe", {"uri": uri})) == INVALID_PARAMS


@jumping
async def test_changed_lists_are_announced_outside_of_calls() -> None:
    made = world()
    peer = made.legacy().open()
    up_of(made).offer = offer("t", "new", resources=["m://x"], capabilities=LOGS)
    made.plane.offer_changed("a")
    await settle()
    assert peer.heard() == [{"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}]


@jumping
async def test_changed_roots_are_told_to_the_upstreams() -> None:
    made = world()
    peer = made.legacy(BOB).open()
    peer.say("notifications/roots/list_changed", {})
    peer.say("notifications/unknown", {})
    await settle()
    assert up_of(made).told == [(BOB, "notifications/roots/list_changed", {})]


# --- the end -------------------------------------------------------------------------------------------


@jumping
async def test_a_session_that_ends_cancels_its_calls_and_hears_nothing_more() -> None:
    gate = Gate()
    made = world(gate)
    peer = made.legacy().open()
    peer.request("resources/subscribe", {"uri": "m://x"})
    peer.request("tools/call", {"name": "t"}, ident=9)
    await settle()
    peer.session.close()
    peer.session.close()
    await settle()
    assert gate.cancelled == 1
    assert peer.outlet.ended
    assert list(made.endpoint.sessions) == []
    assert up_of(made).watched[-1] == (peer.session.principal, frozenset())
    made.plane.resource_updated("a", peer.session.principal, {"uri": "m://x"})
    assert peer.heard() == []


@jumping
async def test_a_question_that_is_open_when_its_session_ends_fails() -> None:
    peer = world().legacy().open(capabilities={"roots": {}})
    asked = asyncio.ensure_future(peer.session.ask("roots/list", {}))
    await settle()
    peer.session.close()
    with pytest.raises(Refused):
        await asked


@jumping
async def test_every_message_counts_as_a_sign_of_life() -> None:
    peer: LegacyPeer = world().legacy().open()
    await asyncio.sleep(100)
    before = peer.session.last_seen
    peer.say("notifications/x")
    assert peer.session.last_seen == pytest.approx(before + 100, abs=0.1)
