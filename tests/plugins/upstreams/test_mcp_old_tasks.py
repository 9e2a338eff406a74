"""Servers with the tasks of 2025-11-25: called where they could not be, and told as the tasks of SEP-2663."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import Response

from portico.api import INVALID_PARAMS, UPSTREAM_BAD_RESPONSE, Era, Exchange, Json, Refused, Target
from tests.plugins.upstreams.kit import Client, Running, accept, call, exchange, running, serving, text
from tests.plugins.upstreams.old_tasks import RELATED, Task, TaskServer, said, tool
from tests.plugins.upstreams.scripted import Seen, error, event, result

EXTENSION = "io.modelcontextprotocol/tasks"
KNOWS_NONE: Json = {"elicitation": {"form": {}}}
KNOWS: Json = {"extensions": {EXTENSION: {}}, "elicitation": {"form": {}}}
ELICIT: Json = {"mode": "form", "message": "?", "requestedSchema": {"type": "object"}}
PATIENCE = 20


async def done(task: Task) -> None:
    task.end(said(f"Done: {task.ident}"))


async def endless(task: Task) -> None:
    await task.over.wait()


async def asking(task: Task) -> None:
    answer = await task.ask("elicitation/create", ELICIT)
    task.end(said(f"Heard {answer['result']['action']}"))


def knowing(name: str = "t", **changes: Any) -> Exchange:
    """A call of a client that knows tasks."""
    return call(name, era=Era.MODERN, capabilities=KNOWS, **changes)


async def about(up: Running, method: str, own: str, **more: Any) -> Json:
    """What is said of a task to a client that knows tasks."""
    request = exchange(method, {"taskId": own, **more}, Era.MODERN, capabilities=KNOWS)
    value: Json = (await up.upstream.send(request, Target("up", own))).value
    return value


async def until(up: Running, own: str, status: str) -> Json:
    async with asyncio.timeout(PATIENCE):
        while (state := await about(up, "tasks/get", own))["status"] != status:
            await asyncio.sleep(state["pollIntervalMs"] / 1000)
    return state


# --- for clients that know no tasks -----------------------------------------------------------------------


@pytest.mark.parametrize("era", list(Era))
async def test_a_tool_that_is_a_task_or_nothing_is_called_and_its_result_is_given(era: Era) -> None:
    app = TaskServer(done)
    async with serving(app) as origin, running(url=origin) as up:
        got = await up.send(call("t", era=era))
        assert text(got) == "Done: own-1"
        assert "_meta" not in got.value
        assert EXTENSION in up.upstream.offer.capabilities["extensions"]
        assert "tasks" not in up.upstream.offer.capabilities
        assert up.upstream.offer.waits
    assert [seen.params["taskId"] for seen in app.of("tasks/result")] == ["own-1"]


@pytest.mark.parametrize("support", ["optional", "forbidden"])
async def test_no_task_is_made_where_none_is_needed(support: str) -> None:
    app = TaskServer(done, tool("t", support))
    async with serving(app) as origin, running(url=origin) as up:
        assert text(await up.send(knowing())) == "called"
    assert app.tasks == {}


async def test_a_server_that_does_not_say_it_makes_tasks_is_asked_for_none() -> None:
    app = TaskServer(done)
    app.capabilities = {"tools": {}, "tasks": {"list": {}, "requests": {"tools": True}}}
    async with serving(app) as origin, running(url=origin) as up:
        with pytest.raises(Refused) as caught:
            await up.send(call("t"))
        assert "extensions" not in up.upstream.offer.capabilities
    assert caught.value.code == -32601


async def test_its_questions_are_put_to_the_client_of_the_call_without_the_tasks_id() -> None:
    app, client = TaskServer(asking), Client(accept)
    async with serving(app) as origin, running(url=origin) as up:
        got = await up.send(call("t", client=client, capabilities={"elicitation": {}}))
    assert text(got) == "Heard accept"
    assert client.questions == [("elicitation/create", ELICIT)]


async def test_its_progress_reaches_the_client_of_the_call() -> None:
    app, client = TaskServer(endless), Client()
    async with serving(app) as origin, running(url=origin) as up:
        sending = asyncio.create_task(up.send(call("t", client=client, progress_token="mine")))
        await app.until(lambda: app.of("tasks/result") and app.gets)
        task = app.tasks["own-1"]
        token = task.seen.params["_meta"]["progressToken"]
        progress = {"progressToken": token, "progress": 0.5}
        for queue in app.gets:
            queue.put_nowait(
                event({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress})
            )
        async with asyncio.timeout(PATIENCE):
            await client.news.wait()
        task.message = "half of it"  # in words besides numbers it would not always be more
        await app.notify(task)
        task.end(said("over"))
        assert text(await sending) == "over"
    assert client.frames == [("notifications/progress", {"progressToken": "mine", "progress": 0.5})]


async def test_what_it_says_of_its_status_is_progress() -> None:
    app, client = TaskServer(endless), Client()
    async with serving(app) as origin, running(url=origin) as up:
        sending = asyncio.create_task(up.send(call("t", client=client, progress_token="mine")))
        await app.until(lambda: app.of("tasks/result") and len(app.gets) == 2)
        task = app.tasks["own-1"]
        for words in ("begun", "half of it"):
            client.news.clear()
            task.message = words
            for _ in range(2):  # what has been told is not told again
                await app.notify(task)
            async with asyncio.timeout(PATIENCE):
                await client.news.wait()
        task.message, task.status = "over", "completed"
        await app.notify(task)
        task.end(said("over"))
        await sending
    assert client.frames == [
        ("notifications/progress", {"progressToken": "mine", "progress": number, "message": words})
        for number, words in ((1, "begun"), (2, "half of it"))
    ]


async def test_a_call_that_is_cancelled_cancels_its_task() -> None:
    app = TaskServer(endless)
    async with serving(app) as origin, running(url=origin) as up:
        sending = asyncio.create_task(up.send(call("t")))
        await app.until(lambda: app.of("tasks/result"))
        sending.cancel()
        await app.until(lambda: app.of("tasks/cancel"))
        assert app.of("tasks/cancel")[0].params == {"taskId": "own-1"}
        with pytest.raises(asyncio.CancelledError):
            await sending


async def test_its_error_is_the_calls() -> None:
    async def failing(task: Task) -> None:
        task.failure = (-32050, "It ended badly")
        task.end(status="failed")

    async with serving(TaskServer(failing)) as origin, running(url=origin) as up:
        with pytest.raises(Refused) as caught:
            await up.send(call("t"))
    assert (caught.value.code, caught.value.message) == (-32050, "It ended badly")


@pytest.mark.parametrize(("status", "code"), [("failed", -32603), ("cancelled", UPSTREAM_BAD_RESPONSE)])
async def test_a_task_that_ends_without_a_result_is_a_failure(status: str, code: int) -> None:
    async def ending(task: Task) -> None:
        task.end(status=status, message="broken")

    async with serving(TaskServer(ending)) as origin, running(url=origin) as up:
        with pytest.raises(Refused) as caught:
            await up.send(call("t"))
    assert caught.value.code == code
    assert (caught.value.message == "broken") is (status == "failed")


async def test_a_result_that_is_refused_too_early_is_asked_for_again() -> None:
    app = TaskServer(endless)
    answer = app.on["tasks/result"]

    async def early(seen: Seen) -> Response:
        task = app.tasks["own-1"]
        if task.over.is_set():
            return await answer(seen)
        task.end(said("at last"))
        task.status = "working" if len(app.of("tasks/result")) == 1 else "completed"
        return error(seen, -32602, "Not yet")

    app.on["tasks/result"] = early
    async with serving(app) as origin, running(url=origin) as up:
        assert text(await up.send(call("t"))) == "at last"
    assert len(app.of("tools/call")) == 1


async def test_a_session_that_is_lost_does_not_have_the_call_made_again() -> None:
    app = TaskServer(endless)

    async def lost(seen: Seen) -> Response:
        return error(seen, -32600, "Session not found", status=404)

    app.on["tasks/result"] = lost
    async with serving(app) as origin, running(url=origin) as up:
        with pytest.raises(Refused) as caught:
            await up.send(call("t"))
    assert caught.value.code == UPSTREAM_BAD_RESPONSE
    assert len(app.of("tools/call")) == 1


async def test_a_session_that_is_unknown_before_a_task_is_begun_is_opened_again() -> None:
    app = TaskServer(done)
    async with serving(app) as origin, running(url=origin) as up:
        assert (await up.send(knowing())).kind == "task"
        app.sessions.clear()
        for _ in range(2):
            assert text(await up.send(call("t", capabilities=KNOWS_NONE))) != ""
            app.sessions.clear()
            assert (await until(up, "own-1", "completed"))["result"] == said("Done: own-1")
    assert list(app.tasks) == ["own-1", "own-2", "own-3"]


@pytest.mark.parametrize(
    "made", [{}, {"task": {}}, {"task": 7}, {"task": {"taskId": 7}}, {"task": {"taskId": ""}}]
)
async def test_a_task_without_an_id_is_the_servers_fault(made: Json) -> None:
    app = TaskServer(done)

    async def odd(seen: Seen) -> Response:
        return result(seen, made)

    app.on["tools/call"] = odd
    async with serving(app) as origin, running(url=origin) as up:
        with pytest.raises(Refused) as caught:
            await up.send(call("t"))
    assert caught.value.code == UPSTREAM_BAD_RESPONSE


async def test_a_server_that_answers_at_once_is_taken_at_its_word() -> None:
    app = TaskServer(done)

    async def soon(seen: Seen) -> Response:
        return result(seen, said("no need"))

    app.on["tools/call"] = soon
    async with serving(app) as origin, running(url=origin) as up:
        assert text(await up.send(call("t"))) == "no need"


# --- for clients that know tasks ----------------------------------------------------------------------------


async def test_a_client_that_knows_tasks_is_given_one_and_looks_after_it() -> None:
    app = TaskServer(done)
    async with serving(app) as origin, running(url=origin) as up:
        made = (await up.send(knowing())).value
        assert made == {
            "resultType": "task",
            "taskId": "own-1",
            "status": "working",
            "ttlMs": 60_000,
            "createdAt": "2025-11-25T10:30:00Z",
            "lastUpdatedAt": "2025-11-25T10:30:00Z",
            "pollIntervalMs": 50,
        }
        state = await until(up, "own-1", "completed")
        assert state["result"] == said("Done: own-1")
    sessions = {seen.headers["mcp-session-id"] for seen in (*app.of("tools/call"), *app.of("tasks/get"))}
    assert len(sessions) == 1
    assert all("extensions" not in seen.params["capabilities"] for seen in app.of("initialize"))


async def test_what_comes_with_a_new_task_is_passed_on_without_the_servers_id() -> None:
    app = TaskServer(done)

    async def made(seen: Seen) -> Response:
        meta = {"io.modelcontextprotocol/model-immediate-response": "Go on", RELATED: {"taskId": "own-1"}}
        return result(seen, {"task": {"taskId": "own-1", "status": "working"}, "_meta": meta})

    app.on["tools/call"] = made
    async with serving(app) as origin, running(url=origin) as up:
        task = (await up.send(knowing())).value
    assert task["_meta"] == {"io.modelcontextprotocol/model-immediate-response": "Go on"}


async def test_who_asks_for_a_task_is_given_one_where_that_is_optional() -> None:
    app = TaskServer(done, tool("t", "optional"))
    async with serving(app) as origin, running(url=origin) as up:
        request = knowing()
        request.params["task"] = {"ttl": 7_000}
        assert (await up.send(request)).kind == "task"
    assert app.of("tools/call")[0].params["task"] == {"ttl": 7_000}


async def test_what_a_task_asks_is_read_and_answered_by_its_client() -> None:
    app = TaskServer(asking)
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(knowing())
        state = await until(up, "own-1", "input_required")
        ((key, request),) = state["inputRequests"].items()
        assert request == {"method": "elicitation/create", "params": ELICIT}
        again = await about(up, "tasks/get", "own-1")
        assert again["inputRequests"] == state["inputRequests"]
        await about(up, "tasks/update", "own-1", inputResponses={"other": {}, key: "no answer"})
        assert (await about(up, "tasks/get", "own-1"))["status"] == "input_required"
        await about(up, "tasks/update", "own-1", inputResponses={key: {"action": "accept"}})
        done_ = await until(up, "own-1", "completed")
        assert text_of(done_["result"]) == "Heard accept"
    assert RELATED not in str(state)


async def test_what_its_client_cannot_be_asked_is_refused() -> None:
    async def sampling(task: Task) -> None:
        answer = await task.ask("sampling/createMessage", {"messages": []})
        task.end(said(f"code {answer['error']['code']}"))

    app = TaskServer(sampling)
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(knowing())
        assert text_of((await until(up, "own-1", "completed"))["result"]) == "code -32601"


async def test_a_task_is_cancelled_and_one_that_is_over_stays_as_it_is() -> None:
    app = TaskServer(endless)
    async with serving(app) as origin, running(url=origin) as up:
        await up.send(knowing())
        assert await about(up, "tasks/cancel", "own-1") == {}
        assert (await about(up, "tasks/get", "own-1"))["status"] == "cancelled"
        assert await about(up, "tasks/cancel", "own-1") == {}
        for method in ("tasks/get", "tasks/cancel"):
            with pytest.raises(Refused) as caught:
                await about(up, method, "own-2")
            assert caught.value.code == INVALID_PARAMS


async def test_what_a_tool_says_has_gone_wrong_is_a_result_and_what_the_server_says_an_error() -> None:
    async def wrong(task: Task) -> None:
        if task.ident == "own-1":
            task.end(said("No such city", isError=True), "failed")
        else:
            task.failure = (-32050, "It ended badly")
            task.end(status="failed")

    async with serving(TaskServer(wrong)) as origin, running(url=origin) as up:
        for _ in range(2):
            await up.send(knowing())
        first = await until(up, "own-1", "completed")
        assert first["result"] == said("No such city", isError=True)
        second = await until(up, "own-2", "failed")
    assert second["error"] == {"code": -32050, "message": "It ended badly"}


def text_of(value: Json) -> str:
    return str(value["content"][0]["text"])
