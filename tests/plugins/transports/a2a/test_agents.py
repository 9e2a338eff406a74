"""A virtual server as an A2A agent, driven by the clients of the A2A SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from a2a.types import TaskState

from tests.plugins.transports.a2a.peers import BINDINGS, data_of, order, sdk_client, sent, task_of
from tests.plugins.transports.web import Web, gateway

JSON = {"host": "localhost", "content-type": "application/json", "a2a-version": "1.0"}


@pytest_asyncio.fixture
async def web() -> AsyncIterator[Web]:
    async with gateway("", "[transports.a2a]") as made:
        yield made


@pytest.mark.parametrize("path", ["/a2a/default", "/a2a", ""])
async def test_the_card_lists_the_tools_as_skills(web: Web, path: str) -> None:
    answer = web.open("GET", {"host": "localhost"}, path=path + "/.well-known/agent-card.json")
    card = await answer.json()
    assert answer.status == 200
    assert {skill["id"] for skill in card["skills"]} >= {"echo", "progress", "elicit"}
    urls = {each["protocolBinding"]: each["url"] for each in card["supportedInterfaces"]}
    assert urls == {
        "JSONRPC": "http://localhost/a2a/default",
        "HTTP+JSON": "http://localhost/a2a/default/rest",
    }
    assert card["capabilities"]["streaming"] is True
    assert card["name"] == "portico"


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_tool_is_called_by_a_data_part(web: Web, binding: str) -> None:
    async with sdk_client(web, binding=binding, streaming=False) as client:
        task = await task_of(client, order("echo", {"a": [1, 2.5, "x"]}))
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    (artifact,) = task.artifacts
    assert data_of(artifact.parts[0]) == {"a": [1, 2.5, "x"]}
    assert artifact.parts[1].text == "ok"
    assert task.history[0].parts[0].HasField("data")


@pytest.mark.parametrize("binding", BINDINGS)
async def test_progress_is_streamed_before_the_artifact(web: Web, binding: str) -> None:
    async with sdk_client(web, binding=binding) as client:
        events = await sent(client, order("progress", {"n": 2}))
    kinds = [event.WhichOneof("payload") for event in events]
    assert kinds == ["task", *["status_update"] * 3, "artifact_update", "status_update"]
    assert events[0].task.status.state == TaskState.TASK_STATE_SUBMITTED
    assert dict(events[3].status_update.metadata.items()) == {"progress": {"progress": 1.0}}
    assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
