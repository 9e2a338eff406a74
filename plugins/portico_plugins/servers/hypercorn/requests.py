"""The requests of one fast-lane connection, one after the other.

A request is answered by the kernel directly where it admits that, and by the ASGI application otherwise. The
next one is looked at when the answer has ended; until then up to 64 KiB of it are kept, then nothing is read.
"""

from __future__ import annotations

import asyncio
from typing import Final

from portico.api import Admission
from portico_plugins.servers.hypercorn.answer import Answer, dated, opening
from portico_plugins.servers.hypercorn.asgicall import AsgiCall
from portico_plugins.servers.hypercorn.direct import Body
from portico_plugins.servers.hypercorn.head import LONGEST, Head, Malformed, scope_of
from portico_plugins.servers.hypercorn.incoming import Incoming
from portico_plugins.servers.hypercorn.known import Known, known_from
from portico_plugins.servers.hypercorn.service import Service
from portico_plugins.servers.hypercorn.wire import CHUNK, Wire

IDLE: Final = 0
"""Between requests; the next head may have begun."""
BUSY: Final = 1
"""A request is being read or answered."""
CLOSING: Final = 2
"""Nothing that comes is looked at any more."""

FIRST_REQUEST: Final = 1.0
"""Seconds for a request that is probably on the way when a server drains."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST: Final = b"content-length: 0\r\nconnection: close\r\n"


class Requests(Wire):
    """Reads requests, has them answered, and decides what comes after an answer.

    Args:
        service: What it shares with the others.
    """

    __slots__ = ("_advancing", "_answer", "_begun", "_client", "_expects", "_incoming", "_paused",
                 "_reader", "_served", "_server", "_state", "_tasks", "ended", "gone", "half_closed",
                 "known")  # fmt: skip

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._incoming = Incoming(LONGEST)
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int] | None = None
        self._state = IDLE
        self._begun = True  # the deadline is that of a head
        self._served = False
        self._advancing = False
        self._paused = False
        self._expects = False
        self._answer: Answer | None = None
        self._reader: AsgiCall | Body | None = None
        self._tasks: set[asyncio.Task[None]] | None = None
        self.ended = False  # it was cut off: its calls are cancelled
        self.half_closed = False
        self.gone = False
        self.known: list[Known] = []  # heads that have come on it, and what they led to

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._state == CLOSING:
            return
        incoming = self._incoming
        incoming.feed(data)
        if self._state == IDLE:
            self.advance()
            return
        if self._reader is not None:
            self._reader.poke()
        if incoming.unread > CHUNK and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up with what was written."""
        super().resume_writing()
        if self._state == IDLE:
            self.advance()

    def advance(self) -> None:
        """Begin the requests that have come, one after the other, as long as they are answered at once."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._state == IDLE and not self.full:
                for known in self.known:
                    if self._incoming.again(known):
                        self._begin(known.head, known)
                        break
                else:
                    head = self._incoming.head()
                    if head is None:
                        break
                    self._begin(head)
        except Malformed as malformed:
            self.write(dated(opening(malformed.status, ()).lines, _LAST))
            self._finish()
        finally:
            self._advancing = False
        if self._state == IDLE and not self.full:
            if self.half_closed:
                self._finish()
            elif self._incoming.unread and not self._begun:
                self._begun = True
                self.expect(self.service.bounds.header_timeout)
        if self._paused:
            self._read_on()

    def _begin(self, head: Head, known: Known | None = None) -> None:
        if head.upgrade:
            self.not_expecting()
            self.upgrade(self._incoming.raw + self._incoming.rest())
            return
        self._state = BUSY
        self._served = True
        self._begun = False
        self._expects = head.expects
        self.not_expecting()
        self._answer = answer = Answer(self, head)
        if known is not None:
            self._admitted(known.admission, answer)
            return
        service = self.service
        scope = scope_of(head, self.secure, self._client, self._server)
        try:
            admission = service.admit(scope) if service.admit is not None else None
        except Exception as error:
            self.failed(answer, error)
            return
        if admission is None:
            self._spawn(AsgiCall(self, scope, answer))
            return
        known = known_from(self._incoming.raw, head, admission)
        if known is not None:
            service.memory.keep(self, known)
        self._admitted(admission, answer)

    def _admitted(self, admission: Admission, answer: Answer) -> None:
        if admission.handle is None:
            answer.refuse(admission.status, admission.body)
            return
        whole = self._incoming.whole(admission.body_bytes)
        if whole is not None:
            self.handle(admission, whole, answer)
            return
        self._reader = body = Body(self, admission, answer)
        body.begin(self._incoming.declared)

    def handle(self, admission: Admission, body: bytes, answer: Answer) -> None:
        """Hand a request in whole to who answers it."""
        self._reader = None
        try:
            if admission.handle is not None:
                admission.handle(admission.scope, body, answer)
        except Exception as error:
            self.failed(answer, error)

    def _spawn(self, call: AsgiCall) -> None:
        self._reader = call
        task = self.loop.create_task(call.run())
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if self._tasks is not None:
            self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.service.log.error("server.task_failed", error=type(task.exception()).__name__)
        self.over()

    def shut(self) -> None:
        """Close, whatever the client is still sending."""
        self._state = CLOSING
        self.close()

    def over(self) -> None:
        """Called when a call has ended."""
        raise NotImplementedError

    def upgrade(self, unread: bytes) -> None:
        """Another protocol is to go on from here; called with what has been read, the request included."""
        raise NotImplementedError

    # --- what calls and answers use -----------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether all of the request has been read."""
        return self._incoming.complete

    @property
    def draining(self) -> bool:
        """Whether this answer is to be the connection's last."""
        return self.service.draining.is_set()

    def take(self, answer: Answer) -> bytes | None:
        """What has come of the body; None: there will be no more, and the client knows why."""
        incoming = self._incoming
        try:
            data = incoming.take()
        except Malformed as malformed:
            answer.refuse(malformed.status)
            return None
        if self._expects and not answer.begun and not (data or incoming.complete or incoming.unread):
            self._expects = False
            self.write(_CONTINUE)
        if self._paused:
            self._read_on()
        return data

    def answered(self, answer: Answer) -> None:
        """The answer is written: look at the next request, or close."""
        if self._answer is not answer:
            return
        if isinstance(self._reader, AsgiCall):
            self._reader.poke()  # what waits for a disconnect waits no longer
        self._answer = self._reader = None
        incoming = self._incoming
        try:
            while not incoming.complete and incoming.take():
                pass
        except Malformed:
            answer.keep = False
        if not answer.keep or not incoming.complete:
            self._finish()
            return
        self._state = IDLE
        # An answer that began before the drain did not say "close": the client may have sent its next request
        # already, and is told with the answer to that.
        self._served = not self.draining
        self.expect(self.service.bounds.keep_alive if self._served else FIRST_REQUEST)
        if not self._advancing and (incoming.unread or self.half_closed):
            self.loop.call_soon(self.advance, context=self.service.variables.copy())

    def failed(self, answer: Answer, error: BaseException) -> None:
        """Report that who answers has failed; a short 500, if it is not too late for one."""
        self.service.log.error("server.app_failed", error=type(error).__name__, exc_info=error)
        answer.fail()

    def broken(self, answer: Answer, reason: str) -> None:
        """Report that an answer is not what it declared to be, and end it."""
        self.service.log.error("server.answer_broken", reason=reason)
        self.break_off(answer)

    def break_off(self, answer: Answer) -> None:
        """End an answer in a way that it is not taken for whole."""
        framed = answer.framed
        answer.leave()
        self.shut()
        if not framed:
            self.transport.abort()

    def _finish(self) -> None:
        """Close; not on data the client is still sending, for that would reset the answer away."""
        self._state = CLOSING
        if self.half_closed or (self._incoming.complete and not self._incoming.unread):
            self.close()
            return
        self.expect(self.service.bounds.linger)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if self._paused:
            self._read_on()

    def _read_on(self) -> None:
        if self._state == CLOSING or self._incoming.unread <= CHUNK:
            self._paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
