"""Sessions of the legacy era: POST, the GET stream, resumption, DELETE (2024-11-05 to 2025-11-25)."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Mapping

import attrs
from starlette.types import Receive, Send

from portico.api import (
    INVALID_REQUEST,
    OVERLOADED,
    Endpoint,
    Message,
    Principal,
    Refused,
    Session,
    Stream,
    error_frame,
    failure,
    parse_batch,
    sse_event,
)
from portico_plugins.transports.streamable_http.wire import (
    KEEP_ALIVE,
    gone,
    send_body,
    send_empty,
    send_events,
    send_refusal,
    start_events,
)

SESSION_TTL = 365 * 86_400.0
KEEP_STREAMS = 8


@attrs.define(eq=False)
class HttpSession:
    """A session and the streams its client may come back to; `extras` are GET streams beside the one told."""

    session: Session
    streams: OrderedDict[str, Stream] = attrs.field(factory=OrderedDict)
    extras: list[Stream] = attrs.field(factory=list)
    opened: int = 0

    def new_stream(self) -> Stream:
        """A stream for a POST or GET."""
        self.opened += 1
        return Stream(str(self.opened))

    def remember(self, stream: Stream) -> None:
        """Keep a stream for resumption; the oldest that is over goes when there are many."""
        self.streams[stream.ident] = stream
        while len(self.streams) > KEEP_STREAMS:
            over = next((i for i, s in self.streams.items() if s.ended and not s.readers), None)
            if over is None:
                break
            del self.streams[over]

    def listen(self) -> Stream:
        """A stream for a GET. Beside an open one it gets nothing: each message goes out once (2025-11-25)."""
        stream = self.new_stream()
        outlet = self.session.outlet
        if outlet is not None and outlet.attached:
            self.extras.append(stream)
        else:
            self._tell(stream)
        self.remember(stream)
        return stream

    def left(self, stream: Stream) -> None:
        """A GET has ended. If it was the one told, its client may have the next already: that is told now."""
        if stream in self.extras:
            self.extras.remove(stream)
            del self.streams[stream.ident]
        elif stream is self.session.outlet and self.extras:
            self._tell(self.extras.pop())

    def _tell(self, stream: Stream) -> None:
        if self.session.outlet is not None:
            self.session.outlet.end()  # what it holds can still be fetched
        self.session.outlet = stream

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nobody listens."""
        return not self.session.calls and not any(s.readers for s in self.streams.values())


class _Together:
    """A sink for a batch: one stream for all its answers, ended by the last."""

    def __init__(self, stream: Stream, open_answers: int) -> None:
        self._stream = stream
        self._open = open_answers

    @property
    def attached(self) -> bool:
        return self._stream.attached

    def push(self, frame: bytes) -> None:
        self._stream.push(frame)

    async def put(self, frame: bytes) -> None:
        await self._stream.put(frame)

    def end(self) -> None:
        self._open -= 1
        if self._open <= 0:
            self._stream.end()


