from __future__ import annotations

import asyncio

import pytest

from portico._core.catalog.naming import Selection
from portico.api import (
    METHOD_NOT_FOUND,
    SHUTTING_DOWN,
    Exchange,
    Json,
    Offer,
    Principal,
    Refused,
    Result,
    State,
    Target,
)
from tests.kernel.doubles import (
    ALICE,
    BOB,
    LegacyPeer,
    StubUpstream,
    World,
    asking,
    frames_of,
    jumping,
    offer,
    settle,
)


class Unwatchable:
    """The least an upstream can be."""

    offer = offer("t", resources=["w://x"])
    state = State.DEGRADED
    reason = "connection refused"

    async def send(self, exchange: Exchange, target: Target) -> Result:
        return Result(value={"content": []})


def kinds(peer: LegacyPeer) -> list[str]:
    return [frame["method"] for frame in peer.heard()]


# --- the catalog follows the upstreams -----------------------------------------------------------------


@jumping
async def test_a_new_offer_is_in_the_catalog_soon() -> None:
    up = StubUpstream(offer("t"))
    world = World({"a": up})
    up.offer = offer("t", "new")
    world.plane.offer_changed("a")
    assert list(world.endpoint.view.tools) == ["t"]
    await settle()
    assert list(world.endpoint.view.tools) == ["t", "new"]


@jumping
async def test_several_offers_at_once_make_one_new_catalog_and_one_notice() -> None:
    ups = {name: StubUpstream(offer(name)) for name in "abc"}
    world = World(ups)
    peer = world.legacy().open()
    for name, up in ups.items():
        up.offer = offer(name, f"{name}2")
        world.plane.offer_changed(name)
    await settle()
    assert list(world.endpoint.view.tools) == ["a", "a2", "b", "b2", "c", "c2"]
    assert kinds(peer) == ["notifications/tools/list_changed"]


@jumping
async def test_only_lists_that_are_others_now_are_announced() -> None:
    up = StubUpstream(offer("t", resources=["m://x"], prompts=["p"]))
    world = World({"a": up})
    peer = world.legacy().open()
    world.plane.offer_changed("a")
    await settle()
    assert kinds(peer) == []
    up.offer = offer("t", resources=["m://x"], templates=["m://{v}"], prompts=["p", "q"])
    world.plane.offer_changed("a")
    await settle()
    assert kinds(peer) == ["notifications/prompts/list_changed", "notifications/resources/list_changed"]


@jumping
async def test_a_list_the_upstream_announced_is_announced_even_if_it_looks_the_same() -> None:
    world = World({"a": StubUpstream(offer("t"))})
    peer = world.legacy().open()
    world.plane.offer_changed("a", ["tools"])
    await settle()
    assert kinds(peer) == ["notifications/tools/list_changed"]


@jumping
async def test_a_server_hears_of_its_own_upstreams_only() -> None:
    a, b = StubUpstream(offer("t")), StubUpstream(offer("u"))
    world = World({"a": a, "b": b})
    narrow = world.legacy(endpoint=world.add("narrow", ("a",))).open()
    b.offer = offer("u", "u2")
    world.plane.offer_changed("b", ["tools"])
    await settle()
    assert kinds(narrow) == []
    assert list(world.plane.endpoints["default"].view.tools) == ["t", "u", "u2"]


@jumping
async def test_an_upstream_that_goes_away_keeps_its_place_in_every_list() -> None:
    up = StubUpstream(offer("t"))
    world = World({"a": up, "b": StubUpstream(offer("u"))})
    before = world.endpoint.view.items
    up.state, up.reason = State.DEGRADED, "gone"
    world.plane.offer_changed("a")
    await settle()
    assert world.endpoint.view.items == before
    assert world.plane.status()["a"] == {
        "state": "degraded", "reason": "gone", "tools": 1, "resources": 0, "prompts": 0,
    }  # fmt: skip
    assert "reason" not in world.plane.status()["b"]


