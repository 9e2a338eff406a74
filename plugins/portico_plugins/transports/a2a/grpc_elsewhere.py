"""gRPC requests about tasks that another worker has: put to that one as JSON-RPC, which workers pass on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import msgspec
from a2a.types import (
    ListTaskPushNotificationConfigsResponse,
    SendMessageResponse,
    StreamResponse,
    Task,
    TaskPushNotificationConfig,
)
from a2a.utils.errors import InternalError, TaskNotFoundError
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from portico.api import Endpoint, Json, Refused, Scope
from portico_plugins.a2a.protojson import BadJson, from_json, to_json
from portico_plugins.transports.a2a.bindings import VERSION, Visit
from portico_plugins.transports.a2a.guarded import error_of
from portico_plugins.transports.a2a.handles import HANDLE, tasks_in
from portico_plugins.transports.over_http.taken import Taken

_ANSWERS: Final[dict[str, type[Message]]] = {
    "SendMessage": SendMessageResponse,
    "SendStreamingMessage": StreamResponse,
    "GetTask": Task,
    "CancelTask": Task,
    "SubscribeToTask": StreamResponse,
    "CreateTaskPushNotificationConfig": TaskPushNotificationConfig,
    "GetTaskPushNotificationConfig": TaskPushNotificationConfig,
    "ListTaskPushNotificationConfigs": ListTaskPushNotificationConfigsResponse,
    "DeleteTaskPushNotificationConfig": Empty,
}
_DROPPED: Final = frozenset(
    {"content-type", "content-length", "transfer-encoding", "te", "grpc-timeout", VERSION}
)


class Elsewhere(Taken):
    """What another worker answers, JSON-RPC response by response. Implements `Reply`.

    Args:
        kind: What each of them has for a result.
    """

    def __init__(self, kind: type[Message]) -> None:
        super().__init__()
        self._kind = kind
        self._lost = False

    async def answers(self) -> AsyncGenerator[Any]:
        """The results, in order.

        Raises:
            A2AError: The other worker says so, or there is none.
        """
        try:
            while (text := await self._next()) is not None:
                yield self._read(text)
            if self._lost:
                raise TaskNotFoundError
        finally:
            if not self._over and self.on_gone is not None:
                self.on_gone()

    def _read(self, text: bytes) -> Message:
        response: Json = msgspec.json.decode(text)
        error = response.get("error")
        if isinstance(error, dict):
            raise error_of(Refused(error["code"], error["message"], {"a2a": error.get("data")}))
        try:
            return from_json(response.get("result") or {}, self._kind, lenient=True)
        except BadJson:
            raise InternalError("Internal error") from None

    def lost(self, begun: bool) -> None:
        """There is no such worker any more."""
        self._lost = not begun
        self.end()

    def send(self, status: int, headers: Sequence[tuple[bytes, bytes]], *body: bytes) -> None:
        """Take a whole answer."""
        if status == 200:
            self._messages.append(b"".join(body))
        else:
            self._lost = True
        self.end()


def elsewhere(endpoint: Endpoint, path: str, name: str, request: Message, visit: Visit) -> Elsewhere | None:
    """Have the worker answer that has the task which a request is about; None if that is to be done here.

    Args:
        endpoint: The virtual server.
        path: Where that is an agent.
        name: Of the operation.
        request: Its message.
        visit: Who wants it.
    """
    owners, kind, principal = endpoint.owners, _ANSWERS.get(name), visit.principal
    if owners is None or kind is None or principal is None:
        return None
    params = to_json(request)
    params.pop("tenant", None)
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": name, "params": params})
    answer = Elsewhere(kind)
    for task in tasks_in("", params):
        if owners.elsewhere(HANDLE, task, principal, _scope(path, visit), body, answer, answer.lost):
            return answer
    return None


def _scope(path: str, visit: Visit) -> Scope:
    headers = [(name, value) for name, value in visit.headers.items() if name not in _DROPPED]
    lines = (*headers, ("content-type", "application/json"), (VERSION, "1.0"))
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "scheme": "http",
        "http_version": "1.1",
        "client": visit.peer,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in lines],
    }
