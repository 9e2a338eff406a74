"""The example of agents, with the agent that comes with it."""

from __future__ import annotations

from pathlib import Path

from portico_examples.clerk import build
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from portico.testing.running import running_gateway
from tests.plugins.upstreams.kit import serving

EXAMPLES = Path(__file__).parents[4] / "examples"


async def test_the_example_books_a_table_and_asks_for_the_time() -> None:
    config = (EXAMPLES / "clerk.toml").read_text("utf-8")
    at: list[str] = []

    agent: list[Starlette] = []  # made when it is known where it is

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not agent:
            agent.append(build(at[0]))
        await agent[0](scope, receive, send)

    async with serving(app) as origin:
        at.append(origin)
        async with running_gateway(config, base=EXAMPLES, environ={"CLERK_URL": origin}) as gateway:
            assert await gateway.names() == ["book", "cancel"]
            done = await gateway.call("cancel", {"message": "the table for two"})
            answers = {"elicitation/create": {"action": "accept", "content": {"answer": "at eight"}}}
            booked = await gateway.call("book", {"message": "a table for two"}, answers=answers)
    assert done["content"][0]["text"] == "Done: cancel the table for two"
    assert booked["content"][0]["text"] == "Done: book a table for two at eight"
