from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from portico._core.protocol.eras import META_SUBSCRIPTION
from portico._core.protocol.jsonrpc import decode, encode
from portico._core.protocol.subscriptions import Hub, Notice, Subscription
from portico.api import GATEWAY, Json, Principal, Target
from portico.testing import RecordingLog
from tests.kernel.doubles import ALICE, BOB, jumping, settle


class Map:
    """Resolves URIs by a table and remembers what upstreams are watched for."""

    def __init__(self) -> None:
        self.routes: dict[str, Target] = {"m://x": Target("a", "m://x"), "m://b~x": Target("b", "m://x")}
        self.watched: list[tuple[str, str, list[str]]] = []
        self.watching: Callable[[], Awaitable[None]] | None = None

    def route_uri(self, server: str, uri: str) -> Target | None:
        return self.routes.get(uri)

    def advertised_uri(self, server: str, upstream: str, uri: str) -> str | None:
        if server == "other" and upstream == "b":
            return None
        return next(
            (shown for shown, to in self.routes.items() if (to.upstream, to.name) == (upstream, uri)), uri
        )

    async def watch(self, upstream: str, principal: Principal, uris: frozenset[str]) -> None:
        self.watched.append((upstream, principal.subject, sorted(uris)))
        if self.watching is not None:
            await self.watching()


def said(notice: Notice) -> tuple[str, Json]:
    frame = decode(notice.frame)
    return frame["method"], frame.get("params", {})


