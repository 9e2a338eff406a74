"""Requests of the modern era: self-contained, answered once, cancelled by closing (2026-07-28)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from portico.api import (
    Asking,
    Endpoint,
    Exchange,
    Frames,
    Id,
    Listen,
    Message,
    ModernCall,
    Principal,
    Refused,
    Reply,
    Result,
    Stream,
    Timer,
    check_routing,
    error_frame,
    result_frame,
    result_pieces,
    sse_event,
    sse_events,
    timers,
    used_up,
)
from portico_plugins.transports.over_http.events import pour
from portico_plugins.transports.over_http.fields import Fields
from portico_plugins.transports.over_http.wire import (
    JSON,
    KEEP_ALIVE,
    STATUS,
    Raw,
    end_broken,
    send_empty,
    send_refusal,
    start_events,
)
from portico_plugins.transports.streamable_http.manner import Manner


class ModernRequests:
    """Serves modern POSTs of one virtual server.

    Args:
        endpoint: The virtual server.
        manner: How streams are served; the head is held back for its `keep_alive`, too.
    """

    def __init__(self, endpoint: Endpoint, manner: Manner) -> None:
        self._endpoint = endpoint
        self._manner = manner
        self._listening: set[asyncio.Task[None]] = set()

    def serve(
        self,
        raw: Raw,
        message: Message,
        principal: Principal,
        fields: Fields,
        reply: Reply,
    ) -> None:
        """Answer one message."""
        if message.kind == "notification":
            # Core defines none over HTTP and leaves their headers undefined: take it and let it be.
            send_empty(reply, 202)
            return
        try:
            check_routing(message.method, message.params, fields.routing)
            if message.method == "tools/call":
                self._endpoint.check_params(message.params, fields.lines)
            if "requestState" in message.params and self._parked_elsewhere(raw, message, principal, reply):
                return
            if "taskId" in message.params and self._task_elsewhere(raw, message, principal, fields, reply):
                return
            self.carry_out(message, principal, fields.headers, reply)
        except Refused as refusal:
            send_refusal(reply, STATUS.get(refusal.code, 200), refusal, message.id)

    def carry_out(
        self, message: Message, principal: Principal, headers: Mapping[str, str], reply: Reply
    ) -> None:
        """Answer a request that has been judged, here.

        Raises:
            Refused: It cannot begin; nothing has been answered.
        """
        exchange = self._endpoint.modern_exchange(message.method, message.params, principal, headers)
        if message.method == "subscriptions/listen":
            self._listen(exchange, message.id, reply)
        else:
            _Answer(self._endpoint, exchange, message.id, reply, self._manner)

    def _parked_elsewhere(self, raw: Raw, message: Message, principal: Principal, reply: Reply) -> bool:
        """Whether a retry's call is parked at another worker, which then answers."""

        def lost(begun: bool) -> None:
            if begun:
                end_broken(reply, message.id)
            else:
                send_refusal(reply, 400, used_up(), message.id)

        owners = self._endpoint.owners
        return owners is not None and owners.elsewhere(
            "parked", message.params["requestState"], principal, *raw, reply, lost
        )

    def _task_elsewhere(
        self, raw: Raw, message: Message, principal: Principal, fields: Fields, reply: Reply
    ) -> bool:
        """Whether a task was given out by another worker, whose sessions with upstreams may be what it is in.

        If that worker is gone, this one does what it can: there are upstreams whose tasks are in no session.
        """

        def lost(begun: bool) -> None:
            if begun:
                end_broken(reply, message.id)
                return
            try:
                self.carry_out(message, principal, fields.headers, reply)
            except Refused as refusal:
                send_refusal(reply, STATUS.get(refusal.code, 200), refusal, message.id)

        owners = self._endpoint.owners
        return owners is not None and owners.elsewhere(
            "task", message.params["taskId"], principal, *raw, reply, lost
        )

    def _listen(self, exchange: Exchange, ident: Id, reply: Reply) -> None:
        manner = self._manner
        stream = Stream("", manner.unread, notices=True)
        mine = stream.attach()
        listen = Listen(self._endpoint, exchange, ident, stream)

        async def serve() -> None:
            try:
                await listen.open()
                await pour(stream, reply, manner.keep_alive, patience=manner.patience)
            finally:
                listen.close()
                stream.detach(mine)

        task = asyncio.get_running_loop().create_task(serve())
        self._listening.add(task)
        task.add_done_callback(self._listening.discard)
        reply.on_gone = task.cancel


class _Answer:
    """The answer to one call. The status stays open until there is something to send.

    Raises:
        Refused: The call cannot begin.
    """

    __slots__ = ("_call", "_endpoint", "_ident", "_manner", "_reply", "_streaming", "_timer")

    def __init__(
        self, endpoint: Endpoint, exchange: Exchange, ident: Id, reply: Reply, manner: Manner
    ) -> None:
        self._endpoint = endpoint
        self._ident = ident
        self._reply = reply
        self._manner = manner
        self._streaming = False
        self._timer: Timer | None = None
        self._call: ModernCall = endpoint.begin(exchange)
        self._call.unread = manner.unread
        reply.on_gone = self._gone
        self._call.follow(self._go_on)
        self._quiet()
        if "requestState" in exchange.params:
            self._go_on()  # a resumed call may have something to say at once

    def _gone(self) -> None:
        self._stop()
        self._call.cancel()

    def _stop(self) -> None:
        self._call.follow(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timers().after(self._manner.keep_alive, self._write, KEEP_ALIVE)

    def _write(self, data: bytes) -> None:
        if not self._streaming:
            self._streaming = True
            start_events(self._reply)
        self._reply.write(data)
        self._quiet()

    def _go_on(self) -> None:
        """Write what there is; frames wait while the client is slow, which holds the upstream back."""
        turn = self._call.next(hold=self._reply.full)
        if turn is None:
            if self._reply.full:
                self._call.follow_after(self._room())
        elif isinstance(turn, Frames):
            self._write(sse_events(turn.frames))
            self._go_on()
        else:
            self._finish(self._endpoint.park(self._call, turn) if isinstance(turn, Asking) else turn)

    async def _room(self) -> None:
        """Wait until the client has caught up; one that does not is cut off, and its call cancelled."""
        try:
            async with asyncio.timeout(self._manner.patience):
                await self._reply.room()
        except TimeoutError:
            self._reply.cut()

    def _finish(self, outcome: Result | Refused) -> None:
        self._stop()
        self._reply.on_gone = None
        if isinstance(outcome, Refused) and not self._streaming:
            send_refusal(self._reply, STATUS.get(outcome.code, 200), outcome, self._ident)
            return
        if isinstance(outcome, Result):
            if not self._streaming:
                self._reply.send(200, JSON, *result_pieces(self._ident, outcome.raw))
                return
            frame = result_frame(self._ident, outcome.raw)
        else:
            frame = error_frame(self._ident, outcome.body())
        if self._streaming:
            self._reply.write(sse_event(frame))
            self._reply.end()
        else:
            self._reply.send(200, JSON, frame)
