"""Which media types a client takes: what comes of a task is told in those, or said to be left out."""

from __future__ import annotations

from typing import Any

import pytest
from a2a.types import GetTaskRequest, ListTasksRequest, Part, SendMessageConfiguration, TaskState
from a2a.utils.errors import ContentTypeNotSupportedError, InvalidParamsError
from google.protobuf import json_format

from portico.api import Json
from portico_plugins.transports.a2a.modes import ANY, fitted, modes_of
from tests.plugins.transports.a2a.kinds import BLOCKS
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


def accepting(*modes: str) -> SendMessageConfiguration:
    return SendMessageConfiguration(accepted_output_modes=modes)


def shown(parts: Any) -> list[Json]:
    return [json_format.MessageToDict(part) for part in parts]


def part(**fields: Any) -> Part:
    return json_format.ParseDict(fields, Part())


def without(what: str, media: str) -> str:
    return f"Left out: {what}, as {media} is none of the accepted output modes"


TEXT: Json = {"text": "héllo"}
LINK: Json = {"url": "https://example.com/a.txt", "mediaType": "text/plain", "filename": "a.txt"}
SEE: Json = {"text": "see", "filename": "c.txt"}


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_client_of_text_gets_nothing_else(binding: str) -> None:
    async with tools("blocks") as (web, _), sdk_client(web, binding=binding, streaming=False) as client:
        request = order("blocks")
        request.configuration.CopyFrom(accepting("text/plain"))
        task = await task_of(client, request)
        kept = await client.get_task(GetTaskRequest(id=task.id))
    plain = {"mediaType": "text/plain"}
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    assert shown(task.artifacts[0].parts) == [
        TEXT,
        {"text": without("a file", "image/png"), **plain},
        {"text": without("a file", "audio/wav"), **plain},
        LINK,
        {"text": without("b.bin", "x/y"), "filename": "b.bin", **plain},
        SEE,
        {"text": '{"type":"new","what":[1,2.5]}', **plain},
    ]
    assert kept.artifacts == task.artifacts


async def test_a_client_of_json_gets_nothing_else_over_a_stream_either() -> None:
    async with tools("blocks") as (web, _), sdk_client(web) as client:
        request = order("blocks")
        request.configuration.CopyFrom(accepting("application/json; charset=utf-8", "IMAGE/*"))
        events = await sent(client, request)
    (artifact,) = [event.artifact_update.artifact for event in events if event.HasField("artifact_update")]
    parts = shown(artifact.parts)
    json = {"mediaType": "application/json"}
    assert parts == [
        {"data": "héllo", **json},
        {"raw": "aGk=", "mediaType": "image/png"},
        {"data": without("a file", "audio/wav"), **json},
        {"data": "https://example.com/a.txt", "filename": "a.txt", **json},
        {"data": without("b.bin", "x/y"), "filename": "b.bin", **json},
        {"data": "see", "filename": "c.txt", **json},
        {"data": BLOCKS[-1]},
    ]


@pytest.mark.parametrize("modes", [(), ("*/*",), ("text", "application/json", "image/png", "audio/*", "x/y")])
async def test_a_client_that_takes_what_there_is_gets_it_as_it_is(modes: tuple[str, ...]) -> None:
    async with tools("blocks") as (web, _), sdk_client(web, streaming=False) as client:
        plain = await task_of(client, order("blocks"))
        request = order("blocks")
        request.configuration.CopyFrom(accepting(*modes))
        task = await task_of(client, request)
    assert task.artifacts == plain.artifacts


@pytest.mark.parametrize(
    "modes", [("image/png",), ("application/pdf", "audio/*"), ("",), ("application/xml",)]
)
@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_client_that_takes_nothing_there_is_gets_an_error_and_nothing_is_called(
    binding: str, modes: tuple[str, ...]
) -> None:
    async with tools("say") as (web, upstream), sdk_client(web, binding=binding) as client:
        request = order("say", {"text": "x"})
        request.configuration.CopyFrom(accepting(*modes))
        with pytest.raises(ContentTypeNotSupportedError, match="application/json or text/plain"):
            await sent(client, request)
        assert not (await client.list_tasks(ListTasksRequest())).tasks
        assert upstream.metas == []


@pytest.mark.parametrize("modes", [["text/plain"] * 65, ["text/plain", "a/" + "b" * 254]])
async def test_more_modes_than_anybody_needs_are_refused(modes: list[str]) -> None:
    async with tools("say") as (web, upstream), sdk_client(web) as client:
        request = order("say", {"text": "x"})
        request.configuration.CopyFrom(accepting(*modes))
        with pytest.raises(InvalidParamsError):
            await sent(client, request)
        assert upstream.metas == []


async def test_what_a_task_asks_is_told_in_the_accepted_modes_until_others_are_named() -> None:
    async with tools("say", "nothing") as (web, _), sdk_client(web, streaming=False) as client:
        request = saying("which?")
        request.configuration.CopyFrom(accepting("text/plain"))
        task = await task_of(client, request)
        assert task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        assert {each.WhichOneof("content") for each in task.status.message.parts} == {"text"}
        again = await task_of(client, saying("still no choice", task_id=task.id))
        assert {each.WhichOneof("content") for each in again.status.message.parts} == {"text"}
        more = order("say", {"text": "x"}, task_id=task.id)
        more.configuration.CopyFrom(accepting("application/json"))
        done = await task_of(client, more)
        assert [data_of(each) for each in done.artifacts[0].parts] == ["x"]


async def test_an_error_is_told_in_the_accepted_modes() -> None:
    async with tools("wrong") as (web, _), sdk_client(web, streaming=False) as client:
        request = order("wrong")
        request.configuration.CopyFrom(accepting("application/json"))
        task = await task_of(client, request)
    assert task.status.state == TaskState.TASK_STATE_FAILED
    assert [data_of(each) for each in task.status.message.parts] == ["no such city"]


DATA: Json = {"data": {"a": 1, "b": [2.5]}, "mediaType": "application/json"}
SAME: Json = {"text": '{"b": [2.5], "a": 1}'}


@pytest.mark.parametrize(
    ("modes", "given", "made"),
    [
        (["text/plain"], [DATA, SAME], [SAME]),
        (["application/json"], [DATA, SAME], [DATA]),
        (["application/json", "text/plain"], [DATA, SAME], [DATA, SAME]),
        (["application/json"], [SAME], [DATA | {"data": {"a": 1, "b": [2.5]}}]),
        (["application/json"], [{"text": "123"}], [{"data": "123", "mediaType": "application/json"}]),
        (
            ["text/plain"],
            [{"text": "# a", "mediaType": "text/markdown", "metadata": {"k": 1}}],
            [{"text": "# a", "mediaType": "text/plain", "metadata": {"k": 1}}],
        ),
        (["text/plain"], [{"url": "https://a.test/x"}], [{"url": "https://a.test/x"}]),
        (
            ["text/plain"],
            [{"url": "https://a.test/x", "mediaType": "image/png"}],
            [{"text": "https://a.test/x", "mediaType": "text/plain"}],
        ),
        (["text/plain"], [], []),
    ],
)
def test_what_is_said_twice_is_said_once_and_the_rest_as_it_can_be_taken(
    modes: list[str], given: list[Json], made: list[Json]
) -> None:
    found = fitted([part(**each) for each in given], modes_of(accepting(*modes)))
    assert shown(found) == [json_format.MessageToDict(part(**each)) for each in made]


def test_a_client_that_says_nothing_takes_everything() -> None:
    assert modes_of(SendMessageConfiguration()) is ANY
    assert ANY.take("x/y")