@pytest.mark.parametrize("ident", [7, 'a"b', "é"])
@pytest.mark.parametrize(
    "params",
    [{}, {"uri": "m://x", "title": "0}}}"}, {"_meta": {"a": 1, META_SUBSCRIPTION: "theirs"}, "uri": "m://x"}],
)
def test_a_notice_is_tagged_with_each_subscription_and_else_the_same(ident: Any, params: Json) -> None:
    notice = Notice("notifications/resources/updated", params)
    expected = {**params, "_meta": {**params.get("_meta", {}), META_SUBSCRIPTION: ident}}
    frame = decode(notice.tagged(encode(ident)))
    assert frame == {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": expected}
    assert said(notice) == ("notifications/resources/updated", params)


class Hubbed:
    def __init__(self) -> None:
        self.map = Map()
        self.log = RecordingLog()
        self.hub = Hub(self.map, self.log)
        self.heard: list[tuple[str, str, Json]] = []
        self.ended: list[str] = []

    def subscribe(
        self,
        name: str,
        *uris: str,
        principal: Principal = ALICE,
        server: str = "default",
        kinds: tuple[str, ...] = (),
    ) -> Subscription:
        made = Subscription(
            server,
            principal,
            frozenset(kinds),
            frozenset(uris),
            lambda notice: self.heard.append((name, *said(notice))),
            lambda: self.ended.append(name),
        )
        self.hub.add(made)
        return made

    def change(self, subscription: Subscription, *uris: str) -> list[asyncio.Task[None]]:
        subscription.uris = frozenset(uris)
        return self.hub.changed_uris(subscription)

    @property
    def listeners(self) -> list[str]:
        return [name for name, _, _ in self.heard]


# --- watching ------------------------------------------------------------------------------------------


@jumping
async def test_an_upstream_is_watched_for_the_union_of_what_is_wanted_and_no_longer_than_it_is() -> None:
    hubbed = Hubbed()
    one = hubbed.subscribe("one", "m://x")
    await settle()
    two = hubbed.subscribe("two", "m://x")
    await settle()
    assert hubbed.map.watched == [("a", "alice", ["m://x"])]
    hubbed.hub.remove(one)
    await settle()
    assert len(hubbed.map.watched) == 1
    hubbed.hub.remove(two)
    await settle()
    assert hubbed.map.watched[1:] == [("a", "alice", [])]


@jumping
async def test_each_upstream_is_watched_under_its_own_uris() -> None:
    hubbed = Hubbed()
    hubbed.subscribe("one", "m://x", "m://b~x", "nowhere://")
    await settle()
    assert sorted(hubbed.map.watched) == [("a", "alice", ["m://x"]), ("b", "alice", ["m://x"])]


@jumping
async def test_each_principal_is_watched_for_by_itself() -> None:
    hubbed = Hubbed()
    alice = hubbed.subscribe("alice", "m://x")
    hubbed.subscribe("bob", "m://x", principal=BOB)
    await settle()
    assert hubbed.map.watched == [("a", "alice", ["m://x"]), ("a", "bob", ["m://x"])]
    hubbed.hub.remove(alice)
    await settle()
    assert hubbed.map.watched[2:] == [("a", "alice", [])]


@jumping
async def test_changes_while_the_upstream_is_being_told_are_told_once_after_that() -> None:
    hubbed = Hubbed()
    gate = asyncio.Event()

    async def slow() -> None:
        await gate.wait()

    hubbed.map.watching = slow
    hubbed.map.routes |= {f"m://{n}": Target("a", f"m://{n}") for n in range(4)}
    one = hubbed.subscribe("one", "m://x")
    await settle()
    for number in range(4):
        tasks = hubbed.change(one, f"m://{number}")
    assert len(tasks) == 1
    assert len(hubbed.map.watched) == 1
    gate.set()
    await asyncio.wait(tasks)
    assert hubbed.map.watched == [("a", "alice", ["m://x"]), ("a", "alice", ["m://3"])]


@jumping
async def test_an_upstream_that_cannot_be_watched_is_logged_and_ends_nothing() -> None:
    hubbed = Hubbed()

    async def broken() -> None:
        raise OSError("gone")

    hubbed.map.watching = broken
    hubbed.subscribe("one", "m://x")
    await settle()
    assert hubbed.log.events == ["upstream.watch_failed"]
    hubbed.hub.resource_updated("a", ALICE, {"uri": "m://x"})
    assert hubbed.listeners == ["one"]


@jumping
async def test_when_the_catalog_changes_uris_are_watched_where_they_lead_now() -> None:
    hubbed = Hubbed()
    hubbed.subscribe("one", "late://", "m://x")
    await settle()
    hubbed.map.routes["late://"] = Target("b", "late://")
    hubbed.hub.reroute()
    await settle()
    assert hubbed.map.watched[1:] == [("b", "alice", ["late://"])]
    hubbed.hub.reroute()
    await settle()
    assert len(hubbed.map.watched) == 2


@jumping
async def test_a_hub_nobody_listens_to_keeps_nothing() -> None:
    hubbed = Hubbed()
    made = [hubbed.subscribe(str(n), "m://x", kinds=("tools",)) for n in range(5)]
    await settle()
    for each in made:
        hubbed.hub.remove(each)
        hubbed.hub.remove(each)
    await settle()
    assert not hubbed.hub._watched
    assert not hubbed.hub._watchers
    assert not hubbed.hub._watching


# --- telling -------------------------------------------------------------------------------------------


@jumping
async def test_an_update_goes_to_the_principal_whose_session_brought_it_and_to_nobody_else() -> None:
    hubbed = Hubbed()
    hubbed.subscribe("alice", "m://x")
    hubbed.subscribe("bob", "m://x", principal=BOB)
    hubbed.hub.resource_updated("a", BOB, {"uri": "m://x"})
    assert hubbed.listeners == ["bob"]


@jumping
async def test_an_update_of_a_shared_upstream_goes_to_all_who_watch() -> None:
    hubbed = Hubbed()
    hubbed.subscribe("alice", "m://x")
    hubbed.subscribe("bob", "m://x", principal=BOB)
    hubbed.subscribe("carol", "m://b~x", principal=BOB)
    hubbed.hub.resource_updated("a", GATEWAY, {"uri": "m://x"})
    assert sorted(hubbed.listeners) == ["alice", "bob"]


@jumping
async def test_an_update_has_the_uri_the_client_knows_and_all_the_rest() -> None:
    hubbed = Hubbed()
    hubbed.subscribe("one", "m://b~x")
    hubbed.hub.resource_updated("b", ALICE, {"uri": "m://x", "title": "t", "_meta": {"k": 1}})
    assert hubbed.heard == [
        ("one", "notifications/resources/updated", {"uri": "m://b~x", "title": "t", "_meta": {"k": 1}})
    ]


@jumping
async def test_a_server_without_the_upstream_hears_nothing_of_it() -> None:
    hubbed = Hubbed()
    hubbed.subscribe("other", "m://b~x", "m://x", server="other")
    hubbed.hub.resource_updated("b", ALICE, {"uri": "m://x"})
    assert hubbed.heard == []


@pytest.mark.parametrize("uri", [None, 7, [], {}])
@jumping
async def test_an_update_of_no_uri_is_dropped(uri: Any) -> None:
    hubbed = Hubbed()
    hubbed.subscribe("one", "m://x")
    hubbed.hub.resource_updated("a", ALICE, {"uri": uri})
    hubbed.hub.resource_updated("a", ALICE, {})
    assert hubbed.heard == []


@jumping
async def test_changed_lists_go_to_those_who_asked_for_that_kind_of_that_server() -> None:
    hubbed = Hubbed()
    hubbed.subscribe("tools", kinds=("tools",))
    hubbed.subscribe("all", kinds=("tools", "prompts", "resources"))
    hubbed.subscribe("elsewhere", kinds=("tools",), server="other")
    hubbed.hub.lists_changed("default", ["tools", "prompts"])
    assert sorted((name, method) for name, method, _ in hubbed.heard) == [
        ("all", "notifications/prompts/list_changed"),
        ("all", "notifications/tools/list_changed"),
        ("tools", "notifications/tools/list_changed"),
    ]
    hubbed.hub.lists_changed("nobody", ["tools"])


@jumping
async def test_who_leaves_while_being_told_disturbs_nobody() -> None:
    hubbed = Hubbed()
    hubbed.subscribe("two", "m://x", kinds=("tools",))
    leaving = hubbed.subscribe("one", "m://x", kinds=("tools",))
    leaving.deliver = lambda notice: hubbed.hub.remove(leaving)
    hubbed.hub.lists_changed("default", ["tools"])
    hubbed.hub.resource_updated("a", ALICE, {"uri": "m://x"})
    assert hubbed.listeners == ["two", "two"]


@jumping
async def test_closing_ends_every_subscription() -> None:
    hubbed = Hubbed()
    hubbed.subscribe("one", kinds=("tools",))
    hubbed.subscribe("two", "m://x", server="other")
    await hubbed.hub.close()
    assert sorted(hubbed.ended) == ["one", "two"]


async def test_what_many_are_told_is_encoded_once() -> None:
    hubbed = Hubbed()
    told: list[Notice] = []
    for name in ("one", "two"):
        hubbed.subscribe(name, "m://x", kinds=("tools",)).deliver = told.append
    hubbed.hub.lists_changed("default", ["tools"])
    hubbed.hub.resource_updated("a", GATEWAY, {"uri": "m://x"})
    assert len(told) == 4
    assert told[0] is told[1]
    assert told[2] is told[3]
    await hubbed.hub.close()
