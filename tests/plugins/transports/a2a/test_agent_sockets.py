"""Agents on real sockets, on both lanes of the server; and the example of the documentation."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from a2a.client import ClientConfig, create_client
from a2a.types import CancelTaskRequest, SubscribeToTaskRequest, TaskState

from portico.testing import running_gateway
from tests.plugins.transports.a2a.peers import BINDINGS, data_of, order, sdk_client, sent, task_of
from tests.plugins.transports.kit import happened
from tests.plugins.transports.listening import listening
from tests.plugins.transports.web import Web, gateway

EXAMPLES = Path(__file__).parents[4] / "examples"


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("whole", [True, False], ids=["without ASGI", "ASGI"])
async def test_agents_are_served_on_real_sockets(binding: str, whole: bool) -> None:
    async with (
        gateway("", "[transports.a2a]") as web,
        listening(web, whole=whole) as (_, port),
        httpx.AsyncClient(timeout=10) as http,
    ):
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding])
        async with await create_client(f"http://127.0.0.1:{port}/a2a", client_config=config) as client:
            events = await sent(client, order("progress", {"n": 2}))
            assert [event.WhichOneof("payload") for event in events] == [
                "task", *["status_update"] * 3, "artifact_update", "status_update",
            ]  # fmt: skip
            assert data_of(events[-2].artifact_update.artifact.parts[0]) == {"n": 2}
            states = []
            async for event in client.send_message(order("hang")):
                if event.HasField("task"):
                    await happened(web.upstream.begun)
                    async for other in client.subscribe(SubscribeToTaskRequest(id=event.task.id)):
                        if other.HasField("task"):
                            await client.cancel_task(CancelTaskRequest(id=event.task.id))
                elif event.HasField("status_update"):
                    states.append(event.status_update.status.state)
            assert states == [TaskState.TASK_STATE_WORKING, TaskState.TASK_STATE_CANCELED]


async def test_the_example_is_an_agent_with_the_skills_of_its_server() -> None:
    config = (EXAMPLES / "agents.toml").read_text("utf-8")
    async with running_gateway(config, base=EXAMPLES) as running:
        web = Web(running.gateway, None, running.log)  # type: ignore[arg-type]
        async with asyncio.timeout(60):
            while "list_notes" not in await running.names():
                await asyncio.sleep(0.05)
        async with sdk_client(web, streaming=False) as client:
            task = await task_of(client, order("list_notes"))
        assert task.status.state == TaskState.TASK_STATE_COMPLETED
        assert "garden" in str(task.artifacts[0])
