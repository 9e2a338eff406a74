"""Which task a request is about, and the worker that has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from a2a.server.request_handlers.response_helpers import build_error_response
from a2a.utils.error_handlers import build_rest_error_payload
from a2a.utils.errors import TaskNotFoundError

from portico.api import Endpoint, Id, Json, Principal, Reply
from portico_plugins.transports.over_http.wire import JSON, Raw

HANDLE: Final = "a2a"
"""The kind of handle that task ids are."""

_TASKS: Final = "tasks"


def tasks_in(below: str, params: Json) -> Iterator[Any]:
    """What in a request may be the id of a task.

    Args:
        below: The rest of the path of HTTP+JSON; "" for JSON-RPC.
        params: The parameters of the operation.
    """
    parts = below.split("/")
    if _TASKS in parts[:-1]:
        yield parts[parts.index(_TASKS) + 1].partition(":")[0]
    if not below:
        named = [params[name] for name in ("taskId", "task_id") if name in params]
        yield from named or [params.get("id")]
    message = params.get("message")
    if isinstance(message, dict):
        yield from (message.get(name) for name in ("taskId", "task_id"))


def is_elsewhere(
    endpoint: Endpoint, raw: Raw, below: str, params: Json, ident: Id, principal: Principal, reply: Reply
) -> bool:
    """Have the worker answer that has the task which a request is about; False if that is to be done here.

    Args:
        endpoint: The virtual server.
        raw: The request.
        below: The rest of the path of HTTP+JSON; "" for JSON-RPC.
        params: The parameters of the operation.
        ident: The id of the JSON-RPC request.
        principal: Who asks.
        reply: Where the answer goes.
    """
    owners = endpoint.owners
    if owners is None:
        return False

    def lost(begun: bool) -> None:
        if begun:
            reply.end()
        else:
            send_not_found(reply, ident, rest=bool(below))

    return any(
        owners.elsewhere(HANDLE, task, principal, *raw, reply, lost) for task in tasks_in(below, params)
    )


def send_not_found(reply: Reply, ident: Id, *, rest: bool) -> None:
    """Answer that there is no such task, in the words of the binding."""
    error = TaskNotFoundError()
    if rest:
        reply.send(404, JSON, msgspec.json.encode(build_rest_error_payload(error)))
    else:
        reply.send(200, JSON, msgspec.json.encode(build_error_response(ident, error)))
