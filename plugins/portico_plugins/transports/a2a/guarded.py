"""An A2A handler whose every failure is an A2A error, and says no more than it should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable
from functools import partial
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
    SubscribeToTaskRequest,
    Task,
    TaskArtifactUpdateEvent,
    TaskPushNotificationConfig,
    TaskStatusUpdateEvent,
)
from a2a.utils.errors import (
    JSON_RPC_ERROR_CODE_MAP,
    A2AError,
    InternalError,
    InvalidParamsError,
    MethodNotFoundError,
)
from a2a.utils.proto_utils import validate_proto_required_fields

from portico.api import INVALID_PARAMS, METHOD_NOT_FOUND, Log, Refused

T = TypeVar("T")
Event = Task | Message | TaskStatusUpdateEvent | TaskArtifactUpdateEvent

_CLASSES: Final = {code: kind for kind, code in JSON_RPC_ERROR_CODE_MAP.items()}


def error_of(refusal: Refused) -> A2AError:
    """The A2A error for a refusal; its code is A2A's only if it says so with `data.a2a`."""
    data = refusal.data if isinstance(refusal.data, dict) else None
    if data is not None and "a2a" in data and refusal.code in _CLASSES:
        return _CLASSES[refusal.code](refusal.message, _metadata(data["a2a"]))
    if refusal.code == INVALID_PARAMS:
        return InvalidParamsError(refusal.message)
    if refusal.code == METHOD_NOT_FOUND:
        return MethodNotFoundError(refusal.message)
    gateway = data.get("gateway") if data is not None else None
    facts = gateway if isinstance(gateway, dict) else {}
    known = {key: str(value) for key, value in facts.items() if value is not None}
    return InternalError(refusal.message, {"code": str(refusal.code), **known})


def _metadata(details: Any) -> dict[str, Any] | None:
    """Of the first ErrorInfo among an error's details: what the SDK makes the details of again."""
    for each in details if isinstance(details, list) else []:
        if isinstance(each, dict) and isinstance(each.get("metadata"), dict):
            return dict(each["metadata"])
    return None


def _let_go(errors: Iterable[BaseException], _: asyncio.Task[Any]) -> None:
    for error in errors:
        error.__traceback__ = error.__context__ = error.__cause__ = None


class Guarded(RequestHandler):
    """Stands in front of a handler.

    The SDK tells clients the text of any exception; here they hear of what was meant for them only, and the
    log of the rest. Required fields are looked for before the handler sees a request.

    Args:
        handler: Carries out operations.
        log: The plugin's.
    """

    def __init__(self, handler: RequestHandler, log: Log) -> None:
        self._handler = handler
        self._log = log

    def _judge(self, error: BaseException) -> BaseException:
        """What to raise instead; it holds on to nothing once the request is over."""
        raised = self._shown(error)
        task = asyncio.current_task()
        if task is not None:
            # The SDK's frames keep the error, and it keeps them, with the whole request: a circle.
            task.add_done_callback(partial(_let_go, (raised, error)))
        return raised

    def _shown(self, error: BaseException) -> BaseException:
        if isinstance(error, Refused):
            return error_of(error)
        if isinstance(error, A2AError) or not isinstance(error, Exception):
            return error
        self._log.error("a2a.fault", exc_info=error)
        return InternalError("Internal error")

    async def _whole(self, params: Any, answer: Coroutine[Any, Any, T]) -> T:
        try:
            validate_proto_required_fields(params)
            return await answer
        except BaseException as error:
            raise self._judge(error) from None
        finally:
            answer.close()

    async def _streamed(self, params: Any, events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
        try:
            validate_proto_required_fields(params)
            async for event in events:
                yield event
        except BaseException as error:
            raise self._judge(error) from None
        finally:
            await events.aclose()

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task | None:
        """Give a task."""
        return await self._whole(params, self._handler.on_get_task(params, context))

    async def on_list_tasks(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        """List tasks."""
        return await self._whole(params, self._handler.on_list_tasks(params, context))

    async def on_cancel_task(self, params: CancelTaskRequest, context: ServerCallContext) -> Task | None:
        """Cancel a task."""
        return await self._whole(params, self._handler.on_cancel_task(params, context))

    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Task | Message:
        """Take a message and answer it."""
        return await self._whole(params, self._handler.on_message_send(params, context))

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        """Take a message and tell what comes of it."""
        async for event in self._streamed(params, self._handler.on_message_send_stream(params, context)):
            yield event

    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        """Tell what comes of a task."""
        async for event in self._streamed(params, self._handler.on_subscribe_to_task(params, context)):
            yield event

    async def on_create_task_push_notification_config(
        self, params: TaskPushNotificationConfig, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        """Have a webhook told of a task."""
        return await self._whole(
            params, self._handler.on_create_task_push_notification_config(params, context)
        )

    async def on_get_task_push_notification_config(
        self, params: GetTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        """Give a webhook."""
        return await self._whole(params, self._handler.on_get_task_push_notification_config(params, context))

    async def on_list_task_push_notification_configs(
        self, params: ListTaskPushNotificationConfigsRequest, context: ServerCallContext
    ) -> ListTaskPushNotificationConfigsResponse:
        """List the webhooks of a task."""
        return await self._whole(
            params, self._handler.on_list_task_push_notification_configs(params, context)
        )

    async def on_delete_task_push_notification_config(
        self, params: DeleteTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> None:
        """Have a webhook told no more."""
        await self._whole(params, self._handler.on_delete_task_push_notification_config(params, context))

    async def on_get_extended_agent_card(
        self, params: GetExtendedAgentCardRequest, context: ServerCallContext
    ) -> AgentCard:
        """Give the card for those who are known."""
        return await self._whole(params, self._handler.on_get_extended_agent_card(params, context))
