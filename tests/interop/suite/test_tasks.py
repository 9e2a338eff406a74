"""Work that takes its time: tasks for who knows them, in the words of either era, an answer for all others.

The servers have them as their era does: one of 2025-11-25 answers no call of these tools that is no task.
"""

from __future__ import annotations

import asyncio

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


NONE = (Unless("the revisions before 2026-07-28 have no such tasks", no_task_is_made, client="legacy"),)


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

OVER = ("completed", "failed", "cancelled")


async def old_begun(client: Speaker, name: str, arguments: Json | None = None) -> Json:
    """The task that a call is answered with that asks for one."""
    params = {"name": name, "arguments": arguments or {}, "task": {"ttl": 60_000}}
    made = await client.request("tools/call", params)
    task: Json = made["task"]
    assert task["status"] == "working"
    assert "resultType" not in made
    return task


async def old_followed(client: Speaker, task: Json, until: tuple[str, ...] = OVER) -> Json:
    """Ask for a task until it has a status."""
    async with asyncio.timeout(PATIENCE):
        while True:
            state = await client.request("tasks/get", {"taskId": task["taskId"]})
            assert state["taskId"] == task["taskId"]
            if state["status"] in until:
                return state
            await asyncio.sleep(task.get("pollInterval", 50) / 1000)


async def there_is_no_such_thing(part: Part) -> None:
    """A call with `task` is an ordinary call, and what is left of the methods is another's."""
    params: Json = {"name": "test_echo", "arguments": {"text": "x"}, "task": {"ttl": 60_000}}
    result = await part.client.complete("tools/call", params)
    assert said(result) == "x"
    assert "task" not in result
    for method in ("tasks/list", "tasks/result"):
        with pytest.raises(RpcError) as caught:
            await part.client.request(method, {"taskId": "x"})
        assert caught.value.error["code"] == -32601


NEW = Unless("only 2025-11-25 has them like that", there_is_no_such_thing, client="modern")


def all_may(part: Part) -> bool:
    """Whether nobody says which tools make no tasks: modern servers do not, and a wrapper lists from one."""
    return part.line.server == "modern" or part.line.way == "wrapper"


@act(NEW)
async def test_tasks_are_declared_and_each_tool_says_whether_it_makes_them(part: Part) -> None:
    if part.line.carrier != "jsonrpc":
        declared = part.client.opening["capabilities"]["tasks"]
        assert declared == {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
    tools = {tool["name"]: tool.get("execution") for tool in await part.client.tools()}
    assert tools["test_task"] == {"taskSupport": "optional"}  # nobody has to: all others are waited for
    assert tools["test_image_content"] == ({"taskSupport": "optional"} if all_may(part) else None)


@act(NEW)
async def test_a_task_of_2025_11_25_is_followed_and_its_result_fetched(part: Part) -> None:
    task = await old_begun(part.client, "test_task", {"text": part.key("work")})
    assert (await old_followed(part.client, task))["status"] == "completed"
    result = await part.client.request("tasks/result", {"taskId": task["taskId"]})
    assert said(result) == f"Done: {part.key('work')}"
    assert result["_meta"]["io.modelcontextprotocol/related-task"] == {"taskId": task["taskId"]}


@act(NEW)
async def test_a_tool_that_need_not_be_a_task_can_be_one(part: Part) -> None:
    task = await old_begun(part.client, "test_echo", {"text": "x"})
    assert said(await part.client.request("tasks/result", {"taskId": task["taskId"]})) == "x"
    assert said(await part.client.call("test_echo", {"text": "y"})) == "y"


async def it_fails(part: Part) -> None:
    task = await old_begun(part.client, "test_task_asking")
    assert (await old_followed(part.client, task))["status"] == "failed"


async def it_is_declined(part: Part) -> None:
    task = await old_begun(part.client, "test_task_asking")
    result = await part.client.request("tasks/result", {"taskId": task["taskId"]})
    assert said(result) == "Hello, (none)!"


ALONE_WITH_TASKS = (
    Unless("nobody is there to be asked", it_fails, ("jsonrpc",), server="legacy"),
    Unless("nobody is there to be asked", it_is_declined, ("jsonrpc",), server="modern"),
)


@act(NEW, *ALONE_WITH_TASKS)
async def test_a_task_of_2025_11_25_asks_whoever_waits_for_its_result(part: Part) -> None:
    task = await old_begun(part.client, "test_task_asking")
    part.client.asked.clear()
    result = await part.client.request("tasks/result", {"taskId": task["taskId"]})
    assert said(result) == "Hello, text!"
    assert part.client.asked == ["elicitation/create"]


@act(NEW)
async def test_a_task_of_2025_11_25_is_cancelled_once(part: Part) -> None:
    task = await old_begun(part.client, "test_task_endless")
    cancelled = await part.client.request("tasks/cancel", {"taskId": task["taskId"]})
    assert (cancelled["taskId"], cancelled["status"]) == (task["taskId"], "cancelled")
    assert (await old_followed(part.client, task))["status"] == "cancelled"
    with pytest.raises(RpcError) as caught:
        await part.client.request("tasks/cancel", {"taskId": task["taskId"]})
    assert caught.value.error["code"] == -32602


@act(NEW)
async def test_a_task_of_2025_11_25_that_fails_says_why(part: Part) -> None:
    task = await old_begun(part.client, "test_task_failing")
    assert (await old_followed(part.client, task))["status"] == "failed"
    with pytest.raises(RpcError) as caught:
        await part.client.request("tasks/result", {"taskId": task["taskId"]})
    assert caught.value.error["message"] == ENDED


@act(NEW)
async def test_tasks_of_2025_11_25_are_listed_and_unknown_ones_refused(part: Part) -> None:
    task = await old_begun(part.client, "test_task", {"text": "x"})
    listed = (await part.client.request("tasks/list"))["tasks"]
    assert task["taskId"] in [each["taskId"] for each in listed]
    for method in ("tasks/get", "tasks/result", "tasks/cancel"):
        with pytest.raises(RpcError) as caught:
            await part.client.request(method, {"taskId": "made-up"})
        assert caught.value.error["code"] == -32602


@act(NEW)
async def test_a_tool_that_makes_no_tasks_refuses_to_or_is_one_that_is_over_at_once(part: Part) -> None:
    if all_may(part):
        task = await old_begun(part.client, "test_image_content")
        result = await part.client.request("tasks/result", {"taskId": task["taskId"]})
        assert result["content"][0]["type"] == "image"
        return
    with pytest.raises(RpcError) as caught:
        await old_begun(part.client, "test_image_content")
    assert caught.value.error["code"] == -32601
