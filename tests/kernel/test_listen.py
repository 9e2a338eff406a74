from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portico._core.protocol.stream import Stream
from portico._core.requests.listen import MAX_URIS, Listen
from portico.api import INVALID_PARAMS, META_SUBSCRIPTION, Json, Principal, Refused
from tests.kernel.doubles import (
    ALICE,
    BOB,
    StubUpstream,
    World,
    frames_of,
    jumping,
    modern_params,
    offer,
    settle,
)

ACK = "notifications/subscriptions/acknowledged"
ALL: Json = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}


class Listening(World):
    def __init__(self) -> None:
        self.up = StubUpstream(offer("t", resources=["m://x", "m://y"]))
        super().__init__({"a": self.up})

    def listen(
        self, wanted: Any, ident: str | int = "id-1", principal: Principal = ALICE
    ) -> tuple[Listen, Stream]:
        params = modern_params({"notifications": wanted})
        exchange = self.endpoint.modern_exchange("subscriptions/listen", params, principal, {})
        stream = Stream()
        return Listen(self.endpoint, exchange, ident, stream), stream

    async def opened(self, wanted: Any, ident: str | int = "id-1", principal: Principal = ALICE) -> Stream:
        listen, stream = self.listen(wanted, ident, principal)
        await listen.open()
        return stream

    async def change_tools(self, *names: str) -> None:
        self.up.offer = offer(*names, resources=["m://x", "m://y"])
        self.plane.offer_changed("a")
        await settle()


@jumping
async def test_the_acknowledgement_comes_first_and_names_what_is_honoured() -> None:
    stream = await Listening().opened({**ALL, "resourceSubscriptions": ["m://x", "zzz:"], "taskIds": ["1"]})
    (ack,) = frames_of(stream)
    assert ack == {
        "jsonrpc": "2.0",
        "method": ACK,
        "params": {
            "notifications": {
                "toolsListChanged": True,
                "resourcesListChanged": True,
                "resourceSubscriptions": ["m://x", "zzz:"],
            },
            "_meta": {META_SUBSCRIPTION: "id-1"},
        },
    }


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"toolsListChanged": False},
        {"toolsListChanged": "yes"},
        {"promptsListChanged": True},
        {"resourceSubscriptions": []},
    ],
)
@jumping
async def test_what_is_not_asked_for_or_not_there_is_not_honoured(wanted: Json) -> None:
    world = Listening()
    stream = await world.opened(wanted)
    assert frames_of(stream)[0]["params"]["notifications"] == {}
    await world.change_tools("t", "new")
    assert len(frames_of(stream)) == 1


@jumping
async def test_resources_of_upstreams_that_cannot_be_watched_are_not_honoured() -> None:
    world = Listening()
    world.up.offer = offer("t", resources=["m://x"], capabilities={"resources": {}})
    stream = await world.opened({"resourceSubscriptions": ["m://x"]})
    assert frames_of(stream)[0]["params"]["notifications"] == {}


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        [],
        "x",
        {"resourceSubscriptions": None},
        {"resourceSubscriptions": "m://x"},
        {"resourceSubscriptions": [7]},
    ],
)
@jumping
async def test_a_filter_that_is_none_is_invalid(wanted: Any) -> None:
    with pytest.raises(Refused) as caught:
        Listening().listen(wanted)
    assert caught.value.code == INVALID_PARAMS


@jumping
async def test_there_is_a_limit_to_what_one_subscription_watches() -> None:
    world = Listening()
    world.listen({"resourceSubscriptions": ["m://x"] * MAX_URIS})
    with pytest.raises(Refused):
        world.listen({"resourceSubscriptions": ["m://x"] * (MAX_URIS + 1)})


