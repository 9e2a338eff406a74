"""Work that takes its time: tasks for those who know them (SEP-2663), an answer at the end for all others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.interop.client_wrapper import answer
from tests.interop.fixture.tasks import ENDED, EXTENSION
from tests.interop.speaking import PATIENCE, Json, RpcError, Speaker
from tests.interop.suite.acts import Part, Unless, act
from tests.interop.suite.stage import ALL
from tests.interop.suite.test_questions import ALONE

pytestmark = pytest.mark.asyncio(loop_scope="session")

KNOWS: Json = {**ALL, "extensions": {EXTENSION: {}}}


def said(result: Json) -> str:
    return str(result["content"][0]["text"])


def knowing(part: Part) -> Speaker:
    """A client that knows tasks."""
    return part.another(capabilities=KNOWS)


async def begun(client: Speaker, name: str, arguments: Json | None = None) -> Json:
    """The task that a call is answered with."""
    made = await client.call(name, arguments)
    assert (made["resultType"], made["status"]) == ("task", "working")
    return made


async def followed(client: Speaker, made: Json, until: str) -> Json:
    """Ask for a task until it has a status."""
    async with asyncio.timeout(PATIENCE):
        while True:
            state = await client.request("tasks/get", {"taskId": made["taskId"]})
            assert state["taskId"] == made["taskId"]
            if state["status"] == until:
                return state
            await asyncio.sleep(made["pollIntervalMs"] / 1000)


async def no_task_is_made(part: Part) -> None:
    """The answer comes when it is there, and there is nothing to look at before."""
    async with knowing(part) as client:
        result = await client.call("test_task", {"text": "x"})
        assert said(result) == "Done: x"
        assert "taskId" not in result
        with pytest.raises(RpcError) as caught:
            await client.request("tasks/get", {"taskId": "x"})
        assert caught.value.error["code"] == -32602


NONE = (
    Unless("the revisions before 2026-07-28 have no such tasks", no_task_is_made, client="legacy"),
    Unless("a legacy server makes none", no_task_is_made, server="legacy"),
)


@act(*NONE)
async def test_a_task_is_looked_at_until_it_is_done(part: Part) -> None:
    async with knowing(part) as client:
        made = await begun(client, "test_task", {"text": part.key("work")})
        state = await followed(client, made, "completed")
        assert said(state["result"]) == f"Done: {part.key('work')}"


@act(*NONE)
async def test_a_task_that_asks_is_given_an_answer(part: Part) -> None:
    async with knowing(part) as client:
        made = await begun(client, "test_task_asking")
        asked: Json = (await followed(client, made, "input_required"))["inputRequests"]
        (key,) = asked
        given = {key: answer(asked[key]["method"], asked[key]["params"])}
        await client.request("tasks/update", {"taskId": made["taskId"], "inputResponses": given})
        assert said((await followed(client, made, "completed"))["result"]) == "Hello, text!"


@act(*NONE)
async def test_a_task_is_cancelled(part: Part) -> None:
    async with knowing(part) as client:
        made = await begun(client, "test_task_endless")
        await client.request("tasks/cancel", {"taskId": made["taskId"]})
        await followed(client, made, "cancelled")


@act(*NONE)
async def test_a_task_that_fails_says_why(part: Part) -> None:
    async with knowing(part) as client:
        made = await begun(client, "test_task_failing")
        assert (await followed(client, made, "failed"))["error"]["message"] == ENDED


async def it_is_another_process(part: Part) -> None:
    async with knowing(part) as client:
        made = await begun(client, "test_task", {"text": "x"})
    async with knowing(part) as client:
        with pytest.raises(RpcError) as caught:
            await client.request("tasks/get", {"taskId": made["taskId"]})
        assert caught.value.error["code"] == -32602


@act(
    *NONE,
    Unless("another connection is another process, with a key of its own", it_is_another_process, ("stdio",)),
)
async def test_a_task_is_found_by_another_connection_of_its_client(part: Part) -> None:
    async with knowing(part) as client:
        made = await begun(client, "test_task", {"text": "x"})
    async with knowing(part) as client:
        await followed(client, made, "completed")


@act()
async def test_a_task_that_is_none_is_not_found(part: Part) -> None:
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        with pytest.raises(RpcError) as caught:
            await part.client.request(method, {"taskId": "made-up"})
        assert caught.value.error["code"] == -32602


@act()
async def test_who_knows_no_tasks_has_the_answer_at_the_end(part: Part) -> None:
    assert said(await part.client.call("test_task", {"text": "x"})) == "Done: x"


@act(*ALONE)
async def test_who_knows_no_tasks_is_asked_on_the_way(part: Part) -> None:
    part.client.asked.clear()
    assert said(await part.client.call("test_task_asking")) == "Hello, text!"
    assert part.client.asked == ["elicitation/create"]


@act()
async def test_who_knows_no_tasks_is_told_that_one_has_failed(part: Part) -> None:
    with pytest.raises(RpcError) as caught:
        await part.client.call("test_task_failing")
    assert caught.value.error["message"] == ENDED


# --- those of 2025-11-25 ------------------------------------------------------------------------------


@act()
async def test_the_tasks_of_2025_11_25_are_not_offered_and_asking_for_one_changes_nothing(part: Part) -> None:
    """Who has not said that it makes tasks answers as if not asked for one (2025-11-25, tasks)."""
    client = part.client
    assert "tasks" not in client.opening.get("capabilities", {})
    params: dict[str, Any] = {"name": "test_echo", "arguments": {"text": "x"}, "task": {"ttl": 60_000}}
    result = await client.complete("tools/call", params)
    assert said(result) == "x"
    assert "task" not in result
    for method in ("tasks/list", "tasks/result"):
        with pytest.raises(RpcError) as caught:
            await client.request(method, {"taskId": "x"})
        assert caught.value.error["code"] == -32601
