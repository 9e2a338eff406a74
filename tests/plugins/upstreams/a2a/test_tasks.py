"""Long work as tasks of MCP, through a whole gateway; and questions, in either era."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import mcp_types as types
import pytest
from mcp import Client

from portico.api import META_CAPABILITIES, META_CLIENT_INFO, META_VERSION, Json, Refused
from portico.testing.running import RunningGateway, running_gateway
from tests.plugins.upstreams.a2a.agent_server import Serving, agent
from tests.plugins.upstreams.kit import serving

CONFIG = """
[upstreams.greeter]
use = "a2a"
url = "{url}"
task_after = {after}
[servers.default]
upstreams = ["greeter"]
auth = ["anonymous"]
[auth.anonymous]
[transports.streamable_http]
"""


@asynccontextmanager
async def gateway(after: float = 0.05, **shape: Any) -> AsyncIterator[tuple[Serving, RunningGateway]]:
    async with agent(**shape) as served:
        config = CONFIG.format(url=served.url, after=after)
        async with running_gateway(config) as running:
            yield served, running


def knowing(params: Json, *elicits: str) -> Json:
    """The params of a client that knows tasks."""
    declared: Json = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    if elicits:
        declared["elicitation"] = {mode: {} for mode in elicits}
    info = {"name": "tester", "version": "1"}
    meta = {META_VERSION: "2026-07-28", META_CAPABILITIES: declared, META_CLIENT_INFO: info}
    return {**params, "_meta": meta}


async def ask(running: RunningGateway, method: str, params: Json, *elicits: str) -> Json:
    return await running._round(method, knowing(params, *elicits), "default")


async def until(running: RunningGateway, task: str, *states: str) -> Json:
    """A task when it is in one of these states."""
    while True:
        found = await ask(running, "tasks/get", {"taskId": task}, "form", "url")
        if found["status"] in states:
            return found


def waits(word: str = "wait", rest: str = "x") -> Json:
    return {"name": "greet", "arguments": {"message": f"{word} {rest}"}}


@pytest.mark.parametrize("streaming", [True, False])
async def test_work_that_takes_long_becomes_a_task_and_its_result_is_the_tools(streaming: bool) -> None:
    async with gateway(streaming=streaming) as (served, running):
        begun = await ask(running, "tools/call", waits())
        assert (begun["resultType"], begun["status"]) == ("task", "working")
        working = await ask(running, "tasks/get", {"taskId": begun["taskId"]})
        assert (working["status"], working["taskId"]) == ("working", begun["taskId"])
        assert working["createdAt"] == begun["createdAt"]
        served.script.release.set()
        done = await until(running, begun["taskId"], "completed")
    assert (done["resultType"], working["resultType"]) == ("complete", "complete")
    assert done["result"]["content"][0]["text"] == "waited x"
    assert done["result"]["structuredContent"]["state"] == "completed"
    assert not served.script.cancelled


async def test_work_that_is_soon_done_is_no_task() -> None:
    async with gateway(after=30) as (_, running):
        result = await ask(running, "tools/call", waits("echo", "you"))
    assert result["content"][0]["text"] == "Hello, you!"


async def test_a_client_that_knows_no_tasks_is_answered_when_it_is_done() -> None:
    async with gateway() as (served, running):
        served.script.release.set()
        result = await running.call("greet", {"message": "wait x"})
        discovered = await running.request("server/discover")
    assert result["content"][0]["text"] == "waited x"
    assert "io.modelcontextprotocol/tasks" in discovered["capabilities"]["extensions"]


async def test_a_task_is_cancelled_at_the_agents() -> None:
    async with gateway() as (served, running):
        begun = await ask(running, "tools/call", waits())
        await ask(running, "tasks/cancel", {"taskId": begun["taskId"]})
        ended = await until(running, begun["taskId"], "cancelled")
    assert ended["status"] == "cancelled"
    assert served.script.cancelled == [served.script.heard[0]["taskId"]]


async def test_a_task_that_fails_is_a_completed_one_with_an_error_for_its_result() -> None:
    async with gateway() as (served, running):
        begun = await ask(running, "tools/call", waits("late", "So"))
        served.script.release.set()
        asked = await until(running, begun["taskId"], "input_required")
        [(key, question)] = asked["inputRequests"].items()
        assert question["params"]["message"] == "So?"
        given = {key: {"action": "accept", "content": {"answer": "yes"}}}
        await ask(running, "tasks/update", {"taskId": begun["taskId"], "inputResponses": given})
        done = await until(running, begun["taskId"], "completed")
    assert done["result"]["content"][0]["text"] == "yes"


async def test_an_answer_to_a_question_nobody_asked_is_passed_over() -> None:
    async with gateway() as (served, running):
        begun = await ask(running, "tools/call", waits("late", "So"))
        served.script.release.set()
        await until(running, begun["taskId"], "input_required")
        given = {"other": {"action": "accept", "content": {"answer": "yes"}}}
        await ask(running, "tasks/update", {"taskId": begun["taskId"], "inputResponses": given})
        still = await ask(running, "tasks/get", {"taskId": begun["taskId"]})
        assert still["status"] == "input_required"
        [key] = still["inputRequests"]
        declined = {"taskId": begun["taskId"], "inputResponses": {key: {"action": "decline"}}}
        await ask(running, "tasks/update", declined)
        await until(running, begun["taskId"], "cancelled")
    assert len(served.script.heard) == 1


async def test_a_task_that_needs_an_authorization_says_where() -> None:
    async with gateway() as (served, running):
        begun = await ask(running, "tools/call", waits("unauthorized", "https://login.example/"))
        served.script.release.set()
        asked = await until(running, begun["taskId"], "input_required")
        [question] = asked["inputRequests"].values()
        assert question["params"]["url"] == "https://login.example/"
        served.script.authorized.set()
        done = await until(running, begun["taskId"], "completed")
    assert done["result"]["content"][0]["text"] == "authorized"


async def test_a_task_there_is_not_is_refused() -> None:
    async with gateway() as (_, running):
        with pytest.raises(Refused) as refused:
            await ask(running, "tasks/get", {"taskId": "made-up"})
    assert refused.value.code == -32602


async def test_a_modern_client_is_asked_by_input_required_and_its_retry_goes_on() -> None:
    answers = {"elicitation/create": {"action": "accept", "content": {"answer": "fine"}}}
    async with gateway() as (served, running):
        result = await running.call("greet", {"message": "ask How"}, answers=answers)
    assert result["content"][0]["text"] == "fine"
    assert len(served.script.heard) == 2


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_the_sdks_client_is_asked_in_either_era(mode: str) -> None:
    async def elicit(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"answer": params.message})

    async with gateway() as (_, running), serving(running.gateway.app) as origin:
        url = f"{origin}/servers/default/mcp"
        async with Client(url, mode=mode, elicitation_callback=elicit) as client:  # type: ignore[arg-type]
            told: list[str | None] = []

            async def progress(done: float, total: float | None, message: str | None) -> None:
                told.append(message)

            tools = (await client.list_tools()).tools
            result: Any = await client.call_tool("greet", {"message": "ask How"})
            steps: Any = await client.call_tool("greet", {"message": "steps 2"}, progress_callback=progress)
            card: Any = await client.read_resource("a2a://greeter/agent-card.json")
    assert [tool.name for tool in tools] == ["greet", "count_up"]
    assert result.content[0].text == "How?"
    assert steps.structured_content["state"] == "completed"
    assert "step 1" in told
    assert '"name":"Greeter"' in card.contents[0].text
    assert "127.0.0.1" not in card.contents[0].text


async def test_ids_outlive_a_gateway_that_has_a_secret_and_are_nothing_to_another() -> None:
    async def said(secret: str, arguments: Json) -> Json:
        config = f'[gateway]\nsecret = "{secret * 8}"\n' + CONFIG.format(url=served.url, after=5)
        async with running_gateway(config) as running:
            return await running.call("greet", {"message": "you", **arguments})

    async with agent() as served:
        first = await said("abcd", {})
        again = {"contextId": first["structuredContent"]["contextId"]}
        assert not (await said("abcd", again))["isError"]
        assert (await said("efgh", again))["isError"]
    assert served.script.heard[1]["contextId"] == served.script.heard[0]["contextId"]
    assert len(served.script.heard) == 2
