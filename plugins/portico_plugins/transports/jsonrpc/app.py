"""One virtual server by single JSON-RPC requests."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send

from portico.api import (
    INVALID_REQUEST,
    Endpoint,
    Message,
    Principal,
    Refused,
    Reply,
    answer_alone,
    parse,
    result_pieces,
    used_up,
)
from portico_plugins.transports.over_http.entrance import Entrance
from portico_plugins.transports.over_http.fields import Fields
from portico_plugins.transports.over_http.wire import (
    JSON,
    STATUS,
    Raw,
    send_empty,
    send_problem,
    send_refusal,
)

_LATER = frozenset({429, 503})


class RpcApp:
    """Answers requests for one virtual server.

    JSON-RPC errors have status 200, for the request was carried out as far as HTTP is concerned. What is no
    request at all has 400; what is to be tried again later has 429 or 503, with `Retry-After`.

    Args:
        endpoint: The virtual server.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._entrance = Entrance(endpoint, self._admitted)
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request over ASGI."""
        await self._entrance.over_asgi(self.handle, scope, receive, send)

    def handle(self, scope: Scope, body: bytes, reply: Reply) -> None:
        """Serve one HTTP request whose body has come whole."""
        if scope["method"] != "POST" and not self.endpoint.closed:
            send_empty(reply, 405, (b"allow", b"POST"))
        else:
            self._entrance.enter(scope, body, reply)

    def sweep(self) -> None:
        """Nothing: there is nothing that lasts."""

    def close(self) -> None:
        """Nothing: what is under way is answered, or ended with the gateway's other calls."""

    def _admitted(self, raw: Raw, fields: Fields, principal: Principal, reply: Reply) -> None:
        if fields.untyped is not None:
            send_problem(reply, *fields.untyped)
            return
        try:
            message = parse(raw[1], depth=self.endpoint.depth_limit)
            if message.kind in ("result", "error"):
                raise Refused(INVALID_REQUEST, "Invalid request: nothing was asked here")
        except Refused as refusal:
            send_refusal(reply, 400, refusal)
            return
        if message.kind == "notification":
            send_empty(reply, 202)  # there is nothing here that it could be about
            return
        if "requestState" in message.params and self._parked_elsewhere(raw, message, principal, reply):
            return
        if "taskId" in message.params and self._task_elsewhere(raw, message, fields, principal, reply):
            return
        self._begin(message, fields, principal, reply)

    def _begin(self, message: Message, fields: Fields, principal: Principal, reply: Reply) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(message, fields, principal, reply))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        reply.on_gone = task.cancel

    def _task_elsewhere(
        self, raw: Raw, message: Message, fields: Fields, principal: Principal, reply: Reply
    ) -> bool:
        """Whether a task was given out by another worker, which then answers; once that is gone, this one."""

        def lost(begun: bool) -> None:  # whole answers have not begun before they are there
            self._begin(message, fields, principal, reply)

        owners = self.endpoint.owners
        task = message.params["taskId"]
        return owners is not None and owners.elsewhere("task", task, principal, *raw, reply, lost)

    def _parked_elsewhere(self, raw: Raw, message: Message, principal: Principal, reply: Reply) -> bool:
        """Whether a retry's call is parked at another worker, which then answers."""

        def lost(begun: bool) -> None:  # whole answers have not begun before they are there
            send_refusal(reply, 200, used_up(), message.id)

        owners = self.endpoint.owners
        state = message.params["requestState"]
        return owners is not None and owners.elsewhere("parked", state, principal, *raw, reply, lost)

    async def _answer(self, message: Message, fields: Fields, principal: Principal, reply: Reply) -> None:
        try:
            result = await answer_alone(
                self.endpoint, message.method, message.params, principal, headers=fields.headers
            )
        except Refused as refusal:
            reply.on_gone = None
            status = STATUS.get(refusal.code, 200)
            send_refusal(reply, status if status in _LATER else 200, refusal, message.id)
        else:
            reply.on_gone = None
            reply.send(200, JSON, *result_pieces(message.id, result.raw))
