"""A legacy session over HTTP: the streams that its client reads, and may come back to."""

from __future__ import annotations

import asyncio

import attrs

from portico.api import Reply, Session, Stream, Unread
from portico_plugins.transports.over_http.events import pour
from portico_plugins.transports.streamable_http.manner import Manner

KEEP_STREAMS = 8


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
