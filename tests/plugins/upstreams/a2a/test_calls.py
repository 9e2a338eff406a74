"""Calls of an agent's skills, over every binding, against an agent made with the SDK."""

from __future__ import annotations

from typing import Any

import pytest

from portico.api import State
from tests.plugins.upstreams.a2a.agent_server import agent
from tests.plugins.upstreams.a2a.kit import running, structured
from tests.plugins.upstreams.kit import call, text

WAYS = [
    (binding, version, streaming)
    for binding in ("JSONRPC", "HTTP+JSON", "GRPC")
    for version in ("1.0", "0.3.0")
    for streaming in (True, False)
]


async def test_a_skill_is_a_tool_that_says_what_the_agent_says() -> None:
    async with agent() as served, running(served.url) as up:
        assert up.upstream.state is State.READY
        assert [tool["name"] for tool in up.upstream.offer.tools] == ["greet", "count_up"]
        result = await up.send(call("greet", {"message": "world"}))
    assert text(result) == "Hello, world!"
    assert structured(result)["state"] == "completed"
    assert served.script.heard[0]["metadata"] == {"skillId": "greet"}


@pytest.mark.parametrize(("binding", "version", "streaming"), WAYS)
async def test_every_binding_of_both_versions_gives_the_same(
    binding: str, version: str, streaming: bool
) -> None:
    async with (
        agent([binding], version=version, streaming=streaming) as served,
        running(served.url, origins=[served.grpc]) as up,
    ):
        result = await up.send(call("greet", {"message": "you"}))
        message = await up.send(call("greet", {"message": "say it"}))
    assert text(result) == "Hello, you!"
    shown: Any = structured(result)["artifacts"][0]
    assert (shown["artifactId"], shown["name"]) == ("a1", "greeting")
    assert structured(message)["message"] == "it"
