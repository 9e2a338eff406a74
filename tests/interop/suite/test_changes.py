"""What a server tells without having been asked: on every line."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.interop.speaking import META, RpcError
from tests.interop.suite.acts import Part, Unless, act

pytestmark = pytest.mark.asyncio(loop_scope="session")

WATCHED = "test://watched-resource"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"


@contextlib.asynccontextmanager
async def listening(part: Part, **wanted: object) -> AsyncIterator[int]:
    """Have a modern client listen; gives the place in its notifications from which on all is news."""
    client = part.client
    since = len(client.notifications)
    if part.line.client == "legacy":
        yield since
        return
    listen = client.begin("subscriptions/listen", {"notifications": wanted})
    first = await client.told(ACKNOWLEDGED, since)
    assert first["_meta"][META + "subscriptionId"] == listen.id
    try:
        yield since
    finally:
        await client.cancel(listen)


async def nothing_to_listen_on(part: Part) -> None:
    client = part.client
    method, params = (
        ("resources/subscribe", {"uri": WATCHED})
        if part.line.client == "legacy"
        else ("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    )
    with pytest.raises(RpcError) as caught:
        await client.request(method, params)
    assert caught.value.error["code"] == -32601


ALONE = Unless("there is no stream that news could come on", nothing_to_listen_on, ("jsonrpc",))


@act(ALONE)
async def test_who_watches_a_resource_is_told_of_its_updates(part: Part) -> None:
    client = part.client
    async with listening(part, resourceSubscriptions=[WATCHED]) as since:
        if part.line.client == "legacy":
            await client.request("resources/subscribe", {"uri": WATCHED})
        await client.call("test_update_resource")
        update = await client.told("notifications/resources/updated", since)
        assert update["uri"] == WATCHED
        if part.line.client == "legacy":
            await client.request("resources/unsubscribe", {"uri": WATCHED})


@act(ALONE)
@pytest.mark.parametrize("kind", ["tool", "prompt"])
async def test_that_a_list_has_changed_is_told(part: Part, kind: str) -> None:
    client = part.client
    async with listening(part, **{f"{kind}sListChanged": True}) as since:
        await client.call(f"test_trigger_{kind}_change")
        await client.told(f"notifications/{kind}s/list_changed", since)


async def not_told(part: Part) -> None:
    """A legacy client cannot choose what it is told."""
    async with listening(part) as since:
        await part.client.call("test_trigger_tool_change")
        await part.client.told("notifications/tools/list_changed", since)


@act(ALONE, Unless("a legacy client is told of every list", not_told, client="legacy"))
async def test_a_modern_client_is_told_of_nothing_it_has_not_asked_for(part: Part) -> None:
    client = part.client
    async with listening(part, promptsListChanged=True) as since:
        await client.call("test_trigger_tool_change")
        await client.call("test_trigger_prompt_change")
        await client.told("notifications/prompts/list_changed", since)
    assert client.heard("notifications/tools/list_changed", since) == []
