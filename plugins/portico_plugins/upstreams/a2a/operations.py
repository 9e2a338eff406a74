"""The operations of A2A 1.0, and what carries them out with an agent: ProtoJSON in, ProtoJSON out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Final, Protocol

import attrs
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
    SendMessageRequest,
    SendMessageResponse,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskPushNotificationConfig,
)
from google.protobuf.message import Message

from portico.api import Json

_CONFIGS: Final = "/tasks/{taskId}/pushNotificationConfigs"


@attrs.frozen(eq=False)
class Operation:
    """An operation of A2A.

    Attributes:
        name: What JSON-RPC calls it.
        call: The method of the SDK's transports.
        request: Its message.
        answer: The message it is answered with, or each event of a stream; None for none.
        verb: The method of HTTP.
        path: Where, below the URL of an interface; in braces the members of the request that are parts of it.
        task: Which field of the request names a task that a client must own; "" for none.
    """

    name: str
    call: str
    request: type[Message]
    answer: type[Message] | None
    verb: str
    path: str
    task: str = ""


SEND: Final = Operation(
    "SendMessage", "send_message", SendMessageRequest, SendMessageResponse, "POST", "/message:send"
)
STREAM: Final = Operation(
    "SendStreamingMessage",
    "send_message_streaming",
    SendMessageRequest,
    StreamResponse,
    "POST",
    "/message:stream",
)
GET: Final = Operation("GetTask", "get_task", GetTaskRequest, Task, "GET", "/tasks/{id}", "id")
CANCEL: Final = Operation(
    "CancelTask", "cancel_task", CancelTaskRequest, Task, "POST", "/tasks/{id}:cancel", "id"
)
LIST: Final = Operation("ListTasks", "list_tasks", ListTasksRequest, ListTasksResponse, "GET", "/tasks")
SUBSCRIBE: Final = Operation(
    "SubscribeToTask",
    "subscribe",
    SubscribeToTaskRequest,
    StreamResponse,
    "POST",
    "/tasks/{id}:subscribe",
    "id",
)
OPERATIONS: Final[Mapping[str, Operation]] = {
    each.name: each
    for each in (
        SEND,
        STREAM,
        GET,
        LIST,
        CANCEL,
        SUBSCRIBE,
        Operation(
            "CreateTaskPushNotificationConfig",
            "create_task_push_notification_config",
            TaskPushNotificationConfig,
            TaskPushNotificationConfig,
            "POST",
            _CONFIGS,
            "task_id",
        ),
        Operation(
            "GetTaskPushNotificationConfig",
            "get_task_push_notification_config",
            GetTaskPushNotificationConfigRequest,
            TaskPushNotificationConfig,
            "GET",
            f"{_CONFIGS}/{{id}}",
            "task_id",
        ),
        Operation(
            "ListTaskPushNotificationConfigs",
            "list_task_push_notification_configs",
            ListTaskPushNotificationConfigsRequest,
            ListTaskPushNotificationConfigsResponse,
            "GET",
            _CONFIGS,
            "task_id",
        ),
        Operation(
            "DeleteTaskPushNotificationConfig",
            "delete_task_push_notification_config",
            DeleteTaskPushNotificationConfigRequest,
            None,
            "DELETE",
            f"{_CONFIGS}/{{id}}",
            "task_id",
        ),
        Operation(
            "GetExtendedAgentCard",
            "get_extended_agent_card",
            GetExtendedAgentCardRequest,
            AgentCard,
            "GET",
            "/extendedAgentCard",
        ),
    )
}
STREAMED: Final = frozenset({STREAM.name, SUBSCRIBE.name})


@attrs.frozen
class Context:
    """What goes with a request.

    Attributes:
        headers: Its headers; with gRPC they are metadata.
        seconds: How long it may take, which gRPC tells the agent; None for no matter.
    """

    headers: Mapping[str, str]
    seconds: float | None = None


class Transport(Protocol):
    """Carries out operations with one agent."""

    async def call(self, operation: Operation, request: Json, context: Context) -> Json:
        """Carry out an operation that has one answer.

        Args:
            operation: Which.
            request: ProtoJSON of its message.
            context: What goes with it.

        Raises:
            A2AError: The agent's own error, or of the SDK's `A2AClientError` if it is none of A2A.
            HttpError: There is no acceptable answer.
            BadJson: The answer is another message, or the request is none.
            TooLarge: The request is larger than may be sent.
        """
        ...

    def stream(self, operation: Operation, request: Json, context: Context) -> AsyncGenerator[Json]:
        """Carry out an operation that has many answers; what it raises is the same."""
        ...
