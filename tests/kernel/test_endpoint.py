from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from portico.api import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    LATEST_MODERN,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    METHOD_NOT_FOUND,
    OVERLOADED,
    RESOURCE_NOT_FOUND_LEGACY,
    SHUTTING_DOWN,
    UPSTREAM_TIMEOUT,
    Challenge,
    Credentials,
    Era,
    Exchange,
    Json,
    Next,
    Principal,
    Refused,
    Result,
    Target,
)
from tests.kernel.doubles import (
    ALICE,
    BOB,
    StubUpstream,
    World,
    answer_of,
    jumping,
    modern_params,
    offer,
    script,
    settle,
    tool,
)


def world(act: Any = None, **options: Any) -> World:
    return World({"a": StubUpstream(offer("t", resources=["m://x"], prompts=["p"]), act)}, **options)


async def refused(made: World, method: str = "tools/call", params: Any = None, **options: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await made.modern(method, {"name": "t"} if params is None else params, **options)
    return caught.value


async def forever(exchange: Exchange, target: Target) -> Result:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


# --- who is calling ------------------------------------------------------------------------------------


class Scheme:
    def __init__(self, verdict: Any) -> None:
        self.verdict = verdict
        self.asked = 0

    async def authenticate(self, credentials: Credentials) -> Any:
        self.asked += 1
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


async def verdict(*schemes: Scheme) -> Principal | Challenge:
    made = world(schemes=[(f"s{index}", scheme) for index, scheme in enumerate(schemes)])
    return await made.endpoint.authenticate(Credentials({}, "127.0.0.1", "default"))


@jumping
async def test_the_first_scheme_that_knows_the_credential_says_who_it_is() -> None:
    last = Scheme(BOB)
    assert await verdict(Scheme(None), Scheme(Challenge()), Scheme(ALICE), last) == ALICE
    assert last.asked == 0


@jumping
async def test_if_no_scheme_knows_it_the_first_challenge_is_the_answer() -> None:
    first = Challenge(headers=(("www-authenticate", "Bearer"),))
    assert await verdict(Scheme(None), Scheme(first), Scheme(Challenge(403))) is first


@jumping
async def test_without_schemes_nobody_comes_in() -> None:
    assert await verdict() == Challenge(reason="no_scheme")
    assert await verdict(Scheme(None)) == Challenge(reason="no_scheme")


@jumping
async def test_a_scheme_that_fails_lets_nobody_in_not_even_by_the_next() -> None:
    next_one = Scheme(ALICE)
    assert await verdict(Scheme(RuntimeError("token abc")), next_one) == Challenge(reason="auth_error")
    assert next_one.asked == 0


class AtOnce(Scheme):
    def decide(self, credentials: Credentials) -> Any:
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


def recognised(*schemes: Scheme) -> Principal | Challenge | None:
    made = world(schemes=[(f"s{index}", scheme) for index, scheme in enumerate(schemes)])
    return made.endpoint.recognise(Credentials({}, "127.0.0.1", "default"))


@pytest.mark.parametrize(
    "verdicts",
    [
        [ALICE],
        [None, Challenge(), ALICE],
        [None],
        [None, Challenge(403), Challenge()],
        [RuntimeError("x"), ALICE],
    ],
)
@jumping
async def test_deciding_at_once_comes_to_the_same_as_asking(verdicts: list[Any]) -> None:
    schemes = [AtOnce(each) for each in verdicts]
    assert recognised(*schemes) == await verdict(*schemes)


@jumping
async def test_nothing_is_decided_at_once_where_one_scheme_cannot_or_there_is_none() -> None:
    assert recognised(AtOnce(ALICE), Scheme(BOB)) is None
    assert recognised() is None


# --- exchanges -----------------------------------------------------------------------------------------


@jumping
async def test_a_modern_request_says_all_there_is_to_know_of_its_client() -> None:
    made = world(call_timeout=7.0)
    more: Json = {META_CLIENT_INFO: {"name": "c", "version": "2"}, META_LOG_LEVEL: "error"}
    params = modern_params(
        {"name": "t"},
        {"roots": {}},
        progressToken=0,
        **more,
    )
    exchange = made.endpoint.modern_exchange("tools/call", params, BOB, {"x": "1"})
    assert (exchange.era, exchange.version, exchange.server) == (Era.MODERN, LATEST_MODERN, "default")
    assert (exchange.principal, exchange.capabilities, exchange.headers) == (BOB, {"roots": {}}, {"x": "1"})
    assert (exchange.client_info, exchange.log_level) == ({"name": "c", "version": "2"}, "error")
    assert (exchange.progress_token, exchange.deadline) == (0, made.clock.monotonic() + 7)
    assert exchange.params is params


@pytest.mark.parametrize("token", [None, True, 1.5, [], {}])
@jumping
async def test_a_progress_token_that_is_none_is_left_out(token: Any) -> None:
    more: Json = {META_CLIENT_INFO: "c", META_LOG_LEVEL: 3}
    params = modern_params({}, progressToken=token, **more)
    exchange = world().endpoint.modern_exchange("tools/call", params, ALICE, {})
    assert (exchange.progress_token, exchange.client_info, exchange.log_level) == (None, None, None)


@jumping
async def test_every_exchange_has_an_id_of_its_own() -> None:
    made = world()
    ids = {made.endpoint.modern_exchange("tools/list", modern_params({}), ALICE, {}).id for _ in range(100)}
    assert len(ids) == 100


@jumping
async def test_until_a_call_takes_it_over_nobody_can_be_told_or_asked() -> None:
    client = world().endpoint.modern_exchange("tools/list", modern_params({}), ALICE, {}).client
    await client.notify("notifications/progress", {})
    client.poll(1)
    with pytest.raises(Refused) as caught:
        await client.ask("roots/list", {})
    assert caught.value.code == METHOD_NOT_FOUND


# --- load ----------------------------------------------------------------------------------------------


@jumping
async def test_more_than_the_limit_in_flight_is_refused_and_room_is_made_by_what_ends() -> None:
    made = world(forever, most=2)
    calls = [made.begin("tools/call", {"name": "t"}) for _ in range(2)]
    await settle()
    refusal = await refused(made)
    assert (refusal.code, refusal.data["gateway"]["reason"]) == (OVERLOADED, "in_flight_limit")
    assert refusal.data["gateway"]["retryable"] is True
    peer = made.legacy().open()
    answer = await answer_of(peer.request("tools/call", {"name": "t"}))
    assert answer["error"]["code"] == OVERLOADED
    calls[0].cancel()
    await settle()
    assert (await made.modern("tools/list"))["tools"]
    calls[1].cancel()


@jumping
async def test_while_draining_nothing_new_begins_in_either_era() -> None:
    made = world()
    peer = made.legacy().open()
    made.load.draining = True
    refusal = await refused(made)
    assert (refusal.code, refusal.data["gateway"]["reason"]) == (SHUTTING_DOWN, "shutting_down")
    assert (await answer_of(peer.request("tools/list")))["error"]["code"] == SHUTTING_DOWN
    assert (await answer_of(peer.request("ping")))["result"] == {}


@pytest.mark.parametrize("act", [None, script(Refused(-1, "no")), forever])
@jumping
async def test_whatever_becomes_of_a_call_it_is_no_longer_in_flight(act: Any) -> None:
    made = world(act, call_timeout=1.0)
    await made.finish(made.begin("tools/call", {"name": "t"}))
    await settle()
    assert not made.load.calls


# --- the loop ------------------------------------------------------------------------------------------


@jumping
async def test_results_and_errors_come_in_the_words_of_the_clients_era() -> None:
    missing = Refused(RESOURCE_NOT_FOUND_LEGACY, "gone")
    made = world(script(missing))
    refusal = await refused(made, "resources/read", {"uri": "m://x"})
    assert (refusal.code, refusal.data) == (-32602, {"uri": "m://x"})
    peer = made.legacy().open()
    assert (await answer_of(peer.request("resources/read", {"uri": "m://x"})))["error"]["code"] == -32002
    assert (await answer_of(peer.request("resources/read", {"uri": "z:"}, ident=2)))["error"][
        "code"
    ] == -32002
    assert (await world().modern("tools/call", {"name": "t"})).keys() == {"content", "resultType", "_meta"}


@jumping
async def test_policies_stand_around_the_router() -> None:
    async def guard(exchange: Exchange, call_next: Next) -> Result:
        if exchange.params.get("name") == "t":
            raise Refused(40300, "no")
        return await call_next(exchange)

    made = world(policies=[("guard", guard)])
    assert (await refused(made)).code == 40300
    assert (await made.modern("tools/list"))["tools"]


@jumping
async def test_a_finished_call_is_logged_and_observed_with_its_facts() -> None:
    made = world()
    await made.modern("tools/call", {"name": "t", "arguments": {"password": "hunter2"}}, principal=BOB)
    (event,) = made.events
    assert event.name == "call.finished"
    facts = dict(event.facts)
    assert isinstance(facts.pop("ms"), float)
    assert re.fullmatch("[0-9a-f]{8}-[0-9a-f]+", str(facts.pop("request_id")))
    assert facts == {
        "principal": "bob", "server": "default", "upstream": "a", "method": "tools/call", "name": "t",
        "era": "modern", "outcome": "ok",
    }  # fmt: skip
    (line,) = [line for line in made.log.lines if line.event == "call"]
    assert line.facts == event.facts
    assert "hunter2" not in repr(made.log.lines)


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        (script(Refused(-7, "no")), "-7"),
        (forever, "CancelledError"),
        (lambda e, t: 1 / 0, "ZeroDivisionError"),
    ],
)
@jumping
async def test_a_call_that_went_wrong_says_how(act: Any, outcome: str) -> None:
    made = world(act, call_timeout=1.0)
    await made.finish(made.begin("tools/call", {"name": "t"}))
    await settle()
    assert [event.facts["outcome"] for event in made.events] == [outcome]


