from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portico._host.gateway import Gateway, drain, started, without
from portico._host.http.limits import limits_of
from portico._host.places import host_of, is_loopback
from portico.api import (
    GATEWAY,
    SHUTTING_DOWN,
    ConfigError,
    Event,
    Exchange,
    Host,
    Json,
    Next,
    Refused,
    Result,
)
from portico.testing import RecordingLog
from tests.kernel.doubles import (
    ALICE,
    Anybody,
    StubUpstream,
    World,
    asking,
    composed,
    jumping,
    modern_params,
    offer,
    settle,
)

COMPONENTS: dict[tuple[str, str], Any] = {
    ("upstreams", "a"): StubUpstream(offer("t")),
    ("auth", "any"): Anybody(),
}


# --- addresses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "host", "loopback"),
    [
        ("127.0.0.1:80", "127.0.0.1", True),
        ("127.9.9.9:80", "127.9.9.9", True),
        ("[::1]:80", "::1", True),
        ("localhost:80", "localhost", True),
        ("0.0.0.0:80", "0.0.0.0", False),
        ("[::]:80", "::", False),
        ("10.0.0.1:80", "10.0.0.1", False),
        ("gw.example:80", "gw.example", False),
        ("localhost.example:80", "localhost.example", False),
        ("0:80", "0", False),
        ("2130706433:80", "2130706433", False),
    ],
)
def test_only_this_machines_own_addresses_are_loopback(address: str, host: str, loopback: bool) -> None:
    assert host_of(address) == host
    assert is_loopback(host) is loopback


# --- who may come in from where ------------------------------------------------------------------------


async def refusal(auth: Any, **gateway: Any) -> ConfigError:
    settings = composed({("auth", "open"): auth}, **gateway)
    with pytest.raises(ConfigError) as caught:
        async with started(settings, RecordingLog()):
            pass
    return caught.value


PUBLIC: Json = {"listen": ("127.0.0.1:0", "0.0.0.0:4444")}


@jumping
async def test_letting_anybody_in_from_anywhere_must_be_said_twice() -> None:
    error = await refusal(Anybody(), **PUBLIC)
    ((path, message),) = error.problems
    assert path == "servers.default.auth"
    for word in (
        "'open'",
        "0.0.0.0:4444",
        "`token`",
        "auth.open.public = true",
        "gateway.allow_anonymous_public = true",
    ):
        assert word in message


@pytest.mark.parametrize(
    ("public", "allowed", "missing"),
    [(True, False, "gateway.allow_anonymous_public = true"), (False, True, "auth.open.public = true")],
)
@jumping
async def test_saying_it_once_is_not_enough_and_the_other_word_is_named(
    public: bool, allowed: bool, missing: str
) -> None:
    error = await refusal(Anybody(public=public), **PUBLIC, allow_anonymous_public=allowed)
    ((_, message),) = error.problems
    assert message.endswith(missing)


@jumping
async def test_saying_it_twice_is_enough() -> None:
    settings = composed({("auth", "open"): Anybody(public=True)}, **PUBLIC, allow_anonymous_public=True)
    async with started(settings, RecordingLog()) as gateway:
        assert "default" in gateway.plane.endpoints


@jumping
async def test_on_loopback_nothing_need_be_said() -> None:
    async with started(composed(COMPONENTS, listen=("127.0.0.1:0", "[::1]:0")), RecordingLog()) as gateway:
        assert await gateway.plane.endpoints["default"].authenticate(None) == ALICE  # type: ignore[arg-type]


@jumping
async def test_a_scheme_that_knows_its_callers_may_listen_anywhere() -> None:
    class Knows(Anybody):
        lets_anyone_in = False

    async with started(composed({("auth", "tokens"): Knows()}, **PUBLIC), RecordingLog()) as gateway:
        assert gateway.app is not None


# --- composition ---------------------------------------------------------------------------------------


