"""The fast lane: one HTTP/1.1 connection as an asyncio protocol, without a task of its own.

A request is answered by the kernel directly where it admits that, and by the ASGI application otherwise. The
next one is looked at when the answer has ended; until then up to 64 KiB of it are kept, then nothing is read.

A client that ends its side of the connection while it waits is given half a second: an answer that is ready by
then still reaches it. After that it counts as gone, for TCP does not tell a half-closed client from one that
has left. A reset tells at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

from portico.api import Admission, Scope
from portico_plugins.servers.hypercorn.answer import Answer, head_bytes
from portico_plugins.servers.hypercorn.asgicall import FAILED, JSON, AsgiCall
from portico_plugins.servers.hypercorn.head import Head, Malformed
from portico_plugins.servers.hypercorn.incoming import Incoming
from portico_plugins.servers.hypercorn.service import Service, address
from portico_plugins.servers.hypercorn.wire import CHUNK, Wire

_LAST_WORDS: Final = 0.5
_FIRST_REQUEST: Final = 1.0
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_ASGI: Final = {"spec_version": "2.1", "version": "3.0"}
_UNCACHED: Final = (b"cache-control", b"no-store")
_TOO_LARGE: Final = b'{"error":"body too large","expected":"a smaller body"}'
_TOO_SLOW: Final = b'{"error":"body took too long","expected":"the whole body within the time limit"}'
_IDLE, _BODY, _BUSY, _CLOSING = range(4)


class FastConnection(Wire):
    """Serves one accepted connection until either side has had enough of it.

    Args:
        service: What it shares with the others.
        on_over: Called once, when it is gone and its calls have ended.
        hand_over: Takes an HTTP/2 connection: called with the transport and what has been read of it.
    """

    __slots__ = ("_admission", "_advancing", "_answer", "_begun", "_call", "_client", "_expects", "_hand_over",
                 "_incoming", "_on_over", "_paused", "_pieces", "_scope", "_served", "_server", "_size",
                 "_state", "_tasks", "ended", "gone", "half_closed")  # fmt: skip

    def __init__(
        self,
        service: Service,
        on_over: Callable[[], None],
        hand_over: Callable[[asyncio.Transport, bytes], None],
    ) -> None:
        super().__init__(service)
        self._on_over = on_over
        self._hand_over = hand_over
        self._incoming = Incoming(service.config.h11_max_incomplete_size)
        self._state = _IDLE
        self._begun = True  # the deadline is that of a head
        self._served = False
        self._advancing = False
        self._paused = False
        self._expects = False
        self._answer: Answer | None = None
        self._call: AsgiCall | None = None
        self._scope: Scope = {}
        self._admission: Admission | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._tasks: set[asyncio.Task[None]] | None = None
        self.ended = False  # it was cut off: its calls are cancelled
        self.half_closed = False
        self.gone = False

    # --- the connection -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected, and the TLS handshake, if any, is done."""
        super().connection_made(transport)
        secure = transport.get_extra_info("ssl_object")
        self.secure = secure is not None
        if secure is not None and secure.selected_alpn_protocol() == "h2":
            self._hand_over(self.transport, b"")
            return
        self._client = address(transport.get_extra_info("peername"))
        self._server = address(transport.get_extra_info("sockname"))
        self.expect(self.service.bounds.header_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or we have closed."""
        super().connection_lost(exc)
        self._state = _CLOSING
        try:
            self._leave()
        finally:
            self._over()

    def eof_received(self) -> bool:
        """The client sends no more."""
        self.half_closed = True
        if self.secure or self._state in (_BODY, _CLOSING) or (self._state == _IDLE and not self.full):
            self._leave()
            return False
        if self._call is not None:
            self._call.poke()
        self.expect(_LAST_WORDS)
        return True

    def stop(self) -> None:
        """The server stops: an idle connection ends now, a busy one after its answer.

        One that was only just opened gets a moment: its first request is probably on the way.
        """
        if self._served:
            self._stop_if_idle()
        else:
            self.loop.call_later(_FIRST_REQUEST, self._stop_if_idle)

    def _stop_if_idle(self) -> None:
        if self._state == _IDLE and not self.lost:
            self._close()

    def cut(self) -> None:
        """End it at once, calls included."""
        self.ended = True
        for task in self._tasks or ():
            task.cancel()
        self.transport.abort()

    def _over(self) -> None:
        if self.lost and not self._tasks:
            self._on_over()

    def _leave(self) -> None:
        """Whoever answers is told that the client has gone."""
        self.gone = True
        answer, call = self._answer, self._call
        if call is not None:
            call.poke()  # an application may still answer a client that is only half closed
        if answer is not None and (call is None or self.lost):
            self._answer = None
            answer.leave()

    # --- requests -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        state, incoming = self._state, self._incoming
        if state == _CLOSING:
            return
        incoming.feed(data)
        if state == _IDLE:
            self._advance()
        elif state == _BODY:
            self._collect()
        else:
            if self._call is not None:
                self._call.poke()
            if incoming.unread > CHUNK and not self._paused:
                self._paused = True
                self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up with what was written."""
        super().resume_writing()
        if self._state == _IDLE:
            self._advance()

    def _advance(self) -> None:
        """Begin the requests that have come, one after the other, as long as they are answered at once."""
        if self._advancing:
            return
        self._advancing = True
        incoming = self._incoming
        try:
            while self._state == _IDLE and not self.full:
                head = incoming.head()
                if head is None:
                    break
                self._begin(head)
        except Malformed as malformed:
            self._refuse(malformed.status)
        finally:
            self._advancing = False
        if self._state == _IDLE and not self.full:
            if self.half_closed:
                self._close()
            elif incoming.unread and not self._begun:
                self._begun = True
                self.expect(self.service.bounds.header_timeout)
        self._read_on()

    def _begin(self, head: Head) -> None:
        self._state = _BUSY
        self._served = True
        self._begun = False
        self.not_expecting()
        self._expects = head.expects
        path, _, query = head.target.partition(b"?")
        text = path.decode("ascii")
        scope: Scope = {
            "type": "http",
            "http_version": head.version,
            "asgi": _ASGI,
            "method": head.method,
            "scheme": "https" if self.secure else "http",
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "root_path": self.service.config.root_path,
            "headers": head.fields,
            "client": self._client,
            "server": self._server,
            "state": {},
            "extensions": {},
        }
        self._answer = answer = Answer(self, head)
        admit = self.service.admit
        try:
            admission = admit(scope) if admit is not None else None
        except Exception as error:
            self._failed(answer, error)
            return
        if admission is None:
            self._call = call = AsgiCall(self, scope, answer)
            self._spawn(call)
        elif admission.handle is None:
            self._refuse(admission.status, admission.body)
        elif self._incoming.complete:
            self._handle(admission, b"")
        elif head.length > admission.body_bytes:
            self._refuse(413, _TOO_LARGE)
        else:
            self._admission = admission
            self._size = 0
            self._state = _BODY
            self._collect()
            if self._state == _BODY:
                self.expect(admission.body_seconds)
                self._go_on()

    def _collect(self) -> None:
        """Take what has come of a body that is wanted whole."""
        ...
