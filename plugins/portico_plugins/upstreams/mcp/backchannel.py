"""Where what one upstream connection says meanwhile goes: notifications, and requests of the server's."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Final
from urllib.parse import urlsplit

from portico.api import (
    GATEWAY,
    INVALID_PARAMS,
    INVALID_REQUEST,
    META_SUBSCRIPTION,
    METHOD_NOT_FOUND,
    Exchange,
    Host,
    Json,
    Principal,
    Refused,
)

from . import wire
from .ask import Ask
from .call import ASKABLE, MOST_WAITING, TASK_OVER, Call, Pausable

_LISTS: Final = {
    "notifications/tools/list_changed": "tools",
    "notifications/resources/list_changed": "resources",
    "notifications/prompts/list_changed": "prompts",
}
_MOST_ASKS: Final = 32
_SHOWN: Final = 2000
"""Characters of what a server says of a task that are shown in a notification of progress."""


class Backchannel:
    """Where notifications and requests of one upstream connection go.

    Args:
        host: The upstream's host.
        principal: Whose connection it is; None when it is shared.
        changed: Told which lists the upstream says have changed.
        updated: Told of updates of watched resources.
        respond: Sends a response frame.
        withheld: Capabilities whose requests are answered as by a client without them.
    """

    def __init__(
        self,
        host: Host,
        principal: Principal | None,
        changed: Callable[[str], None],
        updated: Callable[[Principal | None, Json], None],
        respond: Callable[[bytes], Awaitable[None]],
        withheld: Collection[str] = (),
    ) -> None:
        self.calls: dict[int, Call] = {}
        self._host = host
        self._principal = principal
        self._changed = changed
        self._updated = updated
        self._respond = respond
        self._withheld = withheld
        self._asks: dict[bytes, Ask] = {}
        self._loose: deque[tuple[str, Json]] = deque()
        self._announcing: asyncio.Task[None] | None = None
        self._closed = False

    async def heard(self, message: wire.Message, call: Call | None, *, certain: bool = True) -> bytes | None:
        """Act on one message that arrived for a call, or for none.

        Args:
            message: The message.
            call: The call.
            certain: Whether it arrived on the call's own stream; else the call is a guess.

        Returns:
            The result's bytes when it is the answer to `call`; else None.

        Raises:
            Refused: It is the error answer to `call`.
            Garbled: It cannot be understood.
        """
        if not message.method:
            # An error without an id is about what could not be read: on a stream of its own, this request.
            mine = call is not None and (message.request_id == call.id or bytes(message.id) in (b"", b"null"))
            return wire.answer(message) if mine else None
        if bytes(message.id):
            self.asked(message, call, certain=certain)
        else:
            await self.told(message, call, certain=certain and call is not None)
        return None

    def passed(self, message: wire.Message, call: Call) -> bool:
        """Pass a notification of progress on as it is, with the client's token for ours, if that can be done.

        Args:
            message: What has come on the call's own stream.
            call: The call.
        """
        exchange = call.exchange
        if message.method != "notifications/progress" or bytes(message.id) or exchange is None or call.task:
            return False
        token = exchange.progress_token
        if token is None:
            return False
        params = wire.with_token(bytes(message.params), call.id, wire.encode(token))
        return params is not None and exchange.client.progress(params)

    async def told(self, message: wire.Message, call: Call | None, *, certain: bool = False) -> None:
        """Pass a notification on.

        Args:
            message: The notification.
            call: The call it belongs to, as far as anybody knows.
            certain: Whether it arrived on that call's own stream.
        """
        method, params = message.method, message.arguments()
        if method in _LISTS:
            self._changed(_LISTS[method])
        elif method == "notifications/resources/updated":
            self._updated(self._principal, params)
        elif method == "notifications/cancelled":
            ask = self._asks.get(wire.encode(params.get("requestId")))
            if ask is not None and ask.task is not None:
                ask.task.cancel()
        elif method == "notifications/subscriptions/acknowledged":
            if call is not None and call.acknowledged is not None:
                call.acknowledged.set()
        elif method == "notifications/progress":
            await self._progress(params, call, certain)
        elif method == "notifications/tasks/status":
            await self._status(params)
        elif call is not None and call.exchange is not None:
            await call.exchange.client.notify(method, wire.unrelated(params))
        else:
            self._announce(method, wire.unrelated(params))

    async def _progress(self, params: Json, call: Call | None, certain: bool) -> None:
        token = params.get("progressToken")
        if call is None or token != call.token:
            if certain:
                return  # another call's token on this call's own stream: whoever that is, it is not for them
            call = self._with_token(token)
        if call is None or call.exchange is None or call.exchange.progress_token is None:
            return
        call.told = -1
        params = {**params, "progressToken": call.exchange.progress_token}
        await call.exchange.client.notify("notifications/progress", params)

    def _with_token(self, token: object) -> Call | None:
        """The call that has a progress token: it began with it, or asks for what came of the one that did."""
        if not isinstance(token, int):
            return None
        found = self.calls.get(token)
        return found or next((call for call in self.calls.values() if call.token == token), None)

    def _about(self, task: object) -> Call | None:
        """The call that waits for a task."""
        return next((call for call in self.calls.values() if task and call.task == task), None)

    async def _status(self, params: Json) -> None:
        """Tell a client that waits for a task how that is: as progress, in words; tasks have no numbers."""
        call = self._about(params.get("taskId"))
        words = params.get("statusMessage")
        if call is None or call.exchange is None or call.told < 0 or params.get("status") in TASK_OVER:
            return
        if not isinstance(words, str) or words[:_SHOWN] in ("", call.words):
            return
        call.told, call.words = call.told + 1, words[:_SHOWN]
        shown = {
            "progressToken": call.exchange.progress_token,
            "progress": call.told,
            "message": call.words,
        }
        await call.exchange.client.notify("notifications/progress", shown)

    def _announce(self, method: str, params: Json) -> None:
        """Queue a notification that belongs to no call; the reader of the connection must not wait for it."""
        if self._closed or len(self._loose) >= MOST_WAITING:
            return
        self._loose.append((method, params))
        if self._announcing is None:
            self._announcing = asyncio.create_task(self._announce_all())

    async def _announce_all(self) -> None:
        try:
            while self._loose:
                method, params = self._loose.popleft()
                await self._host.wiring.announce(self._host.name, self._principal, method, params)
        finally:
            self._announcing = None

    def asked(self, message: wire.Message, call: Call | None, *, certain: bool) -> None:
        """Answer a request of the server's, in a task of its own: the stream must be read on meanwhile."""
        key = bytes(message.id)
        if self._closed or key in self._asks:
            return
        # Roots trouble nobody, and a gateway there may only have guessed whose stream to ask on.
        ask = self._asks[key] = Ask(call, certain and message.method != "roots/list")
        ask.run(self._answer(message, ask)).add_done_callback(lambda _: self._asks.pop(key, None))

    async def _answer(self, message: wire.Message, ask: Ask) -> None:
        try:
            frame = wire.response(message.id, await self._obtain(message, ask.call))
        except Refused as refusal:
            frame = wire.error_response(message.id, refusal)
        except wire.Garbled:
            frame = wire.error_response(message.id, Refused(INVALID_PARAMS, "Invalid params"))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not ask.given_up or self._closed or task is None:
                raise
            task.uncancel()
            gone = Refused(INVALID_REQUEST, "The call this belongs to is over")
            frame = wire.error_response(message.id, gone)
        ask.answered = True
        try:
            await self._respond(frame)
        except Refused as refusal:
            self._host.log.debug("upstream_response_lost", reason=str(refusal))

    async def _obtain(self, message: wire.Message, call: Call | None) -> Json:
        method, params = message.method, wire.unrelated(message.arguments())
        if method == "ping":
            return {}
        if ASKABLE.get(method, method) in (method, *self._withheld):
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        if len(self._asks) > _MOST_ASKS:
            raise Refused(INVALID_PARAMS, "Too many requests at one time")
        if params.get("mode") == "url" and urlsplit(str(params.get("url"))).scheme not in ("http", "https"):
            raise Refused(INVALID_PARAMS, "Only http and https URLs can be shown to a client")
        if call is not None and call.exchange is not None:
            try:
                return await self._ask(call.exchange, call.limit, method, params)
            except Refused as refusal:
                over = method == "roots/list" and refusal.code == METHOD_NOT_FOUND and call.declared(method)
                if not over:
                    raise  # else the call has ended meanwhile, and its client may be asked beside it
        try:
            if self._principal in (None, GATEWAY):
                raise Refused(METHOD_NOT_FOUND, "No client is there to ask")
            assert self._principal is not None
            return await self._host.wiring.ask_unrelated(self._host.name, self._principal, method, params)
        except Refused as refusal:
            if method == "roots/list" and refusal.code == METHOD_NOT_FOUND:
                return {"roots": []}  # true enough for a client that is not there, and servers go on from it
            raise

    async def _ask(self, exchange: Exchange, limit: Pausable | None, method: str, params: Json) -> Json:
        if limit is None:
            return await exchange.client.ask(method, params)
        limit.pause()
        try:
            return await exchange.client.ask(method, params)
        finally:
            limit.resume()

    def related(self, message: wire.Message) -> Call | None:
        """Which call a message on a shared pipe belongs to, as far as that can be told.

        Progress and subscriptions say so. Of a server's request and of log messages one can only guess: with
        one principal it is the newest call (that may be asked), on a shared pipe only a single call is sure.
        """
        if message.method == "notifications/progress":
            return self._with_token(message.arguments().get("progressToken"))
        if b"related-task" in bytes(message.params):
            return self._about(wire.task_of(message.arguments()))
        if b"subscriptionId" in bytes(message.params):
            meta = message.arguments().get("_meta")
            ident = meta.get(META_SUBSCRIPTION) if isinstance(meta, dict) else None
            if ident is not None:
                return self.calls.get(ident) if isinstance(ident, int) else None
        clients = [call for call in self.calls.values() if call.exchange is not None]
        if (
            bytes(message.id)
            and message.method in ASKABLE
            and (self._principal is not None or len(clients) == 1)
        ):
            clients = [call for call in clients if call.declared(message.method)]
        elif self._principal is None and len(clients) > 1:
            return None
        return clients[-1] if clients else None

    def close(self, why: Refused) -> None:
        """The connection is gone: end every call on it, and whatever it had asked."""
        self._closed = True
        for call in tuple(self.calls.values()):
            call.put(why)
        for ask in tuple(self._asks.values()):
            if ask.task is not None:
                ask.task.cancel()
        if self._announcing is not None:
            self._announcing.cancel()
