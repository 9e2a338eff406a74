"""What a server asks its client in the middle of a call: on every line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.interop.client_wrapper import answer
from tests.interop.speaking import Answerer, Json, RpcError
from tests.interop.suite.acts import Part, Unless, act

pytestmark = pytest.mark.asyncio(loop_scope="session")


@contextlib.contextmanager
def answering(part: Part, by: Answerer) -> Iterator[None]:
    """Answer otherwise than usual."""
    part.client.answer = by
    try:
        yield
    finally:
        part.client.answer = answer


async def text(part: Part, tool: str, arguments: Json | None = None) -> str:
    """What a tool says, and what it has asked on the way."""
    part.client.asked.clear()
    return str((await part.client.call(tool, arguments))["content"][0]["text"])


async def cannot_be_asked(part: Part) -> None:
    part.client.asked.clear()
    with pytest.raises(RpcError) as caught:
        await part.client.call("test_input_required_result_elicitation")
    # On a pipe, a server does not say for which call it asks: then nobody is there, rather than who cannot.
    assert caught.value.error["code"] in (-32600, -32601)
    assert part.client.asked == []


async def answers_are_none(part: Part) -> None:
    """A server that keeps no place goes on without an answer."""
    assert await text(part, "test_input_required_result_elicitation") == "Hello, (none)!"
    assert part.client.asked == []


_WHY = "a legacy client is asked by requests, and none comes here"
ALONE = (
    Unless(_WHY, cannot_be_asked, ("jsonrpc",), "legacy", "legacy"),
    Unless(_WHY, answers_are_none, ("jsonrpc",), "legacy", "modern"),
)


@act(*ALONE)
async def test_a_form_is_filled_in(part: Part) -> None:
    assert await text(part, "test_input_required_result_elicitation") == "Hello, text!"
    assert part.client.asked == ["elicitation/create"]


@act(*ALONE)
async def test_a_form_is_shown_as_the_server_wrote_it(part: Part) -> None:
    forms: list[Json] = []

    def keep(method: str, params: Json) -> Json:
        forms.append(params)
        return answer(method, params)

    with answering(part, keep):
        said = await text(part, "test_elicitation", {"message": "Wie heißt du?"})
    assert said == "User response: action=accept, content={'response': 'text'}"
    assert forms[0]["message"] == "Wie heißt du?"
    assert forms[0]["requestedSchema"]["required"] == ["response"]


@act(*ALONE)
@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_form_may_be_declined(part: Part, action: str) -> None:
    with answering(part, lambda method, params: {"action": action}):
        said = await text(part, "test_elicitation", {"message": "m"})
    assert said == f"User response: action={action}, content={{}}"


@act(*ALONE)
async def test_the_user_is_sent_to_a_page(part: Part) -> None:
    visits: list[Json] = []

    def visit(method: str, params: Json) -> Json:
        visits.append(params)
        return {"action": "accept"}

    with answering(part, visit):
        said = await text(part, "test_visit")
    assert said == "Visited: action=accept, content={}"
    assert [(one["mode"], one["url"]) for one in visits] == [("url", "https://example.com/visit")]


@act(*ALONE)
async def test_the_clients_model_is_asked(part: Part) -> None:
    assert await text(part, "test_input_required_result_sampling") == "The model said: Hello."
    assert part.client.asked == ["sampling/createMessage"]


@act(*ALONE)
async def test_the_clients_roots_are_asked_for(part: Part) -> None:
    assert await text(part, "test_input_required_result_list_roots") == "The client has 1 root(s)."
    assert part.client.asked == ["roots/list"]


@act(*ALONE)
async def test_three_things_are_asked_at_once(part: Part) -> None:
    assert await text(part, "test_input_required_result_multiple_inputs") == "Hello. text, 1 root(s)."
    assert sorted(part.client.asked) == ["elicitation/create", "roots/list", "sampling/createMessage"]


@act(*ALONE)
async def test_one_question_may_follow_another(part: Part) -> None:
    assert await text(part, "test_input_required_result_multi_round") == "text likes text."
    assert part.client.asked == ["elicitation/create"] * 2


@act(*ALONE)
async def test_a_prompt_may_ask_too(part: Part) -> None:
    rendered = await part.client.complete("prompts/get", {"name": "test_input_required_result_prompt"})
    assert rendered["messages"][0]["content"]["text"] == "Use this context: text"


async def progress_is_lost(part: Part) -> None:
    assert await text(part, "test_streaming_elicitation") == "Hello, text!"


@act(
    *ALONE,
    Unless("nothing but the answer comes back", progress_is_lost, ("jsonrpc",), "modern"),
)
async def test_progress_comes_before_a_question(part: Part) -> None:
    client = part.client
    since = len(client.notifications)
    said = await client.call("test_streaming_elicitation", progressToken="p")
    assert said["content"][0]["text"] == "Hello, text!"
    assert client.heard("notifications/progress", since)[0]["progress"] == 1


@act()
async def test_what_the_client_cannot_answer_is_not_asked(part: Part) -> None:
    async with part.another(capabilities={"sampling": {}}) as client:
        said = (await client.call("test_input_required_result_capabilities"))["content"][0]["text"]
    assert "elicitation/create" not in client.asked
    assert said in ("Hello.", "Nothing more to ask.", "Nothing to ask.")