@jumping
async def test_a_conflict_is_logged_once_however_often_the_catalog_is_made() -> None:
    up = StubUpstream(offer("t"))
    world = World({"a": StubUpstream(offer("t")), "b": up}, prefix="never")
    for number in range(3):
        up.offer = offer("t", f"u{number}")
        world.plane.offer_changed("b")
        await settle()
        world.plane.disputes.report()
    (line,) = [line for line in world.log.lines if line.event == "catalog.conflict"]
    assert line.facts == {
        "server": "default", "kind": "tools", "name": "t", "upstream": "b", "other": "a", "why": "left_out",
    }  # fmt: skip


@jumping
async def test_a_nonsensical_offer_does_not_stop_the_others_from_being_current() -> None:
    odd, good = StubUpstream(offer("t")), StubUpstream(offer("u"))
    world = World({"odd": odd, "good": good})
    odd.offer = Offer(
        tools=({"name": "t", "_meta": []},), capabilities={"resources": True, "extensions": [1]}
    )
    good.offer = offer("u", "new")
    world.plane.offer_changed("odd")
    world.plane.offer_changed("good")
    await settle()
    assert "new" in world.endpoint.view.tools


# --- what belongs to no call ---------------------------------------------------------------------------


@jumping
async def test_an_announcement_goes_to_the_sessions_of_its_principal() -> None:
    world = World({"a": StubUpstream(offer("t"))})
    alice, bob = world.legacy(ALICE).open(), world.legacy(BOB).open()
    await world.plane.announce("a", BOB, "notifications/message", {"level": "info"})
    assert (kinds(alice), kinds(bob)) == ([], ["notifications/message"])
    await world.plane.announce("a", None, "notifications/message", {"level": "info"})
    assert (len(kinds(alice)), len(kinds(bob))) == (1, 2)


@jumping
async def test_an_announcement_stays_with_servers_that_have_the_upstream() -> None:
    world = World({"a": StubUpstream(offer("t")), "b": StubUpstream(offer("u"))})
    narrow = world.legacy(endpoint=world.add("narrow", ("a",))).open()
    await world.plane.announce("b", None, "notifications/message", {"level": "info"})
    assert kinds(narrow) == []


async def asked(world: World, principal: Principal = ALICE) -> asyncio.Future[Json]:
    future = asyncio.ensure_future(world.plane.ask_unrelated("a", principal, "roots/list", {}))
    await settle()
    return future


ROOTS: Json = {"roots": {}}


@jumping
async def test_the_session_used_last_is_asked() -> None:
    world = World({"a": StubUpstream(offer("t"))})
    old, new = (world.legacy().open(capabilities=ROOTS) for _ in range(2))
    await asyncio.sleep(10)
    old.say("notifications/x")
    future = await asked(world)
    assert new.heard() == []
    old.reply(old.heard()[0], {"roots": [1]})
    assert await future == {"roots": [1]}


@pytest.mark.parametrize("obstacle", ["no capability", "no reader", "no stream"])
@jumping
async def test_a_session_that_cannot_be_asked_is_passed_over(obstacle: str) -> None:
    world = World({"a": StubUpstream(offer("t"))})
    able = world.legacy().open(capabilities=ROOTS)
    await asyncio.sleep(10)
    unable = world.legacy().open(capabilities={} if obstacle == "no capability" else ROOTS)
    if obstacle == "no reader":
        unable.outlet.detach(unable.outlet.reader)
    if obstacle == "no stream":
        unable.session.outlet = None
    future = await asked(world)
    able.reply(able.heard()[0], {"roots": []})
    assert await future == {"roots": []}


@jumping
async def test_what_the_client_refuses_is_refused_and_nobody_else_is_asked() -> None:
    world = World({"a": StubUpstream(offer("t"))})
    other = world.legacy().open(capabilities=ROOTS)
    await asyncio.sleep(10)
    last = world.legacy().open(capabilities=ROOTS)
    future = await asked(world)
    last.reply(last.heard()[0], error={"code": -1, "message": "no"})
    with pytest.raises(Refused, match="no"):
        await future
    assert other.heard() == []


