"""What an agent asks for: put to the client, in as many rounds as it takes, or left to another call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from portico.api import Json, Refused
from tests.plugins.upstreams.a2a.agent_server import agent
from tests.plugins.upstreams.a2a.kit import running, structured
from tests.plugins.upstreams.kit import Client, call, text


def says(*answers: Json) -> Callable[[str, Json], Awaitable[Json]]:
    """A client that gives these answers, one after the other."""
    left = iter(answers)

    async def answer(method: str, params: Json) -> Json:
        return next(left)

    return answer


def accepts(**content: Any) -> Json:
    return {"action": "accept", "content": content}


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_question_is_put_to_the_client_and_its_answer_to_the_agent(streaming: bool) -> None:
    client = Client(says(accepts(answer="fine")))
    async with agent(streaming=streaming) as served, running(served.url) as up:
        result = await up.send(call("greet", {"message": "ask How are you"}, client=client))
    [(method, params)] = client.questions
    assert (method, params["message"]) == ("elicitation/create", "How are you?")
    assert params["requestedSchema"]["required"] == ["answer"]
    assert text(result) == "fine"
    assert structured(result)["state"] == "completed"
    first, second = served.script.heard
    assert (second["taskId"], second["contextId"]) == (first["taskId"], first["contextId"])


async def test_an_agent_may_ask_more_than_once() -> None:
    client = Client(says(accepts(answer="again"), accepts(answer="again"), accepts(answer="yes")))
    async with agent() as served, running(served.url) as up:
        result = await up.send(call("greet", {"message": "ask Sure"}, client=client))
    assert [params["message"] for _, params in client.questions] == ["Sure?", "Really?", "Really?"]
    assert text(result) == "yes"


async def test_an_agent_that_never_stops_asking_is_left_with_its_question() -> None:
    client = Client(says(*[accepts(answer="again")] * 20))
    async with agent() as served, running(served.url) as up:
        result = await up.send(call("greet", {"message": "ask Sure"}, client=client))
    assert len(client.questions) == 10
    assert structured(result)["state"] == "input_required"


async def test_a_form_of_the_agents_is_filled_in_and_sent_as_data() -> None:
    client = Client(says(accepts(seats=3)))
    async with agent() as served, running(served.url) as up:
        result = await up.send(call("greet", {"message": "form"}, client=client))
    assert client.questions[0][1]["requestedSchema"]["properties"] == {"seats": {"type": "integer"}}
    assert served.script.heard[1]["parts"] == [{"data": {"seats": 3}, "mediaType": "application/json"}]
    assert structured(result)["artifacts"][0]["parts"][0]["data"] == {"seats": 3}


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_who_does_not_answer_gets_the_question_back_with_its_ids(action: str) -> None:
    client = Client(says({"action": action}))
    async with agent() as served, running(served.url) as up:
        result = await up.send(call("greet", {"message": "ask Sure"}, client=client))
        again = {"message": "yes", "taskId": structured(result)["taskId"]}
        assert text(await up.send(call("greet", again))) == "yes"
    assert not result.value["isError"]
    assert structured(result)["state"] == "input_required"
    assert not served.script.cancelled


async def test_a_client_that_cannot_be_asked_gets_the_question_as_the_result() -> None:
    async def refuses(method: str, params: Json) -> Json:
        raise Refused(-32021, "The client did not declare the capability")

    async with agent() as served, running(served.url) as up:
        result = await up.send(call("greet", {"message": "ask Sure"}, client=Client(refuses)))
    assert structured(result)["state"] == "input_required"
    assert text(result) == "Sure?"


async def test_time_in_which_the_client_is_asked_is_not_the_agents() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(method: str, params: Json) -> Json:
        asked.set()
        await go_on.wait()
        return accepts(answer="late")

    async with agent() as served, running(served.url, call_timeout=2.0) as up:
        exchange = call("greet", {"message": "ask Sure"}, client=Client(slowly))
        calling = asyncio.create_task(up.send(exchange))
        await asked.wait()
        asyncio.get_running_loop().call_later(2.2, go_on.set)
        assert text(await calling) == "late"


@pytest.mark.parametrize(
    "said", ["Go to https://login.example/start?x=1.", "(https://login.example/start?x=1)"]
)
async def test_an_agent_that_needs_an_authorization_has_the_user_sent_there(said: str) -> None:
    async with agent() as served, running(served.url) as up:

        async def visits(method: str, params: Json) -> Json:
            served.script.release.set()
            return {"action": "accept"}

        client = Client(visits)
        result = await up.send(call("greet", {"message": f"auth {said}"}, client=client))
    [(_, params)] = client.questions
    assert (params["mode"], params["url"]) == ("url", "https://login.example/start?x=1")
    assert text(result) == "authorized"


async def test_who_cannot_be_sent_anywhere_is_told_where_to_go() -> None:
    async with agent() as served, running(served.url) as up:
        result = await up.send(call("greet", {"message": "auth at https://login.example/"}))
    assert result.value["isError"]
    assert "https://login.example/" in result.value["content"][-1]["text"]
    assert structured(result)["url"] == "https://login.example/"
    assert structured(result)["state"] == "auth_required"


async def test_nobody_is_sent_to_what_is_no_address_of_the_web() -> None:
    client = Client(says({"action": "accept"}))
    async with agent() as served, running(served.url) as up:
        result = await up.send(call("greet", {"message": "auth javascript:alert(1)"}, client=client))
    assert client.questions == []
    assert "url" not in structured(result)
    assert result.value["isError"]


async def test_a_call_that_is_given_up_while_its_client_is_asked_cancels_the_task() -> None:
    asked = asyncio.Event()

    async def never(method: str, params: Json) -> Json:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with agent() as served, running(served.url) as up:
        exchange = call("greet", {"message": "ask Sure"}, client=Client(never))
        calling = asyncio.create_task(up.send(exchange))
        await asked.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        async with asyncio.timeout(30):
            await served.script.gone.wait()
    assert served.script.cancelled == [served.script.heard[0]["taskId"]]
