"""The fast lane: one HTTP/1.1 connection as an asyncio protocol, without a task of its own.

A client that ends its side of the connection while it waits is given half a second: an answer that is ready
by then still reaches it. After that it counts as gone, for TCP does not tell a half-closed client from one
that has left. A reset tells at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from portico_plugins.servers.hypercorn.asgicall import AsgiCall
from portico_plugins.servers.hypercorn.direct import Body
from portico_plugins.servers.hypercorn.head import PREFACE
from portico_plugins.servers.hypercorn.requests import BUSY, CLOSING, FIRST_REQUEST, IDLE, Requests
from portico_plugins.servers.hypercorn.service import Service, address

_LAST_WORDS: Final = 0.5


class FastConnection(Requests):
    """Serves one accepted connection until either side has had enough of it.

    Args:
        service: What it shares with the others.
        on_over: Called once, when it is gone and its calls have ended.
        hand_over: Takes a connection on which HTTP/2 or WebSocket is to be spoken: called with the transport
            and what has been read and not been used.
    """

    __slots__ = ("_hand_over", "_on_over", "_sniffing")

    def __init__(
        self,
        service: Service,
        on_over: Callable[[], None],
        hand_over: Callable[[asyncio.Transport, bytes], None],
    ) -> None:
        super().__init__(service)
        self._on_over = on_over
        self._hand_over = hand_over
        self._sniffing = service.bounds.h2c  # it may be HTTP/2 without TLS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected, and the TLS handshake, if any, is done."""
        super().connection_made(transport)
        secure = transport.get_extra_info("ssl_object")
        self.secure = secure is not None
        if secure is not None:
            self._sniffing = False
            if secure.selected_alpn_protocol() == "h2":
                self.upgrade(b"")
                return
        self._client = address(transport.get_extra_info("peername"))
        self._server = address(transport.get_extra_info("sockname"))
        self.expect(self.service.bounds.header_timeout)

    def upgrade(self, unread: bytes) -> None:
        """Hand the connection over, to a protocol that is not spoken here."""
        self._state = CLOSING
        self.lost = True
        self.forget()
        self.service.memory.forget(self)
        self._hand_over(self.transport, unread)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._sniffing:
            if self._state == CLOSING:
                return
            self._incoming.feed(data)
            self._sniffing = PREFACE.startswith(self._incoming.rest()[: len(PREFACE)])
            if not self._sniffing:
                self.advance()
            elif self._incoming.unread >= len(PREFACE):
                self.upgrade(self._incoming.rest())
        else:
            super().data_received(data)

    def eof_received(self) -> bool:
        """The client sends no more."""
        self.half_closed = True
        waits = self._state == BUSY or (self._state == IDLE and self.full)
        if self.secure or not waits or isinstance(self._reader, Body):
            self._leave()
            return False
        if self._reader is not None:
            self._reader.poke()
        self.expect(_LAST_WORDS)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or we have closed."""
        super().connection_lost(exc)
        self.service.memory.forget(self)
        self._state = CLOSING
        try:
            self._leave()
        finally:
            self.over()

    def over(self) -> None:
        """Tell that the connection and its calls have ended, if they have."""
        if self.lost and not self._tasks:
            self._on_over()

    def _leave(self) -> None:
        """Whoever answers is told that the client has gone."""
        self.gone = True
        answer, reader = self._answer, self._reader
        if answer is not None and (self.lost or not isinstance(reader, AsgiCall)):
            self._answer = None
            answer.leave()
        if isinstance(reader, AsgiCall):
            reader.poke()  # an application may still answer a client that is only half closed

    def expired(self) -> None:
        """What was expected has not come."""
        if isinstance(self._reader, Body):
            self._reader.late()
            return
        if self._state == BUSY:
            self._leave()
        if self._reader is None:
            self.shut()

    def stop(self) -> None:
        """The server stops: an idle connection ends now, a busy one after its answer.

        One that was only just opened gets a moment: its first request is probably on the way.
        """
        if self._served:
            self._stop_if_idle()
        else:
            self.loop.call_later(FIRST_REQUEST, self._stop_if_idle)

    def _stop_if_idle(self) -> None:
        if self._state == IDLE and not self.lost:
            self.shut()

    def cut(self) -> None:
        """End it at once, calls included."""
        self.ended = True
        for task in self._tasks or ():
            task.cancel()
        if not self.lost:
            self.transport.abort()
