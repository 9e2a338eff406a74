"""The `rate_limit` policy: who may call how often, what is said to who may not, and what it can cost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portico._core.requests.pipeline import Pipeline
from portico.api import RATE_LIMITED, Exchange, Next, Policy, Principal, Refused, Result
from portico.testing import FakeClock, RecordingLog, check_plugin, make_exchange, make_host
from portico_plugins.policies import rate_limit as plugin
from portico_plugins.policies.rate_limit import RATE_LIMIT, Dimension, RateLimitConfig
from tests.kernel.doubles import StubUpstream, World, offer
from tests.plugins.transports.web import gateway

ALICE, BOB = Principal("alice", "people"), Principal("bob", "people")

LIMITED = """
[servers.default]
policies = ["limit"]
[policies.limit]
use = "rate_limit"
rate = 0.01
burst = 2
"""


@asynccontextmanager
async def limited(clock: FakeClock, log: RecordingLog | None = None, **config: Any) -> AsyncIterator[Policy]:
    host = make_host("limit", "policies", clock=clock, log=log)
    async with RATE_LIMIT.create(RateLimitConfig(**config), host) as policy:
        yield policy


async def done(exchange: Exchange) -> Result:
    return Result(value={"content": []})


async def let_in(policy: Policy, principal: Principal = ALICE, *, method: str = "tools/call") -> bool:
    """Whether one more request gets through."""
    exchange = make_exchange(method, {"name": "t"}, principal=principal)
    try:
        await Pipeline([("limit", policy)], done).chain(method)(exchange)
    except Refused as refusal:
        if refusal.code != RATE_LIMITED:
            raise
        return False
    return True


async def test_the_plugin_keeps_its_contract() -> None:
    await check_plugin(plugin, {"rate": 1})


async def test_a_burst_gets_through_and_then_what_the_rate_allows() -> None:
    clock = FakeClock()
    async with limited(clock, rate=10, burst=3) as policy:
        assert [await let_in(policy) for _ in range(5)] == [True, True, True, False, False]
        clock.advance(0.1)
        assert [await let_in(policy) for _ in range(2)] == [True, False]
        clock.advance(0.25)
        assert [await let_in(policy) for _ in range(3)] == [True, True, False]
        clock.advance(3600)  # a bucket holds no more than a burst, however long nobody came
        assert [await let_in(policy) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("rate", [0.001, 0.3, 7, 333, 99_991])
async def test_over_a_long_time_exactly_the_rate_gets_through(rate: float) -> None:
    clock = FakeClock()
    clock.advance(1e6)  # far from zero, where sums of fractions are least exact
    async with limited(clock, rate=rate, burst=5) as policy:
        through = 0
        for _ in range(1000):
            through += await let_in(policy)
            clock.advance(0.5 / rate)
        assert abs(through - 505) <= 1


async def test_every_principal_has_a_bucket_of_its_own_whatever_its_scopes() -> None:
    async with limited(FakeClock(), rate=1, burst=1) as policy:
        assert await let_in(policy, ALICE)
        assert await let_in(policy, BOB)
        assert await let_in(policy, Principal("alice", "others"))
        assert await let_in(policy, Principal("alice", "people", tenant="t"))
        assert not await let_in(policy, Principal("alice", "people", scopes=frozenset({"more"})))


async def test_messages_to_agents_behind_count_as_calls_of_tools_do() -> None:
    async with limited(FakeClock(), rate=1, burst=3) as policy:
        assert await let_in(policy)
        assert await let_in(policy, method="a2a/SendMessage")
        assert await let_in(policy, method="a2a/SendStreamingMessage")
        assert not await let_in(policy, method="a2a/SendMessage")
        assert await let_in(policy, method="a2a/GetTask")


async def test_methods_that_are_not_counted_have_no_frame() -> None:
    async with limited(FakeClock(), rate=1, burst=1) as policy:
        assert Pipeline([("limit", policy)], done).chain("tools/list") is done
    async with limited(FakeClock(), rate=1, burst=2, methods=("*",)) as policy:
        assert await let_in(policy)
        assert await let_in(policy, method="tools/list")
        assert not await let_in(policy, method="ping")


async def test_waiting_as_long_as_was_said_is_enough_and_no_longer_than_needed() -> None:
    clock = FakeClock()
    async with limited(clock, rate=0.4, burst=1) as policy:
        chain = Pipeline([("limit", policy)], done).chain("tools/call")
        await chain(make_exchange())
        clock.advance(0.7)
        with pytest.raises(Refused) as caught:
            await chain(make_exchange())
        said = caught.value.data["gateway"]
        assert (said["reason"], said["retryable"]) == ("rate_limited", True)
        assert said["retry_after"] == pytest.approx(1.8, abs=0.001)
        clock.advance(said["retry_after"] - 0.01)
        assert not await let_in(policy, make_exchange().principal)
        clock.advance(0.01)
        assert await let_in(policy, make_exchange().principal)


async def test_identities_without_end_share_a_bucket_and_take_nothing_from_those_known() -> None:
    clock, log = FakeClock(), RecordingLog()
    async with limited(clock, log, rate=1, burst=2, buckets=3) as policy:
        assert [await let_in(policy, Principal(f"p{n}", "x")) for n in range(3)] == [True] * 3
        assert [await let_in(policy, Principal(f"new{n}", "x")) for n in range(4)] == [
            True,
            True,
            False,
            False,
        ]
        assert await let_in(policy, Principal("p1", "x"))
        assert len(policy._buckets) <= 4  # type: ignore[attr-defined]
        assert log.events == ["rate_limit.buckets_used_up"]
        clock.advance(10)  # all are full again: full ones need not be kept
        assert [await let_in(policy, Principal("late", "x")) for _ in range(3)] == [True, True, False]
        assert await let_in(policy, Principal("later", "x"))


async def test_inside_another_policy_a_refusal_comes_out_where_it_is_awaited() -> None:
    seen: list[str] = []

    async def outer(exchange: Exchange, call_next: Next) -> Result:
        waiting = call_next(exchange)
        seen.append("called")
        try:
            return await waiting
        except Refused:
            seen.append("refused")
            raise

    async with limited(FakeClock(), rate=1, burst=1) as policy:
        chain = Pipeline([("outer", outer), ("limit", policy)], done).chain("tools/call")
        await chain(make_exchange())
        with pytest.raises(Refused):
            await chain(make_exchange())
    assert seen == ["called", "called", "refused"]


@pytest.mark.parametrize(
    ("per", "same"),
    [
        ((), [True, True, True, True]),
        (("server",), [True, True, True, True]),
        (("upstream",), [True, True, False, False]),
        (("name",), [True, False, False, False]),
        (("principal", "name"), [True, False, False, False]),
        (("client", "tenant"), [True, True, True, True]),
    ],
)
async def test_buckets_are_told_apart_by_what_per_names(per: tuple[Dimension, ...], same: list[bool]) -> None:
    upstreams = {"a": StubUpstream(offer("one", "two")), "b": StubUpstream(offer("three"))}
    plane = World(upstreams).plane
    key = plugin.bucket_key(per, lambda: plane.endpoints)
    keys = [key(make_exchange(params={"name": name})) for name in ("one", "two", "three", "made-up")]
    assert [each == keys[0] for each in keys] == same
    assert key(make_exchange(params={"name": "made-up"})) == key(make_exchange(params={"name": ["up"]}))


async def test_a_modern_client_gets_429_and_when_to_come_back_and_the_log_says_so() -> None:
    async with gateway(auth=LIMITED) as web:
        assert [await web.call("echo").head() for _ in range(2)] == [200, 200]
        answer = web.call("echo", ident="again")
        said = await answer.json()
        assert (answer.status, said["id"], said["error"]["code"]) == (429, "again", RATE_LIMITED)
        seconds = said["error"]["data"]["gateway"]["retry_after"]
        assert 90 < seconds <= 100
        assert 0 <= int(answer.headers["retry-after"]) - seconds < 1
        outcomes = [line.facts["outcome"] for line in web.log.lines if line.event == "call"]
        assert outcomes == ["ok", "ok", "42900"]


async def test_a_legacy_client_gets_a_json_rpc_error_and_keeps_its_session() -> None:
    async with gateway(auth=LIMITED) as web:
        session = await web.session()
        answers = [session.call("echo", ident=number) for number in range(3)]
        assert [await each.head() for each in answers] == [200, 200, 200]
        error = (await answers[2].json())["error"]
        assert error["code"] == RATE_LIMITED
        assert error["data"]["gateway"]["retryable"] is True
        assert "result" in await session.request("ping", ident=9).json()
