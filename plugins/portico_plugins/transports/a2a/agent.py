"""A virtual server as an A2A agent: the operations of A2A, carried out by calls of its tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Final

import attrs
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.types import (
    AgentCard,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskPushNotificationConfig,
)
from a2a.utils.errors import (
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from portico.api import Endpoint, Json, Principal
from portico_plugins.transports.a2a.bindings import Card, Visit, caller_of, visit_of
from portico_plugins.transports.a2a.everywhere import pages_elsewhere
from portico_plugins.transports.a2a.modes import ANY, Modes, modes_of
from portico_plugins.transports.a2a.pages import page_wanted
from portico_plugins.transports.a2a.posting import Place
from portico_plugins.transports.a2a.running import Run
from portico_plugins.transports.a2a.table import Entry, Table
from portico_plugins.transports.a2a.tools import pages_of, tools_in
from portico_plugins.transports.a2a.wanted import meant_by, named_by, said_in
from portico_plugins.transports.a2a.webhooks import Webhooks
from portico_plugins.transports.a2a.work import Event, Follower

_LONGEST: Final = 512
"""Of ids that clients choose, in characters."""


@attrs.frozen(eq=False)
class Taken:
    """A message that has been taken, and what follows what comes of it."""

    entry: Entry
    follower: Follower


class ToolAgent(RequestHandler):
    """Carries out A2A operations for one virtual server.

    Args:
        endpoint: The virtual server.
        path: Where the agent is.
        table: Its tasks.
        extended: Gives the card for those who are known.
        hooks: What tells webhooks; None if there shall be none.
    """

    def __init__(
        self, endpoint: Endpoint, path: str, table: Table, extended: Card, hooks: Webhooks | None
    ) -> None:
        self._endpoint = endpoint
        self._path = path
        self._table = table
        self._extended = extended
        self._hooks = hooks

    # --- messages --------------------------------------------------------------------------------------

    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Task | Message:
        """Take a message; the task it is about, by default when that is over or waits for its client."""
        configuration = params.configuration
        history = _history_of(configuration)
        taken = await self._take(params, visit_of(context))
        work = taken.entry.work
        try:
            if not configuration.return_immediately:
                async for _ in work.events(taken.follower, through=False):
                    pass
        finally:
            work.forget(taken.follower)
        return work.snapshot(history)

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        """Take a message, and tell what comes of it."""
        taken = await self._take(params, visit_of(context))
        work = taken.entry.work
        try:
            async for event in work.events(taken.follower, through=False):
                yield event
        finally:
            work.forget(taken.follower)

    async def _take(self, params: SendMessageRequest, visit: Visit) -> Taken:
        message = params.message
        if message.role != Role.ROLE_USER:
            raise InvalidParamsError("The role of a message to an agent is ROLE_USER")
        _check_ids(message)
        said = said_in(message, visit.message)
        modes = modes_of(params.configuration)
        hook = params.configuration.task_push_notification_config
        place = await self._webhooks().judged(hook) if hook.url else None
        principal = visit.principal
        assert principal is not None
        entry = self._entry(message.task_id, principal) if message.task_id else None
        if entry is not None:
            _check_waits(entry, message)
            if entry.run.questions is not None:
                answers = entry.run.questions.answered_by(said)
                self._tell(entry, hook, place, modes)
                return self._let(entry, message, lambda run: run.go_on(answers, visit.headers))
        tools: dict[str, Json] = {}
        wanted = named_by(said)
        if wanted is None:
            tools = tools_in(await pages_of(self._endpoint, principal, visit.headers))
            wanted = meant_by(said, tools)
        if entry is not None:
            _check_waits(entry, message)
        else:
            entry = self._table.open(principal, message.context_id)
        self._tell(entry, hook, place, modes)
        if wanted is not None:
            order = wanted
            return self._let(entry, message, lambda run: run.begin(order, visit.headers))
        if said.skill in tools:
            tools = {said.skill: tools[said.skill]}
        return self._let(entry, message, lambda run: run.offer(tools))

    def _tell(
        self, entry: Entry, hook: TaskPushNotificationConfig, place: Place | None, modes: Modes
    ) -> None:
        """Have what comes of a task told as its client wants it."""
        if modes is not ANY:
            entry.work.modes = modes
        if place is not None and self._hooks is not None:
            self._hooks.add(entry.work.task.id, hook, place)

    def _let(self, entry: Entry, message: Message, begin: Callable[[Run], None]) -> Taken:
        """Have a task go on with a message; a task that could not even begin is none."""
        work, new = entry.work, not entry.work.task.history
        work.hear(message)
        follower = work.follow(heard=True)
        try:
            begin(entry.run)
        except BaseException:
            work.forget(follower)
            if new:
                self._table.forget(work.task.id)
            raise
        return Taken(entry, follower)

    def _entry(self, ident: str, owner: Principal) -> Entry:
        entry = self._table.find(ident, owner)
        if entry is None:
            raise TaskNotFoundError
        return entry

    # --- tasks -----------------------------------------------------------------------------------------

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task:
        """A task as it is now."""
        return self._entry(params.id, caller_of(context)).work.snapshot(_history_of(params))

    async def on_list_tasks(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        """The tasks of a principal, those that changed last first."""
        page = page_wanted(params, _history_of(params))
        elsewhere = await pages_elsewhere(self._endpoint, self._path, params, visit_of(context))
        here = page.of(self._table.of(caller_of(context)))
        return page.joined([here, *elsewhere]) if elsewhere else here

    async def on_cancel_task(self, params: CancelTaskRequest, context: ServerCallContext) -> Task:
        """End a task; its call is cancelled."""
        entry = self._entry(params.id, caller_of(context))
        if entry.work.over:
            raise TaskNotCancelableError
        entry.run.cancel()
        return entry.work.snapshot()

    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        """What comes of a task from now on, until it is over."""
        work = self._entry(params.id, caller_of(context)).work
        if work.over:
            raise UnsupportedOperationError("The task is over: nothing more comes of it")
        follower = work.follow()
        try:
            async for event in work.events(follower, through=True):
                yield event
        finally:
            work.forget(follower)

    # --- webhooks --------------------------------------------------------------------------------------

    async def on_create_task_push_notification_config(
        self, params: TaskPushNotificationConfig, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        """Have a webhook told of a task."""
        hooks, principal = self._webhooks(), caller_of(context)
        self._entry(params.task_id, principal)
        place = await hooks.judged(params)
        self._entry(params.task_id, principal)
        return hooks.add(params.task_id, params, place)

    async def on_get_task_push_notification_config(
        self, params: GetTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        """A webhook of a task."""
        hooks = self._webhooks()
        self._entry(params.task_id, caller_of(context))
        config = hooks.find(params.task_id, params.id)
        if config is None:
            raise TaskNotFoundError("The task has no such webhook")
        return config

    async def on_list_task_push_notification_configs(
        self, params: ListTaskPushNotificationConfigsRequest, context: ServerCallContext
    ) -> ListTaskPushNotificationConfigsResponse:
        """The webhooks of a task, all on one page: there are few."""
        hooks = self._webhooks()
        self._entry(params.task_id, caller_of(context))
        return ListTaskPushNotificationConfigsResponse(configs=hooks.of(params.task_id))

    async def on_delete_task_push_notification_config(
        self, params: DeleteTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> None:
        """Have a webhook told no more; also if it was not told anything."""
        hooks = self._webhooks()
        self._entry(params.task_id, caller_of(context))
        hooks.remove(params.task_id, params.id)

    def _webhooks(self) -> Webhooks:
        if self._hooks is None:
            raise PushNotificationNotSupportedError
        return self._hooks

    # --- the card --------------------------------------------------------------------------------------

    async def on_get_extended_agent_card(
        self, params: GetExtendedAgentCardRequest, context: ServerCallContext
    ) -> AgentCard:
        """The card with the skills that this principal has."""
        card = await self._extended(visit_of(context))
        if not card.capabilities.extended_agent_card:
            raise UnsupportedOperationError("There is no other card than the public one")
        return card


def _check_ids(message: Message) -> None:
    """Whether the ids a client has chosen are short enough to be in each of a task's events.

    Raises:
        InvalidParamsError: They are not.
    """
    for name, ident in (("messageId", message.message_id), ("contextId", message.context_id)):
        if len(ident) > _LONGEST:
            raise InvalidParamsError(f"The {name} is longer than {_LONGEST} characters")


def _check_waits(entry: Entry, message: Message) -> None:
    """Whether a task takes a message.

    Raises:
        InvalidParamsError: It belongs to another conversation than the message says.
        UnsupportedOperationError: It is over, or at work.
    """
    work = entry.work
    if message.context_id and message.context_id != work.task.context_id:
        raise InvalidParamsError("The task belongs to another context")
    if work.over:
        raise UnsupportedOperationError("The task is over: it takes no more messages")
    if not work.waits:
        raise UnsupportedOperationError("The task is at work: it takes messages when it asks for something")


def _history_of(request: GetTaskRequest | ListTasksRequest | SendMessageConfiguration) -> int | None:
    """How much history is wanted; None for all of it.

    Raises:
        InvalidParamsError: Less than none.
    """
    if not request.HasField("history_length"):
        return None
    if request.history_length < 0:
        raise InvalidParamsError("historyLength is negative")
    return request.history_length
