"""The answer to a legacy POST: JSON when that is all there is and soon, else an event stream."""

from __future__ import annotations

import asyncio

import attrs

from portico.api import Reply, Session, Stream, Timer, Unread, timers
from portico_plugins.transports.over_http.events import pour
from portico_plugins.transports.over_http.wire import JSON

KEEP_STREAMS = 8


@attrs.frozen
class Manner:
    """How streams are served.

    Attributes:
        keep_alive: Seconds of silence on a stream before a comment.
        grace: Seconds to wait for an answer before an event stream is begun.
        retry: Milliseconds clients are told to wait before they come back.
        unread: How far behind a client may be.
        patience: Seconds it may then take nothing before it is cut off.
    """

    keep_alive: float
    grace: float
    retry: int
    unread: Unread
    patience: float


@attrs.define(eq=False)
class HttpSession:
    """A session and the streams its client may come back to; `extras` are GET streams beside the one told."""

    session: Session
    unread: Unread
    streams: dict[str, Stream] = attrs.field(factory=dict)
    extras: list[Stream] = attrs.field(factory=list)
    tasks: list[asyncio.Task[None]] = attrs.field(factory=list)
    opened: int = 0

    def new_stream(self, notices: bool = False) -> Stream:
        """A stream for a POST, or for the notices of a GET."""
        self.opened += 1
        return Stream(str(self.opened), self.unread, notices)

    def remember(self, stream: Stream) -> None:
        """Keep a stream for resumption; the oldest that is over goes when there are many."""
        self.streams[stream.ident] = stream
        while len(self.streams) > KEEP_STREAMS:
            over = next((i for i, s in self.streams.items() if s.ended and not s.attached), None)
            if over is None:
                break
            del self.streams[over]

    def listen(self) -> Stream:
        """A stream for a GET. Beside an open one it gets nothing: each message goes out once (2025-11-25)."""
        stream = self.new_stream(notices=True)
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
        elif stream is self.session.outlet and not stream.attached and self.extras:
            self._tell(self.extras.pop())

    def _tell(self, stream: Stream) -> None:
        if self.session.outlet is not None:
            self.session.outlet.end()  # what it holds can still be fetched
        self.session.outlet = stream

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nobody listens."""
        return not self.session.calls and not any(s.attached for s in self.streams.values())

    def serve(self, stream: Stream, reply: Reply, manner: Manner, at: int, prime: bool) -> None:
        """Pour a stream into a reply.

        Disconnecting is not cancelling: what comes later waits for its client.
        """
        # Attached at once: frames that come before the task runs must wait for it, not push each other out.
        mine = stream.attach()
        retry = manner.retry if prime else None
        task = asyncio.get_running_loop().create_task(
            pour(
                stream,
                reply,
                manner.keep_alive,
                at=at,
                numbered=True,
                retry=retry,
                patience=manner.patience,
            )
        )
        self.tasks.append(task)

        def over(task: asyncio.Task[None]) -> None:
            self.tasks.remove(task)
            stream.detach(mine)
            self.session.touch()
            self.left(stream)

        task.add_done_callback(over)
        reply.on_gone = task.cancel


class Answer:
    """A sink that becomes a JSON body or an event stream.

    Args:
        each: Whose.
        reply: Where the answer goes.
        manner: How.
        streamed: Whether the client would rather have a stream.
        batch: How many answers a batch asks for; 0 for a single request. A batch is answered by an array of
            as many, or by a stream.
    """

    __slots__ = ("_batch", "_each", "_frames", "_manner", "_open", "_reply", "_stream", "_timer")

    def __init__(
        self, each: HttpSession, reply: Reply, manner: Manner, *, streamed: bool = False, batch: int = 0
    ) -> None:
        self._each = each
        self._reply = reply
        self._manner = manner
        self._batch = batch
        self._open = batch
        self._frames: list[bytes] = []
        self._stream: Stream | None = None
        self._timer: Timer | None = None
        if streamed:
            self._begin()
        else:
            self._timer = timers().after(manner.grace, self._begin)

    @property
    def attached(self) -> bool:
        """Whether somebody reads just now."""
        return self._stream is None or self._stream.attached

    def _begin(self) -> Stream:
        """Make it a stream, if it is not one yet."""
        if self._stream is None:
            self._settle()
            self._stream = stream = self._each.new_stream()
            for frame in self._frames:
                stream.push(frame)
            self._each.remember(stream)
            prime = self._each.session.version >= "2025-11-25"
            self._each.serve(stream, self._reply, self._manner, 0, prime)
        return self._stream

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def push(self, frame: bytes) -> None:
        """Take a frame that is not the answer: it needs a stream."""
        self._begin().push(frame)

    async def put(self, frame: bytes) -> None:
        """Take a frame when the reader has caught up."""
        await self._begin().put(frame)

    def offer(self, frame: bytes) -> bool:
        """Take a frame at once, unless the reader has to catch up first."""
        return self._begin().offer(frame)

    def poll(self, retry_ms: int) -> None:
        """Send the client away, to come back with `Last-Event-ID`."""
        self._begin().poll(retry_ms)

    def end(self, *last: bytes) -> None:
        """One answer is complete, or there will be none; the last ends the reply."""
        if self._batch:
            self._end_batch(b"".join(last))
        elif self._stream is None and last:
            self._settle()
            self._reply.send(200, JSON, *last)
        else:
            self._begin().end(*last)

    def _end_batch(self, last: bytes) -> None:
        self._open -= 1
        if self._stream is not None and last:
            self._stream.push(last)
        elif last:
            self._frames.append(last)
        if self._open:
            return
        if self._stream is None and len(self._frames) == self._batch:
            self._settle()
            self._reply.send(200, JSON, b"[" + b",".join(self._frames) + b"]")
        else:
            self._begin().end()
