"""Two workers and the gRPC binding: a task lives at one, and its client's connection is to the other."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from a2a.client import Client, ClientConfig, create_client
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError

from tests.plugins.transports.a2a.peers import order, saying, sent, task_of
from tests.plugins.transports.kit import happened
from tests.plugins.transports.test_http_workers import Pair, Worker, worker

GRPC = '[transports.a2a.grpc]\nlisten = "127.0.0.1:0"\ndrain = 0.1\n'


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        async with AsyncExitStack() as stack:
            made = [
                await stack.enter_async_context(worker(Path(folder), node, GRPC)) for node in ("aa", "bb")
            ]
            yield Pair(*made)


@asynccontextmanager
async def client_of(one: Worker, *, streaming: bool = False) -> AsyncIterator[Client]:
    target = one.web.gateway.transports["a2a"].grpc_address  # type: ignore[attr-defined]
    card = AgentCard(
        capabilities=AgentCapabilities(streaming=True),
        supported_interfaces=[AgentInterface(url=target, protocol_binding="GRPC", protocol_version="1.0")],
    )
    config = ClientConfig(
        supported_protocol_bindings=["GRPC"],
        streaming=streaming,
        grpc_channel_factory=grpc.aio.insecure_channel,
    )
    async with await create_client(card, client_config=config) as client:
        yield client


async def test_a_task_is_found_and_answered_through_the_other_worker(pair: Pair) -> None:
    async with client_of(pair.owner) as here, client_of(pair.other) as there:
        done = await task_of(here, order("echo", {"n": 1}))
        assert await there.get_task(GetTaskRequest(id=done.id)) == done
        with pytest.raises(TaskNotCancelableError):
            await there.cancel_task(CancelTaskRequest(id=done.id))
        asked = await task_of(here, order("elicit"))
        assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        answered = await task_of(there, saying({"name": "Ada"}, task_id=asked.id))
        assert answered.status.state == TaskState.TASK_STATE_COMPLETED
        assert pair.other.web.upstream.calls == []
        listed = await there.list_tasks(ListTasksRequest())
        assert {task.id for task in listed.tasks} == {done.id, asked.id}
    assert [each["kind"] for each in pair.forwarded] == ["a2a", "a2a", "a2a"]


async def test_a_task_is_followed_and_cancelled_through_the_other_worker(pair: Pair) -> None:
    async with client_of(pair.owner) as here, client_of(pair.other, streaming=True) as there:
        request = order("hang")
        request.configuration.return_immediately = True
        task = await task_of(here, request)
        await happened(pair.owner.web.upstream.begun)
        states = []
        async for event in there.subscribe(SubscribeToTaskRequest(id=task.id)):
            if event.WhichOneof("payload") == "task":
                await there.cancel_task(CancelTaskRequest(id=task.id))
            else:
                states.append(event.status_update.status.state)
        assert states == [TaskState.TASK_STATE_CANCELED]
        await happened(pair.owner.web.upstream.cancelled)


async def test_the_tasks_of_a_worker_that_has_gone_are_not_found(pair: Pair) -> None:
    async with client_of(pair.owner) as here, client_of(pair.other, streaming=True) as there:
        task = await task_of(here, order("echo"))
        pair.owner.die()
        with pytest.raises(TaskNotFoundError):
            await there.get_task(GetTaskRequest(id=task.id))
        with pytest.raises(TaskNotFoundError):
            await sent(there, saying("more", task_id=task.id))
