"""One conversation on a connection: each message is served in the era it speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from portico.api import (
    INVALID_PARAMS,
    Asking,
    Endpoint,
    Frames,
    Id,
    Listen,
    Message,
    ModernCall,
    Principal,
    Refused,
    Result,
    Session,
    check_modern,
    error_frame,
    is_enveloped,
    notification_frame,
    parse,
    parse_batch,
    result_frame,
)
from portico_plugins.transports.talking.elsewhere import Elsewhere, Onward
from portico_plugins.transports.talking.outbox import Outbox

_QUIET = 3600.0
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class _ListenSink:
    """A subscription's sink on the connection.

    Its end is said twice, for 2026-07-28 and its schema differ.
    """

    attached = True

    def __init__(self, outbox: Outbox, ident: Id) -> None:
        self._outbox = outbox
        self._ident = ident
        self.cancelled = False

    def push(self, frame: bytes) -> None:
        if not self.cancelled:
            self._outbox.push(frame)

    async def put(self, frame: bytes) -> None:
        if not self.cancelled:
            await self._outbox.put(frame)

    def offer(self, frame: bytes) -> bool:
        return self.cancelled or self._outbox.offer(frame)

    def end(self, *last: bytes) -> None:
        if last:
            self._outbox.push(b"".join(last))
        self._outbox.push(notification_frame("notifications/cancelled", {"requestId": self._ident}))


class _Outlet:
    """Where a session sends what belongs to no call; its end is the end of the conversation."""

    attached = True

    def __init__(self, outbox: Outbox, on_end: Callable[[], None]) -> None:
        self.push = outbox.push
        self.put = outbox.put
        self.offer = outbox.offer
        self._outbox = outbox
        self._on_end = on_end

    def end(self, *last: bytes) -> None:
        self._outbox.end(*last)
        self._on_end()


class Talk:
    """The messages of one client on one connection.

    Args:
        endpoint: The virtual server.
        principal: Whose connection it is.
        outbox: Takes the answers.
        ident: Names the session, where it has a name.
        on_end: Called when the gateway wants the conversation to end; perhaps more than once.
        onward: The way to the other workers, if there may be any.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        principal: Principal,
        outbox: Outbox,
        ident: str = "",
        on_end: Callable[[], None] = lambda: None,
        onward: Onward | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._principal = principal
        self._outbox = outbox
        self._onward = onward
        self._session = Session(endpoint, principal, ident, _Outlet(outbox, on_end))
        # Whatever is said on it and in whichever era, it ends with its virtual server.
        endpoint.sessions.add(self._session)
        self._calls: dict[tuple[type, Id], ModernCall | Elsewhere] = {}
        self._listens: dict[tuple[type, Id], tuple[Listen, _ListenSink]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def receive(self, data: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Take what the client has sent; what cannot be read is answered."""
        try:
            self.take(data, headers)
        except Refused as refusal:
            self._outbox.push(error_frame(None, refusal.body()))

    def take(self, data: bytes, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Take a message, or a batch where there is such a thing (2025-03-26).

        Args:
            data: As it came.
            headers: Those it came with, names in lower case.

        Raises:
            Refused: It cannot be read; nothing has been answered.
        """
        depth = self._endpoint.depth_limit
        if data.lstrip()[:1] == b"[" and self._session.version == "2025-03-26":
            for item in parse_batch(data, depth=depth):
                if isinstance(item, Refused):
                    self._outbox.push(error_frame(None, item.body()))
                else:
                    self._session.receive(item, self._outbox, headers)
            return
        message = parse(data, depth=depth)
        if is_enveloped(message.params):
            self._modern(message, data, headers)
        elif message.kind == "notification" and self._cancel_modern(message):
            return
        elif message.kind == "request" and not self._session.version and message.method == "server/discover":
            self._modern(message, data, headers)
        else:
            self._session.receive(message, self._outbox, headers)

    def _cancel_modern(self, message: Message) -> bool:
        if message.method != "notifications/cancelled":
            return False
        ident = message.params.get("requestId")
        if not isinstance(ident, str | int):
            return False
        key = (type(ident), ident)
        if (open_listen := self._listens.pop(key, None)) is not None:
            # A request that its client cancelled is not answered (2026-07-28, cancellation).
            listen, sink = open_listen
            sink.cancelled = True
            listen.close()
            return True
        call = self._calls.get(key)
        if call is not None:
            call.cancel()
        return call is not None

    def _modern(self, message: Message, data: bytes, headers: Mapping[str, str]) -> None:
        if message.kind != "request":
            self._cancel_modern(message)
            return
        key = (type(message.id), message.id)
        try:
            check_modern(message.method, message.params)
            if key in self._calls or key in self._listens:
                raise Refused(INVALID_PARAMS, "Invalid request: a request with this id is in flight")
            elsewhere = self._onward and self._onward.pass_on(message, data, headers)
            if elsewhere:
                self._calls[key] = elsewhere
                self._spawn(self._relay(key, elsewhere, message, headers))
                return
        except Refused as refusal:
            self._outbox.push(error_frame(message.id, refusal.body()))
            return
        self._carry_out(key, message, headers)

    def _carry_out(self, key: tuple[type, Id], message: Message, headers: Mapping[str, str]) -> None:
        """Answer a request that has been judged, here."""
        try:
            exchange = self._endpoint.modern_exchange(
                message.method, message.params, self._principal, headers
            )
            if message.method == "subscriptions/listen":
                sink = _ListenSink(self._outbox, message.id)
                listen = Listen(self._endpoint, exchange, message.id, sink)
                self._listens[key] = listen, sink
                self._spawn(listen.open())
                return
            call = self._calls[key] = self._endpoint.begin(exchange)
        except Refused as refusal:
            self._outbox.push(error_frame(message.id, refusal.body()))
            return
        self._spawn(self._answer(message.id, key, call))

    def _spawn(self, work: object) -> None:
        assert asyncio.iscoroutine(work)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, ident: Id, key: tuple[type, Id], call: ModernCall) -> None:
        try:
            while True:
                turn = await call.turn(_QUIET)
                if isinstance(turn, Frames):
                    for frame in turn.frames:
                        await self._outbox.put(frame)
                    continue
                if isinstance(turn, Asking):
                    turn = self._endpoint.park(call, turn)
                if isinstance(turn, Result):
                    self._outbox.push(result_frame(ident, turn.raw))
                elif not call.unwanted:
                    self._outbox.push(error_frame(ident, turn.body()))
                return
        finally:
            del self._calls[key]

    async def _relay(
        self, key: tuple[type, Id], elsewhere: Elsewhere, message: Message, headers: Mapping[str, str]
    ) -> None:
        try:
            async for frame in elsewhere.frames():
                await self._outbox.put(frame)
        finally:
            del self._calls[key]
            elsewhere.cancel()
        if elsewhere.left:
            self._carry_out(key, message, headers)

    async def finish(self, seconds: float) -> None:
        """The client says no more: let what it has asked be answered, for a while."""
        calls = [*self._tasks, *(call.task for call in self._session.calls.values())]
        if calls:
            await asyncio.wait(calls, timeout=seconds)

    async def close(self) -> None:
        """The client has gone: end what it has open."""
        for listen, _ in self._listens.values():
            listen.close()
        for call in list(self._calls.values()):
            call.cancel()
        self._session.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
