"""Long work of an agent for a client of 2025-11-25: a task in the words of that revision."""

from __future__ import annotations

from portico.api import Json, Principal
from portico.testing.running import RunningGateway
from tests.kernel.doubles import LegacyPeer, answer_of, frames_of
from tests.plugins.upstreams.a2a.test_tasks import gateway, waits

RELATED = "io.modelcontextprotocol/related-task"


def client(running: RunningGateway) -> LegacyPeer:
    """A client with a session."""
    endpoint = running.gateway.plane.endpoints["default"]
    return LegacyPeer(endpoint, Principal("anonymous", "anonymous")).open(capabilities={"elicitation": {}})


async def asked(peer: LegacyPeer, method: str, params: Json) -> Json:
    answer = await answer_of(peer.request(method, params))
    result: Json = answer["result"]
    return result


async def begun(peer: LegacyPeer, params: Json) -> str:
    task = (await asked(peer, "tools/call", {**params, "task": {}}))["task"]
    assert task["status"] == "working"
    return str(task["taskId"])


async def status(peer: LegacyPeer, ident: str, *states: str) -> str:
    """Of a task, when it is in one of these states."""
    while (found := (await asked(peer, "tasks/get", {"taskId": ident}))["status"]) not in states:
        pass
    return str(found)


async def test_long_work_is_followed_and_its_result_fetched() -> None:
    async with gateway() as (served, running):
        peer = client(running)
        tools = (await asked(peer, "tools/list", {}))["tools"]
        assert tools[0]["execution"] == {"taskSupport": "optional"}
        ident = await begun(peer, waits())
        assert await status(peer, ident, "working") == "working"
        served.script.release.set()
        await status(peer, ident, "completed")
        result = await asked(peer, "tasks/result", {"taskId": ident})
    assert result["content"][0]["text"] == "waited x"
    assert result["_meta"][RELATED] == {"taskId": ident}


async def test_work_that_is_soon_done_is_a_task_that_is_over() -> None:
    async with gateway(after=30) as (_, running):
        peer = client(running)
        ident = await begun(peer, waits("echo", "you"))
        assert await status(peer, ident, "completed", "working") == "completed"
        result = await asked(peer, "tasks/result", {"taskId": ident})
    assert result["content"][0]["text"] == "Hello, you!"


async def test_its_question_is_put_to_who_waits_for_the_result() -> None:
    async with gateway() as (served, running):
        peer = client(running)
        ident = await begun(peer, waits("late", "So"))
        served.script.release.set()
        stream = peer.request("tasks/result", {"taskId": ident})
        while not stream.last:
            await stream.wait(0, 15)
        question = frames_of(stream)[0]
        assert question["params"]["message"] == "So?"
        peer.reply(question, {"action": "accept", "content": {"answer": "yes"}})
        assert (await answer_of(stream))["result"]["content"][0]["text"] == "yes"


async def test_it_is_cancelled_at_the_agents() -> None:
    async with gateway() as (served, running):
        peer = client(running)
        ident = await begun(peer, waits())
        assert (await asked(peer, "tasks/cancel", {"taskId": ident}))["status"] == "cancelled"
        await status(peer, ident, "cancelled")
    assert served.script.cancelled == [served.script.heard[0]["taskId"]]