class LegacySessions:
    """The legacy sessions of one virtual server over HTTP.

    Args:
        endpoint: The virtual server.
        idle_seconds: After which an idle session ends.
        most: Sessions open at once.
        keep_alive: Seconds of silence on a stream before a comment.
        grace: Seconds to wait for an answer before an event stream is begun.
        retry_ms: What clients are told to wait before they come back.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        idle_seconds: float,
        most: int,
        keep_alive: float,
        grace: float,
        retry_ms: int,
    ) -> None:
        self._endpoint = endpoint
        self._idle_seconds = idle_seconds
        self._most = most
        self._keep_alive = keep_alive
        self._grace = grace
        self._retry_ms = retry_ms
        self._sessions: dict[str, HttpSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def sweep(self) -> None:
        """End the sessions that have been idle for too long."""
        before = self._endpoint.clock.monotonic() - self._idle_seconds
        for ident, each in list(self._sessions.items()):
            if each.session.last_seen < before and each.idle:
                self._end(ident)

    def close(self) -> None:
        """End every session."""
        for ident in list(self._sessions):
            self._end(ident)

    def _end(self, ident: str) -> None:
        each = self._sessions.pop(ident)
        each.session.close()
        for stream in each.streams.values():
            stream.end()

    def find(self, headers: Mapping[str, str], principal: Principal) -> HttpSession | None:
        """The session a request names, if it is this principal's; anybody else's does not exist."""
        each = self._sessions.get(headers.get("mcp-session-id", ""))
        if each is None or each.session.principal != principal:
            return None
        each.session.last_seen = self._endpoint.clock.monotonic()
        return each

    async def _known(
        self, headers: Mapping[str, str], principal: Principal, send: Send
    ) -> HttpSession | None:
        each = self.find(headers, principal)
        if each is None:
            missing = "mcp-session-id" not in headers
            what = "Mcp-Session-Id is required" if missing else "Session not found"
            await send_refusal(send, 400 if missing else 404, Refused(INVALID_REQUEST, what))
        return each

    async def post(
        self, message: Message, principal: Principal, headers: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        """Answer a POSTed message."""
        if message.kind == "request" and message.method == "initialize" and "mcp-session-id" not in headers:
            await self._initialize(message, principal, headers, send)
            return
        each = await self._known(headers, principal, send)
        if each is None:
            return
        stream = each.new_stream()
        each.session.receive(message, stream, headers)
        if message.kind != "request":
            await send_empty(send, 202)
            return
        await self._deliver(each, stream, receive, send, streamed=_prefers_stream(headers.get("accept", "")))

    async def post_batch(
        self, body: bytes, principal: Principal, headers: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        """Answer a batch, which only 2025-03-26 has."""
        each = await self._known(headers, principal, send)
        if each is None:
            return
        try:
            if each.session.version != "2025-03-26":
                raise Refused(INVALID_REQUEST, "Invalid request: expected one JSON object, not a batch")
            items = parse_batch(body, depth=self._endpoint.depth_limit)
        except Refused as refusal:
            await send_refusal(send, 400, refusal)
            return
        answers = [i for i in items if isinstance(i, Refused) or i.kind == "request"]
        stream = each.new_stream()
        sink = _Together(stream, len(answers))
        for item in items:
            if isinstance(item, Refused):
                sink.push(error_frame(None, item.body()))
                sink.end()
            else:
                each.session.receive(item, sink, headers)
        if not answers:
            await send_empty(send, 202)
            return
        await self._deliver(each, stream, receive, send, batch=len(answers))

    async def _initialize(
        self, message: Message, principal: Principal, headers: Mapping[str, str], send: Send
    ) -> None:
        if len(self._sessions) >= self._most:
            busy = failure(OVERLOADED, "Too many sessions are open", reason="session_limit")
            await send_refusal(send, 503, busy, message.id)
            return
        ident = self._endpoint.seal.close("session", principal, secrets.token_hex(16), SESSION_TTL)
        session = self._endpoint.session(principal, ident)
        stream = Stream()
        session.receive(message, stream, headers)
        frames = stream.take(0)
        if session.version:
            self._sessions[ident] = HttpSession(session)
            await send_body(send, 200, frames[0][1], [(b"mcp-session-id", ident.encode())])
        else:
            await send_body(send, 200, frames[0][1])

    async def get(
        self, principal: Principal, headers: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        """Open the stream for what belongs to no POST, or go on with one that broke off."""
        each = await self._known(headers, principal, send)
        if each is None:
            return
        last = headers.get("last-event-id", "")
        ident, _, number = last.rpartition("-")
        stream = each.streams.get(ident)
        resumed = stream is not None and number.isdecimal() and len(number) < 16 and not stream.readers
        if stream is None or not resumed:
            stream = each.listen()
        try:
            at = int(number) if resumed else 0
            await self._events(each, stream, at, receive, send, prime=not resumed)
        finally:
            each.left(stream)

    async def delete(self, principal: Principal, headers: Mapping[str, str], send: Send) -> None:
        """End a session at its client's wish."""
        each = await self._known(headers, principal, send)
        if each is not None:
            self._end(headers["mcp-session-id"])
            await send_empty(send, 204)

    async def _deliver(
        self,
        each: HttpSession,
        stream: Stream,
        receive: Receive,
        send: Send,
        *,
        batch: int = 0,
        streamed: bool = False,
    ) -> None:
        """Answer with JSON if the answer is all there is and is there soon, else with an event stream.

        A batch is answered by an array of as many answers as it asks for, or by a stream.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._grace
        stream.readers += 1  # a burst of frames waits for us rather than pushing out its beginning
        try:
            while not streamed and not stream.ended and not (stream.last and not batch):
                if loop.time() >= until or stream.retry is not None:
                    break
                await stream.wait(stream.last, until - loop.time())
        finally:
            stream.readers -= 1
        frames = [frame for _, frame in stream.take(0)] if stream.ended and not streamed else []
        if len(frames) == (batch or 1):
            await send_body(send, 200, b"[" + b",".join(frames) + b"]" if batch else frames[0])
            return
        each.remember(stream)
        await self._events(each, stream, 0, receive, send, prime=each.session.version >= "2025-11-25")

    async def _events(
        self, each: HttpSession, stream: Stream, at: int, receive: Receive, send: Send, *, prime: bool
    ) -> None:
        stream.readers += 1
        # Disconnecting is not cancelling: the call goes on, and what it yields waits for Last-Event-ID.
        left = asyncio.get_running_loop().create_task(gone(receive))
        left.add_done_callback(lambda _: stream.wake())
        try:
            await start_events(send)
            if prime:
                await send_events(send, sse_event(b"", id=f"{stream.ident}-{at}", retry=self._retry_ms))
            while not left.done():
                await stream.wait(at, self._keep_alive)
                events = stream.take(at)
                if events:
                    at = events[-1][0]
                    data = [sse_event(frame, id=f"{stream.ident}-{number}") for number, frame in events]
                    await send_events(send, b"".join(data))
                elif stream.ended:
                    break
                elif stream.retry is not None:
                    await send_events(send, b"retry: %d\n\n" % stream.retry)
                    stream.retry = None
                    break
                elif not left.done():
                    await send_events(send, KEEP_ALIVE)
            await send_events(send, b"", more=False)
        finally:
            left.cancel()
            stream.readers -= 1
            each.session.last_seen = self._endpoint.clock.monotonic()


def _prefers_stream(accept: str) -> bool:
    """Whether a client that accepts both forms names event streams first; such a client gets them."""
    stream, json = accept.find("text/event-stream"), accept.find("application/json")
    return 0 <= stream < json
