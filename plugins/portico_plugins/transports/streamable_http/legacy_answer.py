"""The answer to a legacy POST: JSON when that is all there is and soon, else an event stream."""

from __future__ import annotations

from portico.api import Reply, Stream, Timer, timers
from portico_plugins.transports.over_http.wire import JSON
from portico_plugins.transports.streamable_http.http_session import HttpSession
from portico_plugins.transports.streamable_http.manner import Manner


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