@pytest.mark.parametrize("ident", [7, "7", 0, "", 10**30])
@jumping
async def test_every_frame_is_tagged_with_the_id_of_the_request_type_and_all(ident: str | int) -> None:
    world = Listening()
    stream = await world.opened({**ALL, "resourceSubscriptions": ["m://x"]}, ident)
    await world.change_tools("t", "new")
    world.plane.resource_updated("a", ALICE, {"uri": "m://x", "_meta": {"k": 1}})
    await world.plane.close(world.parking)
    frames = frames_of(stream)
    assert [frame.get("method") for frame in frames] == [
        ACK, "notifications/tools/list_changed", "notifications/resources/updated", None,
    ]  # fmt: skip
    tags = [
        {**frame.get("params", {}), **frame.get("result", {})}["_meta"][META_SUBSCRIPTION] for frame in frames
    ]
    assert [(tag, type(tag)) for tag in tags] == [(ident, type(ident))] * 4
    assert frames[2]["params"]["_meta"]["k"] == 1


@jumping
async def test_updates_that_come_while_it_opens_come_after_the_acknowledgement() -> None:
    world = Listening()
    gate = asyncio.Event()

    async def slow() -> None:
        await gate.wait()

    world.up.watching = slow
    listen, stream = world.listen({"resourceSubscriptions": ["m://x"]})
    opening = asyncio.ensure_future(listen.open())
    await settle()
    world.plane.resource_updated("a", ALICE, {"uri": "m://x"})
    await settle()
    assert frames_of(stream) == []
    gate.set()
    await opening
    assert [frame["method"] for frame in frames_of(stream)] == [ACK, "notifications/resources/updated"]


@jumping
async def test_an_upstream_that_does_not_answer_holds_the_acknowledgement_up_only_for_a_while() -> None:
    world = Listening()
    world.up.watching = lambda: asyncio.get_running_loop().create_future()
    before = asyncio.get_running_loop().time()
    stream = await world.opened({"resourceSubscriptions": ["m://x"]})
    assert frames_of(stream)[0]["method"] == ACK
    assert asyncio.get_running_loop().time() - before == pytest.approx(5, abs=0.1)


@jumping
async def test_each_subscription_of_a_client_hears_what_it_asked_for() -> None:
    world = Listening()
    tools = await world.opened({"toolsListChanged": True}, 1)
    x = await world.opened({"resourceSubscriptions": ["m://x"]}, 2)
    y = await world.opened({"resourceSubscriptions": ["m://y"]}, 3, BOB)
    await world.change_tools("t", "new")
    world.plane.resource_updated("a", ALICE, {"uri": "m://x"})
    world.plane.resource_updated("a", ALICE, {"uri": "m://y"})
    assert [len(frames_of(stream)) for stream in (tools, x, y)] == [2, 2, 1]


@jumping
async def test_our_end_is_a_result_and_then_nothing() -> None:
    world = Listening()
    stream = await world.opened({**ALL, "resourceSubscriptions": ["m://x"]}, 5)
    await world.plane.close(world.parking)
    last = frames_of(stream)[-1]
    assert last == {
        "jsonrpc": "2.0",
        "id": 5,
        "result": {"resultType": "complete", "_meta": {META_SUBSCRIPTION: 5}},
    }
    assert stream.ended
    world.plane.hub.lists_changed("default", ["tools"])
    assert frames_of(stream)[-1] == last


@jumping
async def test_a_client_that_has_gone_is_no_longer_watched_for() -> None:
    world = Listening()
    listen, stream = world.listen({"toolsListChanged": True, "resourceSubscriptions": ["m://x"]})
    await listen.open()
    listen.close()
    listen.close()
    await settle()
    assert world.up.watched == [(ALICE, frozenset({"m://x"})), (ALICE, frozenset())]
    await world.change_tools("t", "new")
    assert len(frames_of(stream)) == 1


@jumping
async def test_it_is_no_call_and_knows_no_deadline() -> None:
    world = Listening()
    stream = await world.opened(ALL)
    await asyncio.sleep(10_000)
    assert not stream.ended
    assert not world.load.calls
