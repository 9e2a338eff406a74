"""An agent behind the gateway, as its clients see it: every operation is an exchange with its upstream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

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
    SendMessageRequest,
    SendMessageResponse,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskArtifactUpdateEvent,
    TaskPushNotificationConfig,
    TaskStatusUpdateEvent,
)
from a2a.utils.errors import InvalidAgentResponseError
from google.protobuf.message import Message as Proto

from portico.api import Endpoint, Json, Principal, Result, Target, carry_foreign, foreign_call
from portico_plugins.a2a.protojson import BadJson, from_json, to_json
from portico_plugins.transports.a2a.bindings import Visit, caller_of, visit_of

M = TypeVar("M", bound=Proto)
Event = Task | Message | TaskStatusUpdateEvent | TaskArtifactUpdateEvent
Shown = Callable[[AgentCard, Visit], Awaitable[AgentCard]]

PREFIX: Final = "a2a/"
AGENTS: Final = "/agents/"
"""What is between the path of a virtual server and the name of an agent behind it."""


class RelayedAgent(RequestHandler):
    """Passes A2A operations on to an upstream.

    Args:
        endpoint: The virtual server the agent belongs to.
        upstream: The agent's configured name.
        shown: Makes of a card of the agent's the one that a visitor gets.
        stream_seconds: How long a stream may last.
    """

    def __init__(self, endpoint: Endpoint, upstream: str, shown: Shown, stream_seconds: float) -> None:
        self._endpoint = endpoint
        self._target = Target(upstream)
        self._shown = shown
        self._stream_seconds = stream_seconds

    async def card(self, principal: Principal, headers: Mapping[str, str]) -> AgentCard:
        """The agent's own card.

        Raises:
            Refused: -32601: there is no such agent; or it cannot be reached.
        """
        done = await self._carry("GetAgentCard", {}, principal, headers)
        return _read(done.value, AgentCard)

    # --- messages --------------------------------------------------------------------------------------

    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Task | Message:
        """Pass a message on, and the answer back."""
        answer = await self._ask("SendMessage", params, context, SendMessageResponse)
        kind = answer.WhichOneof("payload")
        if kind is None:
            raise InvalidAgentResponseError("The agent answered with neither a task nor a message")
        given: Task | Message = getattr(answer, kind)
        return given

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        """Pass a message on, and everything that comes of it back."""
        async for event in self._stream("SendStreamingMessage", params, context):
            yield event

    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        """Pass on what comes of a task."""
        async for event in self._stream("SubscribeToTask", params, context):
            yield event

    # --- tasks -----------------------------------------------------------------------------------------

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task | None:
        """Have the agent give a task."""
        return await self._ask("GetTask", params, context, Task)

    async def on_list_tasks(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        """Have the agent list the tasks of this principal."""
        return await self._ask("ListTasks", params, context, ListTasksResponse)

    async def on_cancel_task(self, params: CancelTaskRequest, context: ServerCallContext) -> Task | None:
        """Have the agent cancel a task."""
        return await self._ask("CancelTask", params, context, Task)

    # --- push notifications ----------------------------------------------------------------------------

    async def on_create_task_push_notification_config(
        self, params: TaskPushNotificationConfig, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        """Have the agent tell a webhook of a task."""
        name = "CreateTaskPushNotificationConfig"
        return await self._ask(name, params, context, TaskPushNotificationConfig)

    async def on_get_task_push_notification_config(
        self, params: GetTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        """Have the agent give a webhook."""
        name = "GetTaskPushNotificationConfig"
        return await self._ask(name, params, context, TaskPushNotificationConfig)

    async def on_list_task_push_notification_configs(
        self, params: ListTaskPushNotificationConfigsRequest, context: ServerCallContext
    ) -> ListTaskPushNotificationConfigsResponse:
        """Have the agent list the webhooks of a task."""
        name = "ListTaskPushNotificationConfigs"
        return await self._ask(name, params, context, ListTaskPushNotificationConfigsResponse)

    async def on_delete_task_push_notification_config(
        self, params: DeleteTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> None:
        """Have the agent tell a webhook no more."""
        await self._send("DeleteTaskPushNotificationConfig", params, context)

    # --- cards -----------------------------------------------------------------------------------------

    async def on_get_extended_agent_card(
        self, params: GetExtendedAgentCardRequest, context: ServerCallContext
    ) -> AgentCard:
        """Have the agent give its extended card, with our URLs."""
        card = await self._ask("GetExtendedAgentCard", params, context, AgentCard)
        return await self._shown(card, visit_of(context))

    # --- on the way ------------------------------------------------------------------------------------

    async def _ask(self, name: str, request: Proto, context: ServerCallContext, kind: type[M]) -> M:
        return _read((await self._send(name, request, context)).value, kind)

    async def _send(self, name: str, request: Proto, context: ServerCallContext) -> Result:
        visit = visit_of(context)
        return await self._carry(name, _params(request), caller_of(context), visit.headers)

    async def _carry(
        self, name: str, params: Json, principal: Principal, headers: Mapping[str, str]
    ) -> Result:
        method = PREFIX + name
        return await carry_foreign(self._endpoint, method, params, principal, self._target, headers=headers)

    async def _stream(self, name: str, request: Proto, context: ServerCallContext) -> AsyncGenerator[Event]:
        async with foreign_call(
            self._endpoint,
            PREFIX + name,
            _params(request),
            caller_of(context),
            self._target,
            headers=visit_of(context).headers,
            seconds=self._stream_seconds,
        ) as call:
            while not isinstance(told := await call.next(), Result):
                event = _read(told.params, StreamResponse)
                kind = event.WhichOneof("payload")
                if kind is not None:
                    yield getattr(event, kind)


def _params(request: Proto) -> Json:
    """The request without the tenant: which one the agent wants, its upstream knows."""
    made = to_json(request)
    made.pop("tenant", None)
    return made


def _read(value: Any, kind: type[M]) -> M:
    try:
        return from_json(value, kind, lenient=True)
    except BadJson:
        raise InvalidAgentResponseError("The answer is not one of A2A") from None
