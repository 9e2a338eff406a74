"""Requests of another protocol, from a transport to the upstream that speaks it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from portico._core.catalog.naming import Selection
from portico._core.requests.foreign import UNREAD
from portico.api import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    OVERLOADED,
    POLICY_DENIED,
    UPSTREAM_TIMEOUT,
    Exchange,
    ForeignCall,
    ForeignEvent,
    Json,
    Next,
    Refused,
    Result,
    Target,
    carry_foreign,
    foreign_call,
)
from tests.kernel.doubles import ALICE, StubUpstream, World, jumping, offer, script, settle

A = Target("a")


class Other(StubUpstream):
    """An upstream that speaks another protocol, too."""

    speaks = frozenset({"zz", "tools", "server", "tasks"})


def world(act: object = None, **options: object) -> tuple[World, StubUpstream]:
    stub = Other(offer("t", resources=["m://x"]), act)  # type: ignore[arg-type]
    return World({"a": stub}, **options), stub  # type: ignore[arg-type]


async def carried(made: World, method: str = "zz/Do", params: Json | None = None, target: Target = A) -> Json:
    done = await carry_foreign(made.endpoint, method, params or {}, ALICE, target, headers={"zz": "1"})
    return done.value


async def all_of(call: ForeignCall) -> tuple[list[ForeignEvent], Result]:
    notices: list[ForeignEvent] = []
    while True:
        told = await call.next()
        if isinstance(told, Result):
            return notices, told
        notices.append(told)


@jumping
async def test_it_goes_where_the_transport_says_and_both_ways_as_it_is() -> None:
    answer = {"structuredContent": [1], "zz": 10**30}
    made, stub = world(script(answer))
    params: Json = {"name": "unknown", "requestState": "not sealed", "uri": "m://x"}
    assert await carried(made, params=params) == answer
    assert stub.sent == [("zz/Do", params, A)]
    assert stub.exchanges[0].headers == {"zz": "1"}
    assert stub.exchanges[0].principal == ALICE


@pytest.mark.parametrize("method", ["tools/list", "tools/call", "server/discover", "tasks/get"])
def test_methods_of_that_name_are_still_the_other_protocols(method: str) -> None:
    @jumping
    async def run() -> None:
        made, stub = world(script({"its": "own"}))
        assert await carried(made, method) == {"its": "own"}
        assert stub.sent == [(method, {}, A)]

    run()


@pytest.mark.parametrize("code", [-32002, -32042, -32021, 7])
def test_errors_keep_their_code_message_and_data(code: int) -> None:
    @jumping
    async def run() -> None:
        made, _ = world(script(Refused(code, "said so", {"zz": [1]})))
        with pytest.raises(Refused) as caught:
            await carried(made, params={"uri": "m://x"})
        assert caught.value.body() == {"code": code, "message": "said so", "data": {"zz": [1]}}

    run()


@jumping
async def test_an_upstream_of_another_virtual_server_is_not_found() -> None:
    made, _ = world()
    other = Other(offer("t"))
    made.plane.upstreams["b"] = other
    for target in (Target("b"), Target("nowhere")):
        with pytest.raises(Refused) as caught:
            await carried(made, target=target)
        assert caught.value.code == METHOD_NOT_FOUND
    assert other.sent == []


@jumping
async def test_an_upstream_that_does_not_speak_it_never_hears_of_it() -> None:
    made, stub = world()
    for method in ("yy/Do", "zzz/Do", "Do", ""):
        with pytest.raises(Refused) as caught:
            await carried(made, method)
        assert caught.value.code == METHOD_NOT_FOUND
    assert stub.sent == []


@pytest.mark.parametrize(
    "tools",
    [
        Selection(include=["t"]),
        Selection(include=["a/[t]"]),
        Selection(include=[]),
        Selection(exclude=["later"]),
        Selection(exclude=["a/later"]),
        Selection(exclude=["?/later"]),
    ],
)
def test_an_upstream_whose_tools_are_filtered_is_not_spoken_to_past_the_filter(tools: Selection) -> None:
    @jumping
    async def run() -> None:
        made, stub = world(script({}), tools=tools)
        with pytest.raises(Refused) as caught:
            await carried(made)
        assert caught.value.code == METHOD_NOT_FOUND
        assert stub.sent == []
        stub.speaks_past_filters = frozenset({"zz"})  # type: ignore[attr-defined]
        assert await carried(made) == {}
        with pytest.raises(Refused):
            await carried(made, "tools/call")  # of this it does not say so

    run()


@pytest.mark.parametrize(
    "tools",
    [
        Selection(rename={"t": "u"}),
        Selection(include=["a/*"]),
        Selection(include=["b/x", "*"], exclude=["b/*", "b/a/t"]),
    ],
)
def test_filters_of_other_upstreams_and_other_names_do_not_matter(tools: Selection) -> None:
    @jumping
    async def run() -> None:
        made, _ = world(script({}), tools=tools)
        assert await carried(made) == {}

    run()


@jumping
async def test_no_mcp_client_can_send_such_a_method() -> None:
    made, stub = world()
    with pytest.raises(Refused) as caught:
        await made.modern("zz/Do", {})
    assert caught.value.code == METHOD_NOT_FOUND
    assert stub.sent == []


@jumping
async def test_policies_stand_around_it() -> None:
    seen: list[tuple[str, Json]] = []

    class Guard:
        async def __call__(self, exchange: Exchange, call_next: Next) -> Result:
            if exchange.params.get("bad"):
                raise Refused(POLICY_DENIED, "No")
            return await call_next(exchange)

        def tap(self, exchange: Exchange, method: str, params: Json) -> Json | None:
            seen.append((method, params))
            return None if params.get("n") == 1 else params

    async def act(exchange: Exchange, target: Target) -> Result:
        for n in range(3):
            await exchange.client.notify("zz/event", {"n": n})
        return Result(value={})

    made, stub = world(act, policies=[("guard", Guard())])
    with pytest.raises(Refused) as caught:
        await carried(made, params={"bad": 1})
    assert caught.value.code == POLICY_DENIED
    assert stub.sent == []
    async with foreign_call(made.endpoint, "zz/Do", {}, ALICE, A, headers={}) as call:
        notices, _ = await all_of(call)
    assert [each.params["n"] for each in notices] == [0, 2]
    assert [params["n"] for _, params in seen] == [0, 1, 2]


@jumping
async def test_notifications_come_in_order_and_a_slow_client_holds_the_upstream_back() -> None:
    given: list[int] = []

    async def act(exchange: Exchange, target: Target) -> Result:
        for n in range(3 * UNREAD):
            await exchange.client.notify("zz/event", {"n": n})
            given.append(n)
        return Result(value={"done": True})

    made, _ = world(act)
    async with foreign_call(made.endpoint, "zz/Do", {}, ALICE, A, headers={}) as call:
        await settle()
        assert len(given) == UNREAD
        notices, result = await all_of(call)
    assert [each.params["n"] for each in notices] == list(range(3 * UNREAD))
    assert result.value == {"done": True}


@jumping
async def test_leaving_ends_the_call() -> None:
    ended = asyncio.Event()

    async def act(exchange: Exchange, target: Target) -> Result:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()
        raise AssertionError

    made, _ = world(act)
    async with foreign_call(made.endpoint, "zz/Do", {}, ALICE, A, headers={}):
        await settle()
        assert len(made.load.calls) == 1
    await ended.wait()
    await settle()
    assert not made.load.calls


@pytest.mark.parametrize(("seconds", "most"), [(None, 5.0), (60.0, 60.0)])
def test_it_ends_in_time(seconds: float | None, most: float) -> None:
    async def forever(exchange: Exchange, target: Target) -> Result:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    @jumping
    async def run() -> None:
        made, _ = world(forever, call_timeout=5.0)
        began = asyncio.get_running_loop().time()
        async with foreign_call(made.endpoint, "zz/Do", {}, ALICE, A, headers={}, seconds=seconds) as call:
            with pytest.raises(Refused) as caught:
                await call.next()
        assert caught.value.code == UPSTREAM_TIMEOUT
        assert asyncio.get_running_loop().time() - began == pytest.approx(most, abs=1.5)

    run()


@jumping
async def test_a_fault_is_an_internal_error_and_says_nothing_else() -> None:
    def act(exchange: Exchange, target: Target) -> Result:
        raise RuntimeError("a secret")

    made, _ = world(act)
    with pytest.raises(Refused) as caught:
        await carried(made)
    assert caught.value.code == INTERNAL_ERROR
    assert "secret" not in str(caught.value.body())


@jumping
async def test_it_counts_as_load() -> None:
    made, stub = world(most=0)
    with pytest.raises(Refused) as caught:
        await carried(made)
    assert caught.value.code == OVERLOADED
    assert stub.sent == []


@jumping
async def test_nobody_there_can_be_asked_mcp_questions() -> None:
    async def act(exchange: Exchange, target: Target) -> Result:
        assert not exchange.client.progress(b"{}")
        return Result(value=await exchange.client.ask("elicitation/create", {"message": "?"}))

    made, _ = world(act)
    with pytest.raises(Refused) as caught:
        await carried(made)
    assert caught.value.code == METHOD_NOT_FOUND


def test_the_names_are_public() -> None:
    import portico.api

    names: Sequence[str] = ("ForeignCall", "ForeignEvent", "Speaks", "carry_foreign", "foreign_call")
    assert set(names) <= set(portico.api.__all__)
