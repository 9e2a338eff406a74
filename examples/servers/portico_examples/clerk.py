"""An A2A agent that books tables: `python -m portico_examples.clerk --port 41241`.

It needs `pip install 'portico[a2a]'`. It says what it is doing, and asks what it was not told.
"""

from __future__ import annotations

import argparse
import asyncio

from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    Part,
    Task,
    TaskState,
    TaskStatus,
)
from google.protobuf.json_format import MessageToDict
from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.applications import Starlette

_SKILLS = (
    ("book", "Books a table at the restaurant.", "booking", "a table for two at eight"),
    ("cancel", "Cancels a booking.", "booking", "the table for two"),
    ("audit", "Says who has booked.", "internal", "today"),
)


class Clerk(AgentExecutor):
    """Books tables."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Carry out what a message asks for."""
        if context.message is None:
            return
        task = context.current_task
        if task is None:
            status = TaskStatus(state=TaskState.TASK_STATE_SUBMITTED)
            task = Task(id=context.task_id, context_id=context.context_id, status=status)
            task.history.append(context.message)
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        skill = MessageToDict(task.history[0].metadata).get("skillId", "book")
        said = context.get_user_input()
        if skill == "book" and " at " not in f" {said}":
            await updater.requires_input(updater.new_agent_message([Part(text="At what time?")]))
            return
        await updater.start_work(updater.new_agent_message([Part(text="Looking into the book...")]))
        asked = next((part.text for part in task.history[0].parts if part.text), said)
        more = "" if said == asked else f" {said}"
        await updater.add_artifact([Part(text=f"Done: {skill} {asked}{more}")], name="confirmation")
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Leave it."""
        await TaskUpdater(event_queue, context.task_id or "", context.context_id or "").cancel()


def build(url: str) -> Starlette:
    """The agent as an application.

    Args:
        url: Where it is to be reached.
    """
    card = AgentCard(
        name="Clerk",
        description="Takes bookings of a restaurant.",
        version="1.0.0",
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        supported_interfaces=[
            AgentInterface(url=f"{url}/rpc", protocol_binding="JSONRPC", protocol_version="1.0")
        ],
        skills=[
            AgentSkill(id=name, name=name.title(), description=text, tags=[tag], examples=[example])
            for name, text, tag, example in _SKILLS
        ],
    )
    handler = DefaultRequestHandler(agent_executor=Clerk(), task_store=InMemoryTaskStore(), agent_card=card)
    return Starlette(routes=[*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/rpc")])


def main() -> None:
    """Serve on loopback."""
    parser = argparse.ArgumentParser(prog="portico_examples.clerk", description=__doc__)
    parser.add_argument("--port", type=int, default=41241)
    port = parser.parse_args().port
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    asyncio.run(serve(build(f"http://127.0.0.1:{port}"), config))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
