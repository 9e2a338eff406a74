"""What a message can say, what a task can ask, and what comes of it, by the SDK's clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import msgspec
import pytest
from a2a.client import Client
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskState,
    TaskStatus,
)
from a2a.utils.errors import (
    A2AError,
    ContentTypeNotSupportedError,
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from google.protobuf import json_format

from portico.api import Json
from portico_plugins.transports.a2a.config import A2aConfig
from tests.plugins.transports.a2a.kinds import BLOCKS, HUGE, NAME, SIZE
from tests.plugins.transports.a2a.peers import (
    BINDINGS,
    data_of,
    order,
    saying,
    sdk_client,
    sent,
    task_of,
    tools,
)
from tests.plugins.transports.kit import ALICE, BOB, TOKENS, happened
from tests.plugins.transports.web import gateway

COMPLETED = TaskState.TASK_STATE_COMPLETED
FAILED = TaskState.TASK_STATE_FAILED
REJECTED = TaskState.TASK_STATE_REJECTED
CANCELED = TaskState.TASK_STATE_CANCELED
WORKING = TaskState.TASK_STATE_WORKING
INPUT = TaskState.TASK_STATE_INPUT_REQUIRED
AUTH = TaskState.TASK_STATE_AUTH_REQUIRED


def text_of(task: Task) -> str:
    return str(task.status.message.parts[0].text)


def got(task: Task) -> Any:
    assert task.status.state == COMPLETED, task
    return data_of(task.artifacts[0].parts[0])["got"]


# --- results ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", BINDINGS)
async def test_every_kind_of_content_becomes_a_part(binding: str) -> None:
    async with tools("blocks") as (web, _), sdk_client(web, binding=binding, streaming=False) as client:
        (artifact,) = (await task_of(client, order("blocks"))).artifacts
    parts = [json_format.MessageToDict(part) for part in artifact.parts]
    assert parts == [
        {"text": "héllo"},
        {"raw": "aGk=", "mediaType": "image/png"},
        {"raw": "aGk=", "mediaType": "audio/wav"},
        {"url": "https://example.com/a.txt", "mediaType": "text/plain", "filename": "a.txt"},
        {"raw": "aGk=", "mediaType": "x/y", "filename": "b.bin"},
        {"text": "see", "filename": "c.txt"},
        {"data": BLOCKS[-1]},
    ]


async def test_a_result_without_content_is_an_artifact_all_the_same() -> None:
    async with tools("nothing") as (web, _), sdk_client(web, streaming=False) as client:
        task = await task_of(client, order("nothing"))
    assert [part.text for part in task.artifacts[0].parts] == [""]


async def test_what_protobuf_cannot_hold_comes_as_text() -> None:
    async with tools("huge", "odd") as (web, _), sdk_client(web) as client:
        events = await sent(client, order("huge"))
        progress = events[2].status_update.metadata["progress"]
        assert progress == msgspec.json.encode({"progress": HUGE}).decode()
        (part,) = events[-2].artifact_update.artifact.parts
        assert (part.text, part.media_type) == (f'{{"n":{HUGE}}}', "application/json")
        odd = await sent(client, order("odd", {"a": 1}))
        assert odd[-1].status_update.status.state == COMPLETED


async def test_a_fault_in_the_middle_ends_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(result: object) -> None:
        raise RuntimeError("/etc/secret")

    monkeypatch.setattr("portico_plugins.transports.a2a.running.parts_of", broken)
    async with tools("nothing") as (web, _), sdk_client(web, streaming=False) as client:
        task = await task_of(client, order("nothing"))
    assert (task.status.state, text_of(task)) == (FAILED, "Internal error")


@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_error_of_the_tool_fails_the_task_with_its_words(binding: str) -> None:
    async with tools("wrong") as (web, _), sdk_client(web, binding=binding, streaming=False) as client:
        task = await task_of(client, order("wrong"))
    assert (task.status.state, text_of(task), len(task.artifacts)) == (FAILED, "no such city", 0)


@pytest.mark.parametrize(
    ("tool", "arguments", "state", "code"),
    [
        ("missing", {}, REJECTED, -32602),
        ("fail", {"code": -32602}, REJECTED, -32602),
        ("fail", {"code": 40300}, REJECTED, 40300),
        ("fail", {"code": 50300}, FAILED, 50300),
        ("crash", {}, FAILED, -32603),
    ],
)
async def test_a_refusal_says_whether_anything_was_carried_out(
    tool: str, arguments: Any, state: TaskState, code: int
) -> None:
    async with gateway("", "[transports.a2a]") as web, sdk_client(web, streaming=False) as client:
        task = await task_of(client, order(tool, arguments))
    assert task.status.state == state
    text, data = task.status.message.parts
    assert data_of(data)["error"]["code"] == code
    assert data_of(data)["error"]["message"] == text.text
    assert "secret" not in str(task)


async def test_integers_beyond_a_double_reach_the_tool_exactly() -> None:
    async with tools("exact") as (web, _):
        body = (
            b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"1",'
            b'"role":"ROLE_USER","parts":[{"data":{"tool":"exact","arguments":{"n":12345678901234567891}}}]}}}'
        )
        headers = {"host": "localhost", "content-type": "application/json", "a2a-version": "1.0"}
        answer = await web.open("POST", headers, body, "/a2a").json()
    assert answer["result"]["task"]["artifacts"][0]["parts"][0]["text"] == "12345678901234567891"


async def test_progress_and_log_messages_are_told_as_they_come() -> None:
    async with tools("steps") as (web, upstream), sdk_client(web) as client:
        events = []
        async for event in client.send_message(order("steps", {"gate": 1})):
            events.append(event)
            if len(events) == 4:
                upstream.gate.set()
        updates = [event.status_update for event in events if event.HasField("status_update")]
    said = [
        (json_format.MessageToDict(update.metadata), update.status.message.parts[0])
        for update in updates[1:-1]
    ]
    assert [metadata for metadata, _ in said] == [
        {"progress": {"progress": 1, "total": 2}},
        {"log": {"level": "warning", "logger": "l"}},
        {"progress": {"progress": 2, "total": 2}},
        {"log": {"level": "warning", "logger": "l"}},
    ]
    assert [part.text or data_of(part) for _, part in said] == ["step 1", {"step": 1}, "step 2", {"step": 2}]
    assert {update.status.state for update in updates[:-1]} == {WORKING}


@pytest.mark.parametrize(("level", "logs"), [("warning", 2), ("error", 0), ("", 0)])
async def test_which_log_messages_are_told_is_configured(level: str, logs: int) -> None:
    async with tools("steps", keys=f'log_level = "{level}"') as (web, upstream), sdk_client(web) as client:
        upstream.gate.set()
        events = [event async for event in client.send_message(order("steps", {"gate": 1}))]
    told = [json_format.MessageToDict(event.status_update.metadata) for event in events]
    assert len([each for each in told if "log" in each]) == logs
    assert len([each for each in told if "progress" in each]) == 2


def test_a_log_level_that_there_is_not_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"got 'warn'; did you mean 'warning'\?"):
        A2aConfig(log_level="warn")


async def test_a_tool_is_told_which_message_it_is_called_for() -> None:
    async with tools("say") as (web, upstream), sdk_client(web, streaming=False) as client:
        task = await task_of(client, saying("hi", metadata={"k": 1}))
        about = upstream.metas[0]["portico/a2a"]
    assert about == {
        "messageId": "m1", "contextId": task.context_id, "taskId": task.id, "metadata": {"k": 1},
    }  # fmt: skip


# --- what a message wants ------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", BINDINGS)
async def test_plain_text_is_enough_for_a_single_tool_that_takes_one_string(binding: str) -> None:
    async with tools("say") as (web, _), sdk_client(web, binding=binding, streaming=False) as client:
        task = await task_of(client, saying("hello"))
        assert task.artifacts[0].parts[0].text == "hello"
        assert task.artifacts[0].name == "say"


@pytest.mark.parametrize(
    "what",
    ["hello", {"nothing": "said"}, {"arguments": {"text": "x"}}],
)
async def test_any_other_message_is_answered_with_the_tools_and_the_choice_goes_on(what: Any) -> None:
    async with tools("say", "nothing") as (web, _), sdk_client(web, streaming=False) as client:
        task = await task_of(client, saying(what))
        assert task.status.state == INPUT
        shown = data_of(task.status.message.parts[1])["tools"]
        assert [tool["name"] for tool in shown] == ["say", "nothing"]
        assert shown[0]["inputSchema"]["required"] == ["text"]
        again = await task_of(client, saying("still no choice", task_id=task.id))
        assert (again.id, again.status.state) == (task.id, INPUT)
        done = await task_of(client, order("say", {"text": "x"}, task_id=task.id))
        assert (done.id, done.status.state) == (task.id, COMPLETED)
        assert done.context_id == task.context_id
        roles = [message.role for message in done.history]
        assert roles == [1, 2, 1, 2, 1]


async def test_a_skill_may_be_named_in_the_metadata() -> None:
    async with tools("say", "nothing") as (web, _), sdk_client(web, streaming=False) as client:
        by_text = await task_of(client, saying("a", metadata={"skillId": "say"}))
        by_data = await task_of(client, saying({"text": "b"}, metadata={"skillId": "say"}))
        by_both = await task_of(client, saying({"skillId": "say", "arguments": {"text": "c"}}))
        bare = await task_of(client, saying({"arguments": {"text": "d"}}, metadata={"skillId": "say"}))
        texts = [task.artifacts[0].parts[0].text for task in (by_text, by_data, by_both, bare)]
    assert texts == ["a", "b", "c", "d"]


async def test_of_a_skill_that_the_message_names_only_its_own_schema_is_told() -> None:
    async with tools("say", "nothing", "steps") as (web, _), sdk_client(web, streaming=False) as client:
        for named, offered in (("steps", {"steps"}), ("unknown", {"say", "nothing", "steps"})):
            task = await task_of(client, saying("hello", metadata={"skillId": named}))
            assert task.status.state == INPUT
            shown = data_of(task.status.message.parts[1])["tools"]
            assert {tool["name"] for tool in shown} == offered


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ({"data": 7}, InvalidParamsError),
        ({"data": {"tool": 7}}, InvalidParamsError),
        ({"data": {"tool": ""}}, InvalidParamsError),
        ({"data": {"tool": "say", "skillId": "nothing"}}, InvalidParamsError),
        ({"data": {"tool": "say", "arguments": [1]}}, InvalidParamsError),
        ({"data": {"tool": "say", "argument": {}}}, InvalidParamsError),
        ({"raw": "aGk=", "mediaType": "image/png"}, ContentTypeNotSupportedError),
        ({"url": "https://example.com/"}, ContentTypeNotSupportedError),
        ({"text": "x", "mediaType": "application/pdf"}, ContentTypeNotSupportedError),
        ({"data": {"tool": "say"}, "mediaType": "application/xml"}, ContentTypeNotSupportedError),
        ({}, InvalidParamsError),
    ],
)
@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_message_that_cannot_be_understood_is_an_error_and_no_task(
    binding: str, part: Any, error: type[Exception]
) -> None:
    async with tools("say", "nothing") as (web, upstream), sdk_client(web, binding=binding) as client:
        request = saying("x")
        request.message.parts[0].Clear()
        json_format.ParseDict(part, request.message.parts[0])
        with pytest.raises(error):
            await sent(client, request)
        assert not (await client.list_tasks(ListTasksRequest())).tasks
        assert upstream.metas == []


# --- questions -----------------------------------------------------------------------------------------

ANSWER = {"action": "accept", "content": {"name": "Ada"}}


@pytest.mark.parametrize("tool", ["name", "rounds"])
@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Ada", ANSWER),
        ({"name": "Ada"}, ANSWER),
        (ANSWER, ANSWER),
        ({"action": "decline"}, {"action": "decline"}),
        ({"action": "cancel"}, {"action": "cancel"}),
    ],
)
@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_question_is_answered_by_the_next_message(
    binding: str, tool: str, said: Any, meant: Any
) -> None:
    async with tools(tool) as (web, _), sdk_client(web, binding=binding, streaming=False) as client:
        task = await task_of(client, order(tool))
        assert (task.status.state, text_of(task)) == (INPUT, "Your name?")
        (request,) = data_of(task.status.message.parts[1])["inputRequests"].values()
        assert request == {"method": "elicitation/create", "params": NAME}
        done = await task_of(client, saying(said, task_id=task.id))
        assert done.id == task.id
        assert got(done) == (meant if tool == "name" else [{"who": meant}, "state-1"])


async def test_several_questions_are_answered_together() -> None:
    async with tools("both") as (web, _), sdk_client(web, streaming=False) as client:
        task = await task_of(client, order("both"))
        requests = data_of(task.status.message.parts[1])["inputRequests"]
        keys = sorted(requests, key=lambda key: requests[key]["params"]["message"])  # maps have no order
        assert [requests[key]["params"] for key in keys] == [SIZE, NAME]
        for wrong in ("Ada", {"name": "Ada"}, {"inputResponses": {next(iter(requests)): ANSWER}}):
            with pytest.raises(InvalidParamsError, match="inputResponses"):
                await task_of(client, saying(wrong, task_id=task.id))
        size = {"action": "accept", "content": {"size": 3}}
        answers = {"inputResponses": dict(zip(keys, (size, ANSWER), strict=True))}
        assert got(await task_of(client, saying(answers, task_id=task.id))) == [ANSWER, size]


async def test_text_does_not_answer_a_question_for_more_than_a_string() -> None:
    async with gateway("", "[transports.a2a]") as web, sdk_client(web, streaming=False) as client:
        task = await task_of(client, order("elicit"))  # its form has no fields
        with pytest.raises(InvalidParamsError, match="data part"):
            await task_of(client, saying("yes", task_id=task.id))
        assert (await client.get_task(GetTaskRequest(id=task.id))).status.state == INPUT
        done = await task_of(client, saying({"action": "accept", "content": {}}, task_id=task.id))
        assert done.status.state == COMPLETED


@pytest.mark.parametrize(
    ("tool", "said", "meant"),
    [
        ("plain", " Accept", {"action": "accept", "content": {}}),
        ("plain", "decline", {"action": "decline"}),
        ("size", "Cancel", {"action": "cancel"}),
        ("name", "decline", {"action": "accept", "content": {"name": "decline"}}),  # may well be a name
    ],
)
async def test_a_word_is_enough_to_decline_and_to_accept_what_has_nothing_to_fill_in(
    tool: str, said: str, meant: Json
) -> None:
    async with tools(tool) as (web, _), sdk_client(web, streaming=False) as client:
        task = await task_of(client, order(tool))
        assert ("Answer with accept, decline or cancel." in text_of(task)) is (tool == "plain")
        assert got(await task_of(client, saying(said, task_id=task.id))) == meant


async def test_what_has_something_to_fill_in_is_not_accepted_without() -> None:
    async with tools("size") as (web, _), sdk_client(web, streaming=False) as client:
        task = await task_of(client, order("size"))
        with pytest.raises(InvalidParamsError, match="data part"):
            await task_of(client, saying("accept", task_id=task.id))


async def test_the_form_of_a_single_question_is_where_gateways_look_for_it() -> None:
    async with tools("name", "both", "door") as (web, _), sdk_client(web, streaming=False) as client:
        for tool, form in (("name", NAME["requestedSchema"]), ("both", None), ("door", None)):
            task = await task_of(client, order(tool))
            assert data_of(task.status.message.parts[1]).get("requestedSchema") == form


@pytest.mark.parametrize("said", ["done", {"action": "accept"}])
async def test_to_be_sent_to_a_url_is_to_have_to_authenticate(said: Any) -> None:
    async with tools("door") as (web, _), sdk_client(web, streaming=False) as client:
        task = await task_of(client, order("door"))
        assert (task.status.state, text_of(task)) == (AUTH, "Please log in\nhttps://example.com/login")
        assert got(await task_of(client, saying(said, task_id=task.id))) == {"action": "accept"}


@pytest.mark.parametrize("tool", ["sample", "roots"])
async def test_what_an_a2a_client_cannot_be_asked_fails_the_task(tool: str) -> None:
    async with tools(tool) as (web, _), sdk_client(web, streaming=False) as client:
        task = await task_of(client, order(tool))
        assert task.status.state == FAILED
        assert "sampling" in text_of(task) or "roots" in text_of(task)


async def test_a_stream_ends_with_a_question_and_another_follows_the_answer() -> None:
    async with tools("name") as (web, _), sdk_client(web) as client:
        first = await sent(client, order("name"))
        assert first[-1].status_update.status.state == INPUT
        second = await sent(client, saying("Ada", task_id=first[0].task.id))
        assert [event.WhichOneof("payload") for event in second] == [
            "task", "status_update", "artifact_update", "status_update",
        ]  # fmt: skip
        assert second[0].task.status == TaskStatus(
            state=TaskState.TASK_STATE_SUBMITTED, timestamp=first[-1].status_update.status.timestamp
        )


async def test_a_subscriber_stays_through_a_question() -> None:
    async with (
        tools("name") as (web, _),
        sdk_client(web, streaming=False) as client,
        sdk_client(web) as follower,
    ):
        task = await task_of(client, order("name"))
        answers: list[asyncio.Task[Task]] = []
        states = []
        async for event in follower.subscribe(SubscribeToTaskRequest(id=task.id)):
            if event.HasField("task"):
                answers.append(asyncio.create_task(task_of(client, saying("Ada", task_id=task.id))))
            elif event.HasField("status_update"):
                states.append(event.status_update.status.state)
        await asyncio.gather(*answers)
        assert states == [WORKING, COMPLETED]


@pytest.mark.parametrize("binding", BINDINGS)
async def test_messages_that_do_not_fit_their_task_are_refused(binding: str) -> None:
    async with (
        gateway("", "[transports.a2a]") as web,
        sdk_client(web, binding=binding, streaming=False) as client,
    ):
        asked = await task_of(client, order("elicit"))
        with pytest.raises(InvalidParamsError, match="context"):
            await task_of(client, saying({}, task_id=asked.id, context_id="other"))
        done = await task_of(client, saying({}, task_id=asked.id, context_id=asked.context_id))
        assert done.status.state == COMPLETED
        with pytest.raises(UnsupportedOperationError):
            await task_of(client, saying({}, task_id=asked.id))
        request = order("hang")
        request.configuration.return_immediately = True
        working = await task_of(client, request)
        with pytest.raises(UnsupportedOperationError, match="at work"):
            await task_of(client, saying({}, task_id=working.id))
        with pytest.raises(TaskNotFoundError):
            await task_of(client, saying({}, task_id="nonsense"))
        await client.cancel_task(CancelTaskRequest(id=working.id))


# --- calls that become tasks upstream ------------------------------------------------------------------


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_call_that_becomes_a_task_upstream_is_followed_to_its_end(binding: str) -> None:
    async with tools("long") as (web, upstream), sdk_client(web, binding=binding) as client:
        events = await sent(client, order("long"))
        said = [
            event.status_update.status.message.parts[0].text
            for event in events
            if event.HasField("status_update") and event.status_update.status.message.parts
        ]
        assert said == ["begun", "going on"]
        assert upstream.seen == ["tasks/get", "tasks/get"]
        assert data_of(events[-2].artifact_update.artifact.parts[0]) == {"got": {}}
        assert events[-1].status_update.status.state == COMPLETED


async def test_a_task_upstream_asks_and_is_answered() -> None:
    async with tools("long") as (web, upstream), sdk_client(web, streaming=False) as client:
        task = await task_of(client, order("long", {"asks": True}))
        assert (task.status.state, text_of(task)) == (INPUT, "Your name?")
        assert got(await task_of(client, saying("Ada", task_id=task.id))) == {"who": ANSWER}
        assert upstream.seen.count("tasks/update") == 1


@pytest.mark.parametrize(("status", "state"), [("failed", FAILED), ("cancelled", CANCELED)])
async def test_a_task_upstream_that_comes_to_nothing_ends_as_it_did(status: str, state: TaskState) -> None:
    async with tools("long") as (web, _), sdk_client(web, streaming=False) as client:
        task = await task_of(client, order("long", {"status": status}))
        assert task.status.state == state
        if state == FAILED:
            assert text_of(task) == "broken"


async def test_cancelling_reaches_a_task_upstream() -> None:
    async with tools("long") as (web, upstream), sdk_client(web, streaming=False) as client:
        request = order("long", {"hang": True})
        request.configuration.return_immediately = True
        task = await task_of(client, request)
        async with asyncio.timeout(30):
            while len(upstream.seen) < 2:
                await asyncio.sleep(0)
        await client.cancel_task(CancelTaskRequest(id=task.id))
        await happened(upstream.cancelled)


async def test_an_upstream_that_wants_a_call_again_gets_it_again_but_not_for_ever() -> None:
    async with tools("shed") as (web, upstream), sdk_client(web, streaming=False) as client:
        assert got(await task_of(client, order("shed", {"n": 3}))) == "later"
        upstream.metas.clear()
        task = await task_of(client, order("shed", {"n": 99}))
        assert task.status.state == FAILED
        assert len(upstream.metas) == 11


# --- tasks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_task_is_cancelled_and_so_is_its_call(binding: str) -> None:
    async with (
        gateway("", "[transports.a2a]") as web,
        sdk_client(web, binding=binding, streaming=False) as client,
    ):
        request = order("hang")
        request.configuration.return_immediately = True
        task = await task_of(client, request)
        assert task.status.state in (TaskState.TASK_STATE_SUBMITTED, WORKING)
        await happened(web.upstream.begun)
        assert (await client.cancel_task(CancelTaskRequest(id=task.id))).status.state == CANCELED
        await happened(web.upstream.cancelled)
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(CancelTaskRequest(id=task.id))
        async with sdk_client(web, binding=binding) as follower:
            with pytest.raises(UnsupportedOperationError):
                await _followed(follower, task.id)


async def test_a_task_that_waits_for_an_answer_is_cancelled_and_so_is_its_call() -> None:
    async with gateway("", "[transports.a2a]") as web, sdk_client(web, streaming=False) as client:
        task = await task_of(client, order("elicit"))
        assert (await client.cancel_task(CancelTaskRequest(id=task.id))).status.state == CANCELED
        await happened(web.upstream.cancelled)


async def test_leaving_a_stream_or_a_wait_ends_neither_the_task_nor_other_streams() -> None:
    async with gateway("", "[transports.a2a]") as web, sdk_client(web) as client:
        stream = cast("AsyncGenerator[StreamResponse]", client.send_message(order("gate")))
        ident = (await anext(stream)).task.id
        others = [
            cast("AsyncGenerator[StreamResponse]", client.subscribe(SubscribeToTaskRequest(id=ident)))
            for _ in range(3)
        ]
        for other in others:
            assert (await anext(other)).task.id == ident
        await happened(web.upstream.begun)
        await stream.aclose()
        await others[0].aclose()
        web.upstream.gate.set()
        rest = [[event.WhichOneof("payload") async for event in other] for other in others[1:]]
        assert rest[0][-2:] == ["artifact_update", "status_update"]
        assert rest[0] == rest[1]
        assert (await client.get_task(GetTaskRequest(id=ident))).status.state == COMPLETED


@pytest.mark.parametrize("binding", BINDINGS)
async def test_tasks_are_shown_with_as_much_as_is_wanted(binding: str) -> None:
    async with tools("name") as (web, _), sdk_client(web, binding=binding, streaming=False) as client:
        task = await task_of(client, order("name"))
        done = await task_of(client, saying("Ada", task_id=task.id))
        assert len(done.history) == 3
        for length, shown in ((None, 3), (0, 0), (2, 2), (9, 3)):
            got = await client.get_task(GetTaskRequest(id=task.id, history_length=length))
            assert list(got.history) == list(done.history)[3 - shown :]
        with pytest.raises(InvalidParamsError):
            await client.get_task(GetTaskRequest(id=task.id, history_length=-1))
        request = order("name")
        request.configuration.history_length = 0
        assert not (await task_of(client, request)).history


@pytest.mark.parametrize("binding", BINDINGS)
async def test_lists_are_filtered_and_paged(binding: str) -> None:
    async with tools("say", "wrong") as (web, _), sdk_client(web, binding=binding, streaming=False) as client:
        made = [await task_of(client, order("say", {"text": str(n)}, context_id="c1")) for n in range(3)]
        failed = await task_of(client, order("wrong"))

        async def listed(**filters: Any) -> list[Task]:
            return list((await client.list_tasks(ListTasksRequest(**filters))).tasks)

        everything = await client.list_tasks(ListTasksRequest(include_artifacts=True, history_length=0))
        assert (everything.total_size, everything.page_size, everything.next_page_token) == (4, 50, "")
        assert everything.tasks[0].id in {failed.id, made[-1].id}
        assert all(not task.history for task in everything.tasks)
        assert sum(len(task.artifacts) for task in everything.tasks) == 3
        assert all(not task.artifacts for task in await listed())
        assert {task.id for task in await listed(context_id="c1")} == {task.id for task in made}
        assert [task.id for task in await listed(status=FAILED)] == [failed.id]
        later = max(task.status.timestamp.ToMilliseconds() for task in everything.tasks) + 1
        request = ListTasksRequest()
        request.status_timestamp_after.FromMilliseconds(later)
        assert not (await client.list_tasks(request)).tasks
        for bad in ({"page_size": 0}, {"page_size": 101}, {"page_token": "nonsense"}, {"page_token": "W10"}):
            with pytest.raises(InvalidParamsError):
                await listed(**bad)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_nobody_finds_the_tasks_of_others(binding: str) -> None:
    extra = f"[transports.a2a]\n{TOKENS}\n[servers.default]\nupstreams = ['one']\nauth = ['people']"
    async with (
        gateway("", extra) as web,
        sdk_client(web, binding=binding, headers=ALICE, streaming=False) as alice,
        sdk_client(web, binding=binding, headers=BOB) as bob,
    ):
        task = await task_of(alice, order("elicit"))
        assert (await alice.get_task(GetTaskRequest(id=task.id))).id == task.id
        assert not (await bob.list_tasks(ListTasksRequest(context_id=task.context_id))).tasks
        for forbidden in (
            bob.get_task(GetTaskRequest(id=task.id)),
            bob.cancel_task(CancelTaskRequest(id=task.id)),
            sent(bob, saying({}, task_id=task.id)),
            _followed(bob, task.id),
        ):
            with pytest.raises(TaskNotFoundError):
                await forbidden
        assert (await alice.get_task(GetTaskRequest(id=task.id))).status.state == INPUT


async def _followed(client: Client, task: str) -> None:
    async for _ in client.subscribe(SubscribeToTaskRequest(id=task)):
        pass


async def test_the_oldest_tasks_that_are_over_go_first_and_those_at_work_stay() -> None:
    bounded = "max_tasks_each = 2"
    async with tools("say", "name", keys=bounded) as (web, _), sdk_client(web, streaming=False) as client:
        waiting = await task_of(client, order("name"))
        done = [await task_of(client, order("say", {"text": str(n)})) for n in range(3)]
        shown = {task.id for task in (await client.list_tasks(ListTasksRequest())).tasks}
        assert shown == {waiting.id, done[-1].id}
        other = await task_of(client, order("name"))
        with pytest.raises(Exception, match="Too many tasks"):
            await task_of(client, order("say", {"text": "more"}))
        assert {task.id for task in (await client.list_tasks(ListTasksRequest())).tasks} == {
            waiting.id, other.id,
        }  # fmt: skip


async def test_no_more_than_so_many_tasks_wait_for_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portico_plugins.transports.a2a.table.MOST_WAITING", 1)
    async with gateway("", "[transports.a2a]") as web, sdk_client(web, streaming=False) as client:
        first = await task_of(client, order("elicit"))
        second = await task_of(client, order("elicit"))
        assert (second.status.state, text_of(second)) == (FAILED, "Too many tasks wait for your answers")
        await happened(web.upstream.cancelled)
        assert got_nothing(await task_of(client, saying({}, task_id=first.id)))
        assert (await task_of(client, order("elicit"))).status.state == INPUT


async def test_tasks_that_wait_to_hear_which_tool_are_few_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portico_plugins.transports.a2a.table.MOST_WAITING", 1)
    async with tools("say", "nothing") as (web, _), sdk_client(web, streaming=False) as client:
        first = await task_of(client, saying("which?"))
        with pytest.raises(A2AError, match="Too many tasks wait"):
            await task_of(client, saying("and which?"))
        assert [task.id for task in (await client.list_tasks(ListTasksRequest())).tasks] == [first.id]
        again = await task_of(client, saying("which?", task_id=first.id))
        assert again.status.state == INPUT


async def test_nobody_takes_the_room_of_the_others() -> None:
    bounds = "max_bytes = 9000\nmax_bytes_each = 3000"
    more = f"{TOKENS}[servers.default]\nupstreams = ['kinds']\nauth = ['people']"
    async with (
        tools("say", "nothing", keys=bounds, more=more) as (web, _),
        sdk_client(web, streaming=False, headers=ALICE) as alice,
        sdk_client(web, streaming=False, headers=BOB) as bob,
    ):
        await task_of(alice, saying("which?" * 600))
        with pytest.raises(A2AError, match="Too many tasks"):
            await task_of(alice, saying("which?"))
        for number in range(3):
            await task_of(bob, order("say", {"text": str(number) * 2000}))
        (left,) = (await bob.list_tasks(ListTasksRequest(include_artifacts=True))).tasks
        assert left.artifacts[0].parts[0].text[0] == "2"


def got_nothing(task: Task) -> bool:
    return task.status.state == COMPLETED and data_of(task.artifacts[0].parts[0])["content"] == {}


async def test_tasks_that_have_said_too_much_make_room_for_others() -> None:
    bounded = "max_bytes = 3000"
    async with tools("say", "name", keys=bounded) as (web, _), sdk_client(web, streaming=False) as client:
        for number in range(4):
            await task_of(client, order("say", {"text": str(number) * 700}))
        listed = list((await client.list_tasks(ListTasksRequest(include_artifacts=True))).tasks)
        assert [task.artifacts[0].parts[0].text[0] for task in listed] == ["3", "2"]
        app = web.gateway.transports["a2a"].endpoints.find("default")  # type: ignore[attr-defined]
        assert app.table._bytes == sum(entry.work.size for entry in app.table._entries.values())
        assert app.table._bytes > 3000


async def test_of_a_long_conversation_the_latest_messages_are_kept() -> None:
    async with tools("say", "nothing") as (web, _), sdk_client(web, streaming=False) as client:
        task = await task_of(client, saying("which?"))
        for _ in range(60):
            task = await task_of(client, saying("still which?", task_id=task.id))
        assert len(task.history) == 100
        app = web.gateway.transports["a2a"].endpoints.find("default")  # type: ignore[attr-defined]
        (entry,) = app.table._entries.values()
        assert entry.work.size == sum(message.ByteSize() for message in task.history)


async def test_old_tasks_are_forgotten_and_unanswered_ones_fail() -> None:
    brief = "keep = 0.001\nwait = 0.001"
    async with tools("say", "name", keys=brief) as (web, _), sdk_client(web, streaming=False) as client:
        done = await task_of(client, order("say", {"text": "x"}))
        waiting = await task_of(client, order("name"))
        app = web.gateway.transports["a2a"].endpoints.find("default")  # type: ignore[attr-defined]
        entry = app.table.find(waiting.id, app.table._entries[waiting.id].work.owner)
        async with asyncio.timeout(30):
            while not entry.work.over:
                app.sweep()
                await asyncio.sleep(0)
        assert text_of(entry.work.task) == "Nobody has answered in time."
        with pytest.raises(TaskNotFoundError):
            await client.get_task(GetTaskRequest(id=done.id))


async def test_what_waits_or_works_fails_when_the_gateway_ends_and_its_streams_end() -> None:
    async with gateway("", "[transports.a2a]") as web:
        asked = web.open("POST", RAW, _streamed("elicit"), "/a2a")
        ident = (await asked.message())["result"]["task"]["id"]
        assert (await asked.rest())[-1]["result"]["statusUpdate"]["status"][
            "state"
        ] == "TASK_STATE_INPUT_REQUIRED"
        follow = {"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": ident}}
        waiting = web.open("POST", RAW, msgspec.json.encode(follow), "/a2a")
        working = web.open("POST", RAW, _streamed("hang"), "/a2a")
        for stream in (waiting, working):
            assert "task" in (await stream.message())["result"]
        await happened(web.upstream.begun)
        for call in list(web.gateway.plane.load.calls):
            call.shut_down()
        for stream in (waiting, working):
            last = (await stream.rest())[-1]["result"]["statusUpdate"]["status"]
            assert last["state"] == "TASK_STATE_FAILED"
            assert last["message"]["parts"][0]["text"] == "The gateway is shutting down"


RAW = {"host": "localhost", "content-type": "application/json", "a2a-version": "1.0"}


def _streamed(tool: str) -> bytes:
    message = {"messageId": "1", "role": "ROLE_USER", "parts": [{"data": {"tool": tool}}]}
    return msgspec.json.encode(
        {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": {"message": message}}
    )
