"""What the fixture agent does with a message: its id says so, as the A2A TCK wants it of every agent.

The TCK (branch 1.0-dev, `scenarios/*.feature`) begins a message's id with the name of what shall happen; ids
that do not begin with one of its names, or of ours below, are answered with a completed task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from a2a.helpers.proto_helpers import new_data_message, new_text_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types import Part, Task, TaskState, TaskStatus
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value

Act = Callable[[TaskUpdater], Awaitable[None]]


def text(words: str) -> Part:
    """A text part."""
    return Part(text=words)


def data(value: object) -> Part:
    """A data part."""
    return Part(data=ParseDict(cast("Any", value), Value()))


FILE = Part(raw=b"tck", media_type="text/plain", filename="output.txt")
FILE_URL = Part(url="https://example.com/output.txt", media_type="text/plain", filename="output.txt")


def completed_with(*parts: Part) -> Act:
    """One artifact, and the task is complete."""

    async def act(updater: TaskUpdater) -> None:
        await updater.add_artifact([*parts])
        await updater.complete()

    return act


def worked_with(*parts: Part) -> Act:
    """First it works, then there is an artifact, and the task is complete."""

    async def act(updater: TaskUpdater) -> None:
        await updater.start_work()
        await completed_with(*parts)(updater)

    return act


async def complete(updater: TaskUpdater) -> None:
    """The task is complete, and says so."""
    await updater.complete(updater.new_agent_message([text("Hello from TCK")]))


async def complete_silently(updater: TaskUpdater) -> None:
    """The task is complete."""
    await updater.complete()


async def require_input(updater: TaskUpdater) -> None:
    """The task waits for another message."""
    await updater.requires_input(updater.new_agent_message([text("Which one?")]))


async def reject(updater: TaskUpdater) -> None:
    """The agent will not do it."""
    await updater.reject(updater.new_agent_message([text("rejected")]))


async def in_chunks(updater: TaskUpdater) -> None:
    """One artifact in two pieces."""
    await updater.start_work()
    await updater.add_artifact([text("chunk-1 ")], artifact_id="chunked", last_chunk=False)
    await updater.add_artifact([text("chunk-2")], artifact_id="chunked", append=True, last_chunk=True)
    await updater.complete()


ACTS: dict[str, Act] = {
    "tck-complete-task": complete,
    "tck-artifact-text": completed_with(text("Generated text content")),
    "tck-artifact-file-url": completed_with(FILE_URL),
    "tck-artifact-file": completed_with(FILE),
    "tck-artifact-data": completed_with(data({"key": "value", "count": 42})),
    "tck-input-required": require_input,
    "tck-reject-task": reject,
    "tck-stream-001": worked_with(text("Stream hello from TCK")),
    "tck-stream-002": complete_silently,
    "tck-stream-003": worked_with(text("Stream task lifecycle")),
    "tck-stream-ordering-001": worked_with(text("Ordered output")),
    "tck-stream-artifact-text": worked_with(text("Streamed text content")),
    "tck-stream-artifact-file": worked_with(FILE),
    "tck-stream-artifact-chunked": in_chunks,
}
"""By the beginning of the id; of two that fit, the first."""


class Scripted(AgentExecutor):
    """Acts by the message's id.

    Ids of our own: `wait` works until `go` is set or the task is cancelled; `echo` says what it was asked
    with, as a message; `fail` raises.

    Attributes:
        go: Lets those that wait go on.
        waiting: Set while one waits.
        asked: The message ids that came, in their order.
    """

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.waiting = asyncio.Event()
        self.asked: list[str] = []

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Do what the id says."""
        message = context.message
        ident = message.message_id if message else ""
        self.asked.append(ident)
        ids = {"context_id": context.context_id, "task_id": None}
        if ident.startswith("tck-message-response"):
            await event_queue.enqueue_event(new_text_message("Direct message response", **ids))
            return
        if ident.startswith("echo"):
            await event_queue.enqueue_event(new_data_message(_seen(context), **ids))
            return
        task_id = context.task_id or ""
        context_id = (context.current_task or context).context_id or ""
        if context.current_task is None:
            status = TaskStatus(state=TaskState.TASK_STATE_SUBMITTED)
            await event_queue.enqueue_event(
                Task(id=task_id, context_id=context_id, status=status, history=[message] if message else [])
            )
        updater = TaskUpdater(event_queue, task_id, context_id)
        if ident.startswith("fail"):
            raise RuntimeError("as the message wanted")
        if ident.startswith("wait"):
            await self._wait(updater)
            return
        act = next((one for prefix, one in ACTS.items() if ident.startswith(prefix)), complete)
        await act(updater)

    async def _wait(self, updater: TaskUpdater) -> None:
        await updater.start_work()
        await updater.add_artifact([text("so far")])
        self.waiting.set()
        try:
            await self.go.wait()
        finally:
            self.waiting.clear()
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Every task can be cancelled."""
        await TaskUpdater(event_queue, context.task_id or "", context.context_id or "").cancel()


def _seen(context: RequestContext) -> dict[str, object]:
    """What a client's request looks like from here."""
    call = context.call_context
    state = call.state if call else {}
    headers = dict(state.get("headers") or {})
    if rpc := state.get("grpc_context"):
        headers = {name: value for name, value in rpc.invocation_metadata() if isinstance(value, str)}
    return {
        "headers": {name: value for name, value in headers.items() if name.startswith(("a2a-", "x-"))},
        "authorization": headers.get("authorization", ""),
        "extensions": sorted(call.requested_extensions) if call else [],
        "tenant": call.tenant if call else "",
        "metadata": dict(context.metadata),
        "message": MessageToDict(context.message) if context.message else {},
    }