@jumping
async def test_virtual_servers_are_up_before_the_first_transport_and_after_the_last_upstream() -> None:
    seen: list[list[str]] = []

    class Transport:
        def __init__(self, host: Host) -> None:
            seen.append([name for each in host.wiring.endpoints.values() for name in each.view.tools])

        def routes(self) -> list[Any]:
            return []

    async with started(composed({**COMPONENTS, ("transports", "x"): Transport}), RecordingLog()):
        assert seen == [["t"]]


@jumping
async def test_lists_may_be_shared_only_where_everybody_may_come_in() -> None:
    class Knows(Anybody):
        lets_anyone_in = False

    shared = StubUpstream(offer("t", public=True, ttl_ms=5))
    for auth, scope in ((Anybody(), "public"), (Knows(), "private")):
        settings = composed({("upstreams", "a"): shared, ("auth", "x"): auth})
        async with started(settings, RecordingLog()) as gateway:
            assert (await listed(gateway))["cacheScope"] == scope


async def listed(gateway: Gateway) -> Json:
    endpoint = gateway.plane.endpoints["default"]
    call = endpoint.begin(endpoint.modern_exchange("tools/list", modern_params({}), ALICE, {}))
    outcome = await call.turn(15)
    assert isinstance(outcome, Result)
    return outcome.value


@jumping
async def test_policies_and_observers_of_the_config_take_part() -> None:
    events: list[str] = []

    class Sees:
        def observe(self, event: Event) -> None:
            events.append(event.name)

    class Fails:
        def observe(self, event: Event) -> None:
            raise RuntimeError("broken observer")

    async def policy(exchange: Exchange, call_next: Next) -> Result:
        result = await call_next(exchange)
        result.value = {**result.value, "policed": True}
        return result

    log = RecordingLog()
    parts = {
        **COMPONENTS,
        ("observers", "bad"): Fails(),
        ("observers", "good"): Sees(),
        ("policies", "p"): policy,
    }
    async with started(composed(parts), log) as gateway:
        assert (await listed(gateway))["policed"] is True
    assert events == ["call.finished"]
    assert "observer.failed" in log.events


@pytest.mark.parametrize(
    ("server", "name"), [({}, "portico"), ({"name": "mine", "title": "Mine", "version": "9"}, "mine")]
)
@jumping
async def test_a_server_calls_itself_what_the_config_says(server: Json, name: str) -> None:
    async with started(composed(COMPONENTS, server), RecordingLog()) as gateway:
        info = gateway.plane.endpoints["default"].lists.info
    assert info["name"] == name
    assert info.get("title") == server.get("title")
    assert info["version"]


@jumping
async def test_without_http_there_is_no_app_and_no_listener() -> None:
    parts = {**COMPONENTS, ("listeners", "http"): object(), ("transports", "x"): object()}
    async with started(composed(parts), RecordingLog(), http=False) as gateway:
        assert gateway.app is None
        assert gateway.servers == {}
        assert gateway.transports == {}


def test_kinds_can_be_left_out() -> None:
    assert set(without(composed(COMPONENTS), "auth").components) == {("upstreams", "a")}


@jumping
async def test_handles_outlive_a_restart_only_with_a_configured_secret() -> None:
    from portico.api import Secret

    for secret, same in ((Secret("s" * 32), True), (None, False)):
        seals = []
        for _ in range(2):
            async with started(composed(COMPONENTS, secret=secret), RecordingLog()) as gateway:
                seals.append(gateway.plane.endpoints["default"].seal)
        handle = seals[0].close("task", GATEWAY, 7, 60)
        if same:
            assert seals[1].open("task", GATEWAY, handle) == (seals[0].node, 7)
        else:
            with pytest.raises(Exception, match="not sealed"):
                seals[1].open("task", GATEWAY, handle)


# --- what the guard lets pass --------------------------------------------------------------------------


LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}


