"""The tools of one gateway as an agent, whose skills are the tools of another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from portico.api import Json
from portico.testing import running_gateway
from tests.plugins.transports.a2a import kinds
from tests.plugins.transports.a2a.behind import listening
from tests.plugins.upstreams.a2a.kit import running, structured
from tests.plugins.upstreams.kit import Client, call

FAR = """
    [upstreams.kinds]
    use = "kinds"
    tools = ["name", "size", "plain"]
    [transports.a2a]
"""


def says(answer: Json) -> Callable[[str, Json], Awaitable[Json]]:
    async def answered(method: str, params: Json) -> Json:
        return answer

    return answered


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
@pytest.mark.parametrize(
    ("tool", "asked", "content", "meant"),
    [
        ("name", kinds.NAME, {"name": "Ada"}, {"name": "Ada"}),
        ("size", kinds.SIZE, {"size": 3, "color": "red"}, {"size": 3, "color": "red"}),
        ("plain", None, {"answer": "accept"}, {}),
    ],
)
async def test_what_a_tool_asks_its_user_is_asked_as_it_is_two_gateways_on(
    binding: str, tool: str, asked: Json | None, content: Json, meant: Json
) -> None:
    client = Client(says({"action": "accept", "content": content}))
    async with (
        running_gateway(FAR, plugins=[kinds]) as far,
        listening(far) as url,
        running(f"{url}/a2a/default", bindings=(binding,)) as up,
    ):
        result = await up.send(call(tool, {"data": {"any": 1}}, client=client))
    [(_, params)] = client.questions
    if asked is not None:
        assert params == asked
    else:  # with nothing to fill in it is no form for an agent, but a question
        assert params["message"] == "Sure?\nAnswer with accept, decline or cancel."
    assert structured(result)["state"] == "completed"
    [artifact] = structured(result)["artifacts"]
    assert artifact["parts"][0]["data"] == {"got": {"action": "accept", "content": meant}}
