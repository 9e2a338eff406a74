"""Modern `subscriptions/listen` over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from portico.api import GATEWAY, META_SUBSCRIPTION, Json
from portico.testing import running_gateway
from tests.plugins.transports import scripted
from tests.plugins.transports.web import Answer, Web

ALL: Json = {
    "toolsListChanged": True,
    "promptsListChanged": True,
    "resourcesListChanged": True,
    "resourceSubscriptions": ["test://one"],
}


def listen(web: Web, wanted: Any, ident: Any = 1) -> Answer:
    return web.modern("subscriptions/listen", {"notifications": wanted}, ident=ident)


def tag(message: Json) -> Any:
    return message["params"]["_meta"][META_SUBSCRIPTION]


def updated(web: Web, uri: str = "test://one") -> None:
    web.upstream.wiring.resource_updated("one", GATEWAY, {"uri": uri})


async def test_the_acknowledgement_comes_first_and_says_what_is_honoured(web: Web) -> None:
    stream = listen(web, {**ALL, "resourceSubscriptions": ["test://one", "nowhere"], "later": True})
    first = await stream.message()
    assert first["method"] == "notifications/subscriptions/acknowledged"
    honoured = first["params"]["notifications"]
    assert set(honoured) == set(ALL)
    assert "test://one" in honoured["resourceSubscriptions"]
    assert stream.headers["content-type"] == "text/event-stream"
    assert stream.headers["x-accel-buffering"] == "no"


async def test_the_upstream_knows_before_the_acknowledgement(web: Web) -> None:
    await listen(web, ALL).message()
    assert list(web.upstream.watched.values()) == [frozenset({"test://one"})]


@pytest.mark.parametrize("ident", [7, "7", 0])
async def test_every_message_is_tagged_with_the_id_and_its_type(web: Web, ident: Any) -> None:
    stream = listen(web, ALL, ident)
    assert tag(await stream.message()) == ident
    updated(web)
    message = await stream.message()
    assert message["params"]["uri"] == "test://one"
    assert tag(message) == ident
    assert type(tag(message)) is type(ident)


async def test_changed_lists_are_told_to_who_wants_them(web: Web) -> None:
    tools, prompts = listen(web, {"toolsListChanged": True}, 1), listen(web, {"promptsListChanged": True}, 2)
    await tools.message()
    await prompts.message()
    web.upstream.wiring.offer_changed("one", ["tools", "prompts"])
    assert (await tools.message())["method"] == "notifications/tools/list_changed"
    message = await prompts.message()
    assert (message["method"], tag(message)) == ("notifications/prompts/list_changed", 2)


async def test_an_unwanted_update_is_not_told(web: Web) -> None:
    stream = listen(web, {"toolsListChanged": True})
    await stream.message()
    updated(web)
    web.upstream.wiring.offer_changed("one", ["tools"])
    assert (await stream.message())["method"] == "notifications/tools/list_changed"


async def test_leaving_ends_the_subscription(web: Web) -> None:
    stream = listen(web, ALL)
    await stream.message()
    await stream.gone()
    while web.upstream.watched != {next(iter(web.upstream.watched)): frozenset()}:
        await listen(web, {}).message()
    hub = web.gateway.plane.hub
    assert all(not each.kinds for each in hub._subscriptions["default"])


async def test_leaving_ends_no_other_subscription(web: Web) -> None:
    stays, leaves = listen(web, ALL, 1), listen(web, ALL, 2)
    await stays.message()
    await leaves.message()
    await leaves.gone()
    updated(web)
    assert tag(await stays.message()) == 1


async def test_progress_never_comes_on_a_listen_stream(web: Web) -> None:
    stream = listen(web, ALL)
    await stream.message()
    await web.call("progress", {"n": 2}, meta={"progressToken": 1}).rest()
    updated(web)
    assert (await stream.message())["method"] == "notifications/resources/updated"


async def test_a_gateway_that_ends_ends_its_streams_with_the_result() -> None:
    async with running_gateway('[upstreams.one]\nuse = "scripted"', plugins=[scripted]) as running:
        upstream: Any = running.gateway.plane.upstreams["one"]
        web = Web(running.gateway, upstream, running.log)
        stream = listen(web, ALL, "last")
        await stream.message()
        await running.gateway.plane.close(running.gateway.parking)
        (result,) = await stream.rest()
        assert result["id"] == "last"
        assert result["result"] == {"resultType": "complete", "_meta": {META_SUBSCRIPTION: "last"}}
        await stream.over()


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        [],
        "all",
        {"resourceSubscriptions": "test://one"},
        {"resourceSubscriptions": [1]},
        {"resourceSubscriptions": None},
        {"resourceSubscriptions": ["test://one"] * 2000},
    ],
)
async def test_a_filter_that_is_none_is_refused(web: Web, wanted: Any) -> None:
    answer = listen(web, wanted)
    assert ((await answer.json())["error"]["code"], answer.status) == (-32602, 400)


async def test_a_listener_that_does_not_read_costs_a_bounded_amount(web: Web) -> None:
    stream = listen(web, ALL)
    await stream.message()
    stream.reading.clear()
    for _ in range(10_000):
        updated(web)
    (subscription,) = web.gateway.plane.hub._subscriptions["default"]
    listener: Any = getattr(subscription.deliver, "__self__")  # noqa: B009 - functions have none, methods do
    assert len(listener._sink._events) <= 2048
