"""Two workers: a task lives at one, and its client reaches the other."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import TaskNotFoundError

from tests.plugins.transports.a2a.peers import BINDINGS, order, saying, sdk_client, sent, task_of
from tests.plugins.transports.kit import happened
from tests.plugins.transports.test_http_workers import Pair, worker


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        async with AsyncExitStack() as stack:
            made = [
                await stack.enter_async_context(worker(Path(folder), node, "[transports.a2a]"))
                for node in ("aa", "bb")
            ]
            yield Pair(*made)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_task_is_found_through_the_other_worker(pair: Pair, binding: str) -> None:
    async with (
        sdk_client(pair.owner.web, binding=binding, streaming=False) as here,
        sdk_client(pair.other.web, binding=binding, streaming=False) as there,
    ):
        done = await task_of(here, order("echo", {"n": 1}))
        assert await there.get_task(GetTaskRequest(id=done.id)) == done
        asked = await task_of(here, order("elicit"))
        assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        answered = await task_of(there, saying({"name": "Ada"}, task_id=asked.id))
        assert answered.status.state == TaskState.TASK_STATE_COMPLETED
        assert pair.other.web.upstream.calls == []
    assert [each["kind"] for each in pair.forwarded] == ["a2a", "a2a"]


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_task_is_followed_and_cancelled_through_the_other_worker(pair: Pair, binding: str) -> None:
    async with (
        sdk_client(pair.owner.web, binding=binding, streaming=False) as here,
        sdk_client(pair.other.web, binding=binding) as there,
    ):
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


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_list_shows_the_tasks_of_every_worker_in_order(pair: Pair, binding: str) -> None:
    async with (
        sdk_client(pair.owner.web, binding=binding, streaming=False) as here,
        sdk_client(pair.other.web, binding=binding, streaming=False) as there,
    ):
        made = [
            (await task_of(client, order("echo", {"n": n}))).id
            for n, client in enumerate([here, there, there, here, there])
        ]
        shown: list[str] = []
        token = ""
        while True:
            page = await here.list_tasks(ListTasksRequest(page_size=2, page_token=token))
            assert page.total_size == 5
            stamps = [task.status.timestamp.ToMilliseconds() for task in page.tasks]
            assert stamps == sorted(stamps, reverse=True)
            shown += [task.id for task in page.tasks]
            token = page.next_page_token
            if not token:
                break
        assert sorted(shown) == sorted(made)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_the_tasks_of_a_worker_that_has_gone_are_not_found(pair: Pair, binding: str) -> None:
    async with (
        sdk_client(pair.owner.web, binding=binding, streaming=False) as here,
        sdk_client(pair.other.web, binding=binding) as there,
    ):
        task = await task_of(here, order("echo"))
        pair.owner.die()
        with pytest.raises(TaskNotFoundError):
            await there.get_task(GetTaskRequest(id=task.id))
        with pytest.raises(TaskNotFoundError):
            await sent(there, saying("more", task_id=task.id))
        assert not (await there.list_tasks(ListTasksRequest())).tasks
