"""The questions of tasks of 2025-11-25, kept for clients that come for them."""

from __future__ import annotations

import asyncio

import pytest

from portico.api import OVERLOADED, Json, Refused
from portico_plugins.upstreams.mcp.call import Call
from portico_plugins.upstreams.mcp.inputs import Inputs
from tests.kernel.doubles import jumping
from tests.plugins.upstreams.kit import exchange

ELICIT: Json = {"message": "?"}


class Server:
    """Asks once for each task, and has results when it is told so."""

    def __init__(self, *asks: str) -> None:
        self.pins = 0
        self.inputs = Inputs(self.result, self.pin)
        self.answers: list[Json] = []
        self.over = asyncio.Event()
        self._asks = asks

    def pin(self, more: int) -> None:
        self.pins += more

    async def result(self, own: str, call: Call) -> bytes:
        assert call.exchange is not None
        for method in self._asks:
            try:
                self.answers.append(await call.exchange.client.ask(method, ELICIT))
            except Refused as refusal:
                self.answers.append(refusal.body())
        await self.over.wait()
        return b"{}"


def asking() -> Json:
    return {"capabilities": {"elicitation": {}}}


@jumping
async def test_a_question_is_kept_until_it_is_answered_and_the_session_with_it() -> None:
    server = Server("elicitation/create", "elicitation/create")
    request = exchange("tasks/get", **asking())
    first = await server.inputs.asked("own", request)
    assert await server.inputs.asked("own", request) == first
    ((key, shown),) = first.items()
    assert shown == {"method": "elicitation/create", "params": ELICIT}
    assert server.pins == 1
    server.inputs.answer("own", {key: {"action": "accept"}})
    second = await server.inputs.asked("own", request)
    assert key not in second
    server.inputs.answer("own", {key: {"action": "decline"}})  # it has been answered
    assert await server.inputs.asked("own", request) == second
    server.inputs.answer("own", {next(iter(second)): {"action": "decline"}})
    assert await server.inputs.asked("own", request) == {}
    server.over.set()
    await asyncio.sleep(1)
    assert server.pins == 0
    assert server.answers == [{"action": "accept"}, {"action": "decline"}]


@jumping
async def test_what_nobody_comes_for_is_given_up_and_the_session_let_go() -> None:
    server = Server("elicitation/create")
    await server.inputs.asked("own", exchange("tasks/get", **asking()))
    await asyncio.sleep(3601)
    assert (server.pins, server.answers) == (0, [])


@jumping
async def test_what_a_client_has_not_declared_is_not_kept_for_it() -> None:
    server = Server("sampling/createMessage", "tasks/get")
    assert await server.inputs.asked("own", exchange("tasks/get", **asking())) == {}
    assert [answer["code"] for answer in server.answers] == [-32601, -32601]


@jumping
async def test_questions_of_too_many_tasks_are_not_waited_for() -> None:
    server = Server("elicitation/create")
    request = exchange("tasks/get", **asking())
    for number in range(64):
        assert await server.inputs.asked(f"own-{number}", request)
    with pytest.raises(Refused) as caught:
        await server.inputs.asked("own-64", request)
    assert caught.value.code == OVERLOADED
    server.inputs.drop("own-0")
    assert await server.inputs.asked("own-64", request)
    for work in server.inputs.drop_all():
        work.cancel()
    await asyncio.sleep(0)
    assert server.pins == 0