@pytest.mark.parametrize(
    ("gateway", "hosts"),
    [
        ({"listen": ("127.0.0.1:1",)}, LOOPBACK),
        ({"listen": ("10.0.0.1:1",)}, {"10.0.0.1"}),
        ({"listen": ("[fd00::1]:1",)}, {"[fd00::1]"}),
        ({"listen": ("0.0.0.0:1",)}, {"*"}),
        ({"listen": ("[::]:1",), "public_url": "https://gw.example/x"}, {"gw.example", *LOOPBACK}),
        ({"listen": ("0.0.0.0:1",), "allowed_hosts": ("a.example",)}, {"a.example", *LOOPBACK}),
    ],
)
def test_the_hosts_answered_to_are_those_listened_on_and_those_named(gateway: Json, hosts: set[str]) -> None:
    assert set(limits_of(composed(COMPONENTS, **gateway)).allowed_hosts) == hosts


def test_web_pages_may_call_from_the_public_url_and_where_the_config_says() -> None:
    limits = limits_of(
        composed(
            COMPONENTS,
            listen=("10.0.0.1:1",),
            public_url="https://gw.example",
            allowed_origins=("https://app.example",),
        )
    )
    assert set(limits.allowed_origins) == {"https://gw.example", "https://app.example"}
    assert limits_of(composed(COMPONENTS, body_limit=2048)).body_bytes == 2048


# --- draining ------------------------------------------------------------------------------------------


def gateway_of(world: World, **gateway: Any) -> Gateway:
    return Gateway(composed({}, **gateway), world.plane, world.parking, None, None, {}, {}, world.log)


@jumping
async def test_draining_lets_calls_in_flight_finish() -> None:
    gate = asyncio.Event()

    async def act(exchange: Exchange, target: Any) -> Result:
        await gate.wait()
        return Result(value={"content": ["done"]})

    world = World({"a": StubUpstream(offer("t"), act)})
    call = world.begin("tools/call", {"name": "t"})
    await settle()
    draining = asyncio.ensure_future(drain(gateway_of(world, drain_timeout=30), hurry=asyncio.Event()))
    await settle()
    assert not draining.done()
    with pytest.raises(Refused) as caught:
        world.begin("tools/call", {"name": "t"})
    assert caught.value.code == SHUTTING_DOWN
    gate.set()
    await draining
    _, outcome = await world.finish(call)
    assert isinstance(outcome, Result)
    assert outcome.value["content"] == ["done"]


async def stuck(exchange: Exchange, target: Any) -> Result:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


@jumping
async def test_what_does_not_finish_in_time_is_answered_all_the_same() -> None:
    world = World({"a": StubUpstream(offer("t"), stuck)}, call_timeout=1000.0)
    call = world.begin("tools/call", {"name": "t"})
    await settle()
    loop = asyncio.get_running_loop()
    before = loop.time()
    await drain(gateway_of(world, drain_timeout=5), hurry=asyncio.Event())
    assert loop.time() - before == pytest.approx(5, abs=0.2)
    _, outcome = await world.finish(call)
    assert isinstance(outcome, Refused)
    assert outcome.code == SHUTTING_DOWN


@jumping
async def test_in_a_hurry_nothing_is_waited_for() -> None:
    world = World({"a": StubUpstream(offer("t"), stuck)}, call_timeout=1000.0)
    call = world.begin("tools/call", {"name": "t"})
    await settle()
    hurry = asyncio.Event()
    hurry.set()
    before = asyncio.get_running_loop().time()
    await drain(gateway_of(world), hurry=hurry)
    assert asyncio.get_running_loop().time() == before
    assert isinstance((await world.finish(call))[1], Refused)


@jumping
async def test_a_parked_call_is_not_waited_for_since_nobody_can_come_back_to_it() -> None:
    world = World({"a": StubUpstream(offer("t"), asking())})
    await world.modern("tools/call", {"name": "t"}, capabilities={"elicitation": {}})
    before = asyncio.get_running_loop().time()
    await drain(gateway_of(world, drain_timeout=30), hurry=asyncio.Event())
    assert asyncio.get_running_loop().time() - before < 1
    assert len(world.parking) == 0
    assert not world.load.calls
