"""One task: its state as clients see it, and who follows it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import attrs
from a2a.types import (
    Artifact,
    Message,
    Part,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
)

from portico.api import Json, Principal
from portico_plugins.transports.a2a.modes import ANY, fitted
from portico_plugins.transports.a2a.values import agent_message, struct_of

Event = Task | TaskStatusUpdateEvent | TaskArtifactUpdateEvent

TERMINAL: Final = frozenset(
    {
        TaskState.TASK_STATE_COMPLETED,
        TaskState.TASK_STATE_FAILED,
        TaskState.TASK_STATE_CANCELED,
        TaskState.TASK_STATE_REJECTED,
    }
)
INTERRUPTED: Final = frozenset({TaskState.TASK_STATE_INPUT_REQUIRED, TaskState.TASK_STATE_AUTH_REQUIRED})

_HISTORY: Final = 100

_BEHIND: Final = 256
"""Events that may wait for a slow follower; beyond, news of progress is left out, and nothing else."""


@attrs.define(eq=False)
class Follower:
    """One who is told of a task, from when it began to follow."""

    events: deque[Event] = attrs.field(factory=deque)
    news: asyncio.Event = attrs.field(factory=asyncio.Event)

    def tell(self, event: Event, *, passing: bool) -> None:
        """Take an event; one that is only news of progress may be left out."""
        if not passing or len(self.events) < _BEHIND:
            self.events.append(event)
            self.news.set()


class Work:
    """A task.

    Args:
        ident: Its id.
        context: The id of the conversation it belongs to.
        owner: Whose it is.
        now: Gives the time, in seconds since the epoch.
        told: Hears each event but news of progress, for push notifications.
        grew: Told by how many bytes it has grown.

    Attributes:
        task: The task as `GetTask` shows it.
        changed: When its status last changed, in seconds since the epoch.
        size: How many bytes its messages and artifacts have.
        modes: What its client takes.
    """

    def __init__(
        self,
        ident: str,
        context: str,
        owner: Principal,
        now: Callable[[], float],
        told: Callable[[Work, Event], None],
        grew: Callable[[int], None],
    ) -> None:
        self.task = Task(id=ident, context_id=context)
        self.owner = owner
        self.changed = 0.0
        self.size = 0
        self.modes = ANY
        self._now = now
        self._told = told
        self._grew = grew
        self._followers: set[Follower] = set()
        self._stamp(TaskState.TASK_STATE_SUBMITTED)

    @property
    def state(self) -> TaskState:
        """What it is doing."""
        return self.task.status.state

    @property
    def over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.state in TERMINAL

    @property
    def waits(self) -> bool:
        """Whether it waits for its client."""
        return self.state in INTERRUPTED

    def hear(self, message: Message) -> None:
        """Take note of what the client has said."""
        said = Message()
        said.CopyFrom(message)
        said.task_id, said.context_id = self.task.id, self.task.context_id
        self._keep(said)

    def say(
        self,
        state: TaskState,
        parts: Iterable[Part] = (),
        metadata: Json | None = None,
        *,
        passing: bool = False,
    ) -> None:
        """Change the status, and tell everybody; nothing changes a task that is over.

        Args:
            state: What it does now.
            parts: What the agent says about it, if it says something.
            metadata: Of the event.
            passing: Whether this is only news of progress, which no history keeps.
        """
        if self.over:
            return
        said = fitted(parts, self.modes)
        self._stamp(state)
        if said:
            message = agent_message(said, self.task.id, self.task.context_id)
            self.task.status.message.CopyFrom(message)
            if not passing:
                self._keep(message)
        event = TaskStatusUpdateEvent(task_id=self.task.id, context_id=self.task.context_id)
        event.status.CopyFrom(self.task.status)
        if metadata:
            event.metadata.CopyFrom(struct_of(metadata))
        self._tell(event, passing=passing)

    def give(self, artifact: Artifact) -> None:
        """Add something that the task has made."""
        if self.over:
            return
        if self.modes is not ANY:
            parts = fitted(artifact.parts, self.modes)
            artifact = Artifact(artifact_id=artifact.artifact_id, name=artifact.name, parts=parts)
        self.task.artifacts.add().CopyFrom(artifact)
        self._grow(artifact.ByteSize())
        event = TaskArtifactUpdateEvent(
            task_id=self.task.id, context_id=self.task.context_id, artifact=artifact, last_chunk=True
        )
        self._tell(event, passing=False)

    def _keep(self, message: Message) -> None:
        """Add to the history, of which the latest messages are kept."""
        history = self.task.history
        history.add().CopyFrom(message)
        self._grow(message.ByteSize())
        if len(history) > _HISTORY:
            self._grow(-history[0].ByteSize())
            del history[0]

    def _grow(self, size: int) -> None:
        self.size += size
        self._grew(size)

    def _stamp(self, state: TaskState) -> None:
        self.changed = self._now()
        status = TaskStatus(state=state)
        status.timestamp.FromMicroseconds(int(self.changed * 1000) * 1000)
        self.task.status.CopyFrom(status)

    def _tell(self, event: Event, *, passing: bool) -> None:
        for follower in self._followers:
            follower.tell(event, passing=passing)
        if not passing:
            self._told(self, event)

    def follow(self, *, heard: bool = False) -> Follower:
        """Begin to follow it: the first event is the task as it is now. `forget` ends that.

        Args:
            heard: Whether it was just told something: what it has waited for until now is asked no more, and
                clients that look at the first event alone would take it for a question.
        """
        follower = Follower()
        shown = self.snapshot()
        if heard and self.waits:
            shown.status.state = TaskState.TASK_STATE_SUBMITTED
            shown.status.ClearField("message")
        follower.tell(shown, passing=False)
        self._followers.add(follower)
        return follower

    def forget(self, follower: Follower) -> None:
        """It follows no more."""
        self._followers.discard(follower)

    async def events(self, follower: Follower, *, through: bool) -> AsyncIterator[Event]:
        """What a follower is told, in order, until the task is over.

        Args:
            follower: It.
            through: Whether to stay while the task waits for its client; else that is the end, too.
        """
        while True:
            while follower.events:
                event = follower.events.popleft()
                yield event
                if self._ends(event, through=through):
                    return
            follower.news.clear()
            await follower.news.wait()

    def _ends(self, event: Event, *, through: bool) -> bool:
        """Whether nothing follows on an event; a task that waited when it was followed is to go on."""
        if isinstance(event, Task):
            return event.status.state in TERMINAL
        if isinstance(event, TaskArtifactUpdateEvent):
            return False
        return event.status.state in TERMINAL or (event.status.state in INTERRUPTED and not through)

    def snapshot(self, history: int | None = None, *, artifacts: bool = True) -> Task:
        """A copy as a client gets it.

        Args:
            history: How many of the latest messages; None for all.
            artifacts: Whether with what it has made.
        """
        return shown_of(self.task, history, artifacts=artifacts)


def shown_of(task: Task, history: int | None, *, artifacts: bool) -> Task:
    """A copy of a task with as much of it as is wanted; see `Work.snapshot`."""
    shown = Task()
    shown.CopyFrom(task)
    if history is not None:
        del shown.history[: max(len(shown.history) - history, 0)]
    if not artifacts:
        del shown.artifacts[:]
    return shown
