"""Behind a gateway, tasks are those of who began them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from a2a.client import AgentCardResolutionError
from a2a.types import (
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import TaskNotFoundError

from portico.testing import running_gateway
from tests.plugins.transports.a2a.behind import (
    ALICE,
    BINDINGS,
    BOB,
    behind,
    listening,
    saying,
    sent,
    task_of,
)

each_binding = pytest.mark.parametrize("binding", BINDINGS)


@each_binding
async def test_a_task_of_somebody_else_is_not_found_and_the_agent_is_not_asked(
    tmp_path: Path, binding: str
) -> None:
    async with (
        behind(tmp_path, people=True, upstream='push_urls = "any"', push=True) as found,
        found.client(binding, ALICE) as alice,
        found.client(binding, BOB, streaming=True) as bob,
    ):
        task = await task_of(alice, saying("tck-input-required"))
        asked = len(found.agent.script.asked)
        hook = TaskPushNotificationConfig(task_id=task.id, url="https://example.com/")
        named = {"task_id": task.id, "id": "h"}
        tries: list[Any] = [
            bob.get_task(GetTaskRequest(id=task.id)),
            bob.cancel_task(CancelTaskRequest(id=task.id)),
            sent(bob, saying("tck-complete-task", task_id=task.id)),
            sent(bob, saying("tck-complete-task", context_id=task.context_id)),
            sent(bob, saying("tck-complete-task", reference_task_ids=[task.id])),
            anext(bob.subscribe(SubscribeToTaskRequest(id=task.id))),  # type: ignore[arg-type]
            bob.create_task_push_notification_config(hook),
            bob.get_task_push_notification_config(GetTaskPushNotificationConfigRequest(**named)),
            bob.list_task_push_notification_configs(ListTaskPushNotificationConfigsRequest(task_id=task.id)),
            bob.delete_task_push_notification_config(DeleteTaskPushNotificationConfigRequest(**named)),
        ]
        for each in tries:
            with pytest.raises(TaskNotFoundError):
                await each
        assert len(found.agent.script.asked) == asked
        mine = await alice.get_task(GetTaskRequest(id=task.id))
        assert mine.status.state == TaskState.TASK_STATE_INPUT_REQUIRED


@each_binding
async def test_lists_have_ones_own_tasks_and_do_not_say_how_many_others_there_are(
    tmp_path: Path, binding: str
) -> None:
    async with (
        behind(tmp_path, people=True) as found,
        found.client(binding, ALICE) as alice,
        found.client(binding, BOB) as bob,
    ):
        hers = [(await task_of(alice, saying("tck-complete-task"))).id for _ in range(2)]
        assert (await bob.list_tasks(ListTasksRequest())).total_size == 0
        his = (await task_of(bob, saying("tck-complete-task"))).id
        hers += [(await task_of(alice, saying("tck-complete-task"))).id for _ in range(3)]
        page = await alice.list_tasks(ListTasksRequest())
        assert ([each.id for each in page.tasks], page.total_size) == (hers[::-1], 5)
        page = await bob.list_tasks(ListTasksRequest(page_size=1))
        assert ([each.id for each in page.tasks], page.total_size) == ([his], 1)
        shown: list[str] = []
        token = ""
        while True:
            page = await alice.list_tasks(ListTasksRequest(page_size=2, page_token=token))
            shown += [each.id for each in page.tasks]
            assert page.total_size == 5
            token = page.next_page_token
            if not token:
                break
        assert shown == hers[::-1]


async def test_a_task_begun_without_the_gateway_is_nobodys(tmp_path: Path) -> None:
    async with behind(tmp_path) as found, found.client() as client:
        async with found.client(url=found.agent.url) as direct:
            task = await task_of(direct, saying("tck-input-required"))
            assert (await direct.get_task(GetTaskRequest(id=task.id))).id == task.id
        with pytest.raises(TaskNotFoundError):
            await client.get_task(GetTaskRequest(id=task.id))
        assert not (await client.list_tasks(ListTasksRequest())).tasks


async def test_tasks_keep_their_owner_when_the_gateway_starts_again(tmp_path: Path) -> None:
    async with behind(tmp_path, people=True) as found:
        async with found.client(token=ALICE) as alice:
            task = await task_of(alice, saying("tck-input-required"))
        config = f"""
            [auth.people]
            use = "token"
            tokens = {{ alice = "{ALICE}", bob = "{BOB}" }}
            [upstreams.scripted]
            use = "a2a"
            url = "{found.agent.url}"
            [servers.default]
            upstreams = ["scripted"]
            auth = ["people"]
            [transports.a2a]
        """
        async with running_gateway(config, base=tmp_path) as running, listening(running) as url:
            again = f"{url}/a2a/default/agents/scripted"
            async with found.client(token=ALICE, url=again) as alice:
                assert (await alice.get_task(GetTaskRequest(id=task.id))).id == task.id
            async with found.client(token=BOB, url=again) as bob:
                with pytest.raises(TaskNotFoundError):
                    await bob.get_task(GetTaskRequest(id=task.id))


async def test_a_context_of_ones_own_may_go_on_and_a_new_one_be_named(tmp_path: Path) -> None:
    async with (
        behind(tmp_path, people=True) as found,
        found.client(token=ALICE) as alice,
        found.client(token=BOB) as bob,
    ):
        first = await task_of(alice, saying("tck-complete-task", context_id="holiday"))
        assert first.context_id == "holiday"
        second = await task_of(alice, saying("tck-complete-task", context_id="holiday"))
        assert second.context_id == "holiday"
        with pytest.raises(TaskNotFoundError):
            await sent(bob, saying("tck-complete-task", context_id="holiday"))


@pytest.mark.parametrize("token", ["", "wrong-but-long-enough"])
async def test_who_is_not_let_in_sees_neither_card_nor_agent(tmp_path: Path, token: str) -> None:
    async with behind(tmp_path, people=True) as found:
        with pytest.raises(AgentCardResolutionError) as caught:
            await found.card(token)
        assert caught.value.status_code == 401
        card = await found.card(ALICE)
        assert card.security_schemes["http"].http_auth_security_scheme.scheme == "Bearer"
        assert [list(each.schemes) for each in card.security_requirements] == [["http"]]
