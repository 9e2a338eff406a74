"""The gateway's own prompts and resources over sockets: managed by the API, seen by clients of the SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.subscriptions import ResourceUpdated
from mcp.shared.exceptions import MCPDeprecationWarning

from tests.kernel.cli.test_with_a_gateway import gateway

NOTE = {"uri": "note://one", "text": "remember"}
REVIEW = {
    "title": "Review",
    "arguments": [
        {"name": "change", "required": True},
        {"name": "tone", "values": ["friendly", "strict"], "closed": True, "default": "friendly"},
    ],
    "messages": [
        {"text": "Be {{ tone }}.{% for line in change|lines %}\n> {{ line }}{% endfor %}"},
        {"type": "resource", "source": "one"},
        {"type": "image", "data": "iVBORw0KGgo="},
        {"role": "assistant", "text": "I will."},
    ],
}
CARD = {"uri": "card://{id}", "text": "Card {{ id }}", "variables": {"id": {"values": ["1", "12", "2"]}}}


class Api:
    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def put(self, path: str, config: Any) -> None:
        answer = await self.http.put(f"/api/v1/{path}", json={"config": config})
        assert answer.status_code in (200, 201), answer.text


@asynccontextmanager
async def served(shelf: str) -> AsyncIterator[tuple[str, Api]]:
    async with gateway(shelf) as url, httpx2.AsyncClient(base_url=url) as http:
        api = Api(http)
        await api.put("resources/one", NOTE)
        await api.put("resources/card", CARD)
        await api.put("prompts/review", REVIEW)
        yield f"{url}/mcp", api


def text(result: Any) -> str:
    return str(result.contents[0].text)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_client_uses_them(mode: Any, request: pytest.FixtureRequest) -> None:
    async with served(str(request.node.name)) as (url, _), Client(url, mode=mode) as client:
        capabilities = client.server_capabilities
        assert capabilities.resources is not None
        assert capabilities.resources.subscribe
        assert capabilities.completions is not None
        (listed,) = (await client.list_prompts()).prompts
        assert [argument.name for argument in listed.arguments or ()] == ["change", "tone"]
        got = await client.get_prompt("review", {"change": "- a\n+ {{ b }}"})
        assert [message.content.type for message in got.messages] == ["text", "resource", "image", "text"]
        first = got.messages[0].content
        assert isinstance(first, types.TextContent)
        assert first.text == "Be friendly.\n> - a\n> + {{ b }}"
        ref = types.PromptReference(type="ref/prompt", name="review")
        found = await client.complete(ref, {"name": "tone", "value": "s"})
        assert found.completion.values == ["strict"]
        template = types.ResourceTemplateReference(type="ref/resource", uri="card://{id}")
        found = await client.complete(template, {"name": "id", "value": "1"})
        assert found.completion.values == ["1", "12"]
        assert text(await client.read_resource("card://12")) == "Card 12"
        (resource,) = (await client.list_resources()).resources
        assert (resource.size, resource.mime_type) == (8, "text/plain")


async def test_a_modern_client_that_listens_reads_what_is_new(request: pytest.FixtureRequest) -> None:
    async with (
        served(str(request.node.name)) as (url, api),
        Client(url) as client,
        client.listen(resource_subscriptions=["note://one"]) as events,
    ):
        for number in range(2):
            await api.put("resources/one", {**NOTE, "text": f"{number}"})
            async with asyncio.timeout(10):
                async for event in events:
                    if isinstance(event, ResourceUpdated):
                        break
            assert text(await client.read_resource("note://one")) == f"{number}"


async def test_a_legacy_client_that_subscribes_reads_what_is_new(request: pytest.FixtureRequest) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hears(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            await heard.put(str(message.params.uri))

    async with (
        served(str(request.node.name)) as (url, api),
        Client(url, mode="legacy", message_handler=hears) as client,
    ):
        with pytest.warns(MCPDeprecationWarning, match="resources/subscribe"):
            await client.subscribe_resource("card://7")
        await api.put("resources/card", {**CARD, "text": "The card {{ id }}"})
        async with asyncio.timeout(10):
            assert await heard.get() == "card://7"
        assert text(await client.read_resource("card://7")) == "The card 7"
