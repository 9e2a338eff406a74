"""The gateway's own prompts and resources over sockets: managed by the API, seen by clients of the SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.subscriptions import ResourceUpdated
from mcp.shared.exceptions import MCPDeprecationWarning

from tests.kernel.cli.running import gateway

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


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a gateway keeps, it keeps beside its configuration."""
    monkeypatch.chdir(tmp_path)


class Api:
    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def put(self, path: str, config: Any) -> None:
        answer = await self.http.put(f"/api/v1/{path}", json={"config": config})
        assert answer.status_code in (200, 201), answer.text


@asynccontextmanager
async def served() -> AsyncIterator[tuple[str, Api]]:
    async with gateway() as url, httpx2.AsyncClient(base_url=url) as http:
        api = Api(http)
        await api.put("resources/one", NOTE)
        await api.put("resources/card", CARD)
        await api.put("prompts/review", REVIEW)
        yield f"{url}/mcp", api


def text(result: Any) -> str:
    return str(result.contents[0].text)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_client_uses_them(mode: Any) -> None:
    async with served() as (url, _), Client(url, mode=mode) as client:
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


async def test_a_modern_client_that_listens_reads_what_is_new() -> None:
    async with (
        served() as (url, api),
        Client(url) as client,
        client.listen(resource_subscriptions=["note://one"]) as events,
    ):
        for number in range(2):
            await api.put("resources/one", {**NOTE, "text": f"{number}"})
            async with asyncio.timeout(30):
                async for event in events:
                    if isinstance(event, ResourceUpdated):
                        break
            assert text(await client.read_resource("note://one")) == f"{number}"


async def test_a_legacy_client_that_subscribes_reads_what_is_new() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hears(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            await heard.put(str(message.params.uri))

    async with (
        served() as (url, api),
        Client(url, mode="legacy", message_handler=hears) as client,
    ):
        with pytest.warns(MCPDeprecationWarning, match="resources/subscribe"):
            await client.subscribe_resource("card://7")
        await api.put("resources/card", {**CARD, "text": "The card {{ id }}"})
        async with asyncio.timeout(30):
            assert await heard.get() == "card://7"
        assert text(await client.read_resource("card://7")) == "The card 7"


async def test_the_api_says_what_is_wrong_with_one_and_where() -> None:
    async with served() as (_, api):
        for path, config, place in (
            ("resources/large", {"uri": "note://large", "text": "x" * 1_000_001}, "resources.large.text"),
            ("resources/card", {**CARD, "text": "{{ ide }}"}, "resources.card.text"),
            (
                "prompts/review",
                {**REVIEW, "messages": [{"text": "{{ '' .__class__ }}"}]},
                "prompts.review.messages[0].text",
            ),
        ):
            answer = await api.http.put(f"/api/v1/{path}", json={"config": config})
            assert answer.status_code == 422
            assert [each["path"] for each in answer.json()["errors"]] == [place]
        answer = await api.http.put("/api/v1/resources/large", json={"config": {"text": "x" * 5_000_000}})
        assert answer.status_code == 413
        trial = {"arguments": {"change": "+ a", "tone": "strict"}}
        tried = (await api.http.post("/api/v1/prompts/review/render", json=trial)).json()
        assert tried["messages"][0]["content"]["text"] == "Be strict.\n> + a"
