"""Requests of the modern era: self-contained, answered once, cancelled by closing (2026-07-28)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from starlette.types import Receive, Send

from portico.api import (
    LEGACY_ONLY,
    METHOD_NOT_FOUND,
    Asking,
    Endpoint,
    Frames,
    Listen,
    Message,
    ModernCall,
    Principal,
    Refused,
    Result,
    Stream,
    check_routing,
    error_frame,
    result_frame,
    sse_event,
)
from portico_plugins.transports.streamable_http.wire import (
    KEEP_ALIVE,
    STATUS,
    gone,
    send_body,
    send_empty,
    send_events,
    send_refusal,
    start_events,
)


class ModernRequests:
    """Serves modern POSTs of one virtual server.

    Args:
        endpoint: The virtual server.
        keep_alive: Seconds of silence before a comment is sent; also how long the head is held back.
    """

    def __init__(self, endpoint: Endpoint, keep_alive: float) -> None:
        self._endpoint = endpoint
        self._keep_alive = keep_alive

    async def serve(
        self,
        message: Message,
        principal: Principal,
        headers: Mapping[str, str],
        lines: Sequence[tuple[str, str]],
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one message."""
        if message.kind == "notification":
            # Core defines none over HTTP and leaves their headers undefined: take it and let it be.
            await send_empty(send, 202)
            return
        try:
            check_routing(message.method, message.params, lines)
            if message.method in LEGACY_ONLY:
                raise Refused(METHOD_NOT_FOUND, "Method not found")
            if message.method == "tools/call":
                self._endpoint.check_params(message.params, lines)
            exchange = self._endpoint.modern_exchange(message.method, message.params, principal, headers)
            if message.method == "subscriptions/listen":
                stream = Stream()
                listen = self._endpoint.listen(exchange, message.id, stream)
                serving = self._listen(listen, stream, receive, send)
            else:
                serving = self._answer(message, self._endpoint.begin(exchange), receive, send)
        except Refused as refusal:
            await send_refusal(send, STATUS.get(refusal.code, 200), refusal, message.id)
            return
        await serving

    async def _listen(self, listen: Listen, stream: Stream, receive: Receive, send: Send) -> None:
        """Send what the subscription says, until it ends or the client has left."""
        try:
            await self._until_gone(self._pour(stream, listen.open, send), receive)
        finally:
            listen.close()

    async def _answer(self, message: Message, call: ModernCall, receive: Receive, send: Send) -> None:
        """Take turns with the call; the status stays open until the first thing there is to send."""
        watch = asyncio.get_running_loop().create_task(_cancel_when_gone(receive, call))
        streaming = False
        try:
            while True:
                turn = await call.turn(self._keep_alive)
                if isinstance(turn, Frames):
                    if not streaming:
                        streaming = True
                        await start_events(send)
                    data = b"".join([sse_event(frame) for frame in turn.frames]) or KEEP_ALIVE
                    await send_events(send, data)
                    continue
                if isinstance(turn, Asking):
                    turn = self._endpoint.park(call, turn)
                status = 200
                if isinstance(turn, Result):
                    frame = result_frame(message.id, turn.raw)
                else:
                    status = STATUS.get(turn.code, 200)
                    frame = error_frame(message.id, turn.body())
                if streaming:
                    await send_events(send, sse_event(frame), more=False)
                else:
                    await send_body(send, status, frame, [(b"retry-after", b"1")] if status == 503 else [])
                return
        except BaseException:
            call.cancel()  # the server gave this request up; nobody else can
            raise
        finally:
            watch.cancel()

    async def _pour(self, stream: Stream, open_it: Callable[[], object], send: Send) -> None:
        """Send what comes on a stream until it ends."""
        opening = open_it()
        if asyncio.iscoroutine(opening):
            await opening
        await start_events(send)
        at = 0
        stream.readers = 1
        while True:
            await stream.wait(at, self._keep_alive)
            events = stream.take(at)
            if events:
                at = events[-1][0]
                await send_events(send, b"".join([sse_event(frame) for _, frame in events]))
            elif stream.ended:
                await send_events(send, b"", more=False)
                return
            else:
                await send_events(send, KEEP_ALIVE)

    async def _until_gone(self, work: object, receive: Receive) -> None:
        """Do the work until it is done or the client has left."""
        loop = asyncio.get_running_loop()
        assert asyncio.iscoroutine(work)
        tasks = [loop.create_task(work), loop.create_task(gone(receive))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        failed = results[0]
        if isinstance(failed, Exception):
            raise failed


async def _cancel_when_gone(receive: Receive, call: ModernCall) -> None:
    await gone(receive)
    call.cancel()