@jumping
async def test_a_request_that_was_never_routed_has_no_upstream() -> None:
    made = world()
    await refused(made, params={"name": "nope"})
    assert made.events[0].facts["upstream"] is None


@jumping
async def test_a_fault_is_in_the_log_and_nowhere_else() -> None:
    def broken(exchange: Exchange, target: Target) -> Result:
        raise RuntimeError("postgres://user:pw@db/")

    made = world(broken, policies=[])
    refusal = await refused(made)
    assert refusal.code == INTERNAL_ERROR
    assert "postgres" not in repr(refusal.body())
    (line,) = [line for line in made.log.lines if line.event == "call.fault"]
    assert line.facts["request_id"] == refusal.data["gateway"]["request_id"]
    assert isinstance(line.facts["exc_info"], RuntimeError)


@jumping
async def test_the_deadline_is_a_refusal_with_the_gateways_id() -> None:
    made = world(forever, call_timeout=2.0)
    refusal = await refused(made)
    assert refusal.code == UPSTREAM_TIMEOUT
    assert refusal.data["gateway"]["request_id"] == made.events[0].facts["request_id"]


# --- headers of arguments ------------------------------------------------------------------------------


@jumping
async def test_param_headers_are_checked_by_the_schema_of_the_advertised_tool() -> None:
    schema = {"type": "object", "properties": {"r": {"type": "string", "x-mcp-header": "R"}}}
    made = World(
        {"a": StubUpstream(offer(tool("t", inputSchema=schema))), "b": StubUpstream(offer("u"))},
        prefix="always",
    )
    check = made.endpoint.check_params
    check({"name": "a__t", "arguments": {"r": "eu"}}, [("mcp-param-r", "eu")])
    for said in ([], [("mcp-param-r", "us")]):
        with pytest.raises(Refused) as caught:
            check({"name": "a__t", "arguments": {"r": "eu"}}, said)
        assert caught.value.code == HEADER_MISMATCH
    odd: list[Any] = ["b__u", "t", "nope", None, 7, [], {}]
    for name in odd:
        check({"name": name, "arguments": {"r": "eu"}}, [])