@jumping
async def test_nobody_there_to_ask_is_an_unknown_method() -> None:
    world = World({"a": StubUpstream(offer("t"))})
    world.legacy(BOB).open(capabilities=ROOTS)
    with pytest.raises(Refused) as caught:
        await world.plane.ask_unrelated("a", ALICE, "roots/list", {})
    assert caught.value.code == METHOD_NOT_FOUND


@jumping
async def test_telling_an_upstream_that_takes_nothing_is_no_error() -> None:
    world = World({"a": Unwatchable()})  # type: ignore[dict-item]
    world.plane.tell("a", ALICE, "notifications/roots/list_changed", {})
    world.plane.tell("gone", ALICE, "notifications/roots/list_changed", {})
    await settle()


# --- what can be watched -------------------------------------------------------------------------------


@jumping
async def test_only_upstreams_that_say_so_can_be_watched() -> None:
    unsubscribable = StubUpstream(offer(resources=["n://x"], capabilities={"resources": {}}))
    odd = StubUpstream(offer(resources=["o://x"], capabilities={"resources": True}))
    world = World(
        {"a": StubUpstream(offer(resources=["m://x"])), "n": unsubscribable, "o": odd, "w": Unwatchable()}  # type: ignore[dict-item]
    )
    can = {uri: world.endpoint.can_watch(uri) for uri in ("m://x", "n://x", "o://x", "w://x", "zzz://x")}
    assert can == {"m://x": True, "n://x": False, "o://x": False, "w://x": False, "zzz://x": False}
    await world.plane.watch("w", ALICE, frozenset({"w://x"}))
    await world.plane.watch("gone", ALICE, frozenset({"w://x"}))


@jumping
async def test_updates_have_the_uri_each_servers_clients_know() -> None:
    b = StubUpstream(offer(resources=["m://x"], templates=["t://{v}"]))
    world = World({"a": StubUpstream(offer(resources=["m://x"], templates=["t://{v}"])), "b": b})
    alone = world.legacy(endpoint=world.add("alone", ("b",))).open()
    both = world.legacy().open()
    for uri in ("m://b~x", "t://b~7"):
        both.request("resources/subscribe", {"uri": uri})
    alone.request("resources/subscribe", {"uri": "m://x"})
    await settle()
    assert b.watched[-1] == (ALICE, frozenset({"m://x", "t://7"}))
    world.plane.resource_updated("b", ALICE, {"uri": "m://x"})
    world.plane.resource_updated("b", ALICE, {"uri": "t://7"})
    assert [frame["params"]["uri"] for frame in both.heard()] == ["m://b~x", "t://b~7"]
    assert [frame["params"]["uri"] for frame in alone.heard()] == ["m://x"]


@jumping
async def test_a_hidden_resource_cannot_be_watched() -> None:
    up = StubUpstream(offer(resources=["m://x", "m://secret"]))
    world = World({"a": up}, resources=Selection(exclude=("m://secret",)))
    assert not world.endpoint.can_watch("m://secret")


# --- the end -------------------------------------------------------------------------------------------


@jumping
async def test_closing_answers_everything_that_is_open() -> None:
    up = StubUpstream(offer("t"), asking())
    world = World({"a": up})
    peer = world.legacy().open(capabilities={"elicitation": {}})
    legacy = peer.request("tools/call", {"name": "t"})
    waiting = world.begin("tools/call", {"name": "t"}, capabilities={"elicitation": {}})
    parked = await world.modern("tools/call", {"name": "t"}, capabilities={"elicitation": {}})
    assert parked["resultType"] == "input_required"
    await settle()
    await world.plane.close(world.parking)
    await settle()
    assert frames_of(legacy)[-1]["error"]["code"] == SHUTTING_DOWN
    outcome = waiting.outcome
    assert isinstance(outcome, Refused)
    assert outcome.code == SHUTTING_DOWN
    assert len(world.parking) == 0
    assert peer.outlet.ended
    assert not world.load.calls


@jumping
async def test_draining_shows_from_the_notice_on() -> None:
    world = World({"a": StubUpstream(offer("t"))})
    seen = [world.plane.draining]
    world.plane.notice = True
    seen.append(world.plane.draining)
    assert seen == [False, True]
    assert (await world.modern("tools/call", {"name": "t"}))["content"] == []
