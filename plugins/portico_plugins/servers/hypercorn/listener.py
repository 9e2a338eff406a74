"""The server: accepts connections on given sockets, within limits, until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from starlette.types import ASGIApp

from portico.api import Admit, Log, Share
from portico_plugins.servers.hypercorn.fast import FastConnection
from portico_plugins.servers.hypercorn.seats import Seat, Seats, peer
from portico_plugins.servers.hypercorn.service import Bounds, Service
from portico_plugins.servers.hypercorn.turns import PAUSE, Turns

if TYPE_CHECKING:
    from portico_plugins.servers.hypercorn.connection import Stream
    from portico_plugins.servers.hypercorn.ordinary import Ordinary

_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 32\r\n"
    b"retry-after: 1\r\nconnection: close\r\n\r\n"
    b'{"error": "too many connections"}'
)
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ONE_LOST: Final = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR})
_AT_ONCE: Final = 64
_BREATH: Final = 0.5


class HypercornServer:
    """Hypercorn's protocols behind our own accept loop. Implements `Server`.

    Args:
        bounds: Our limits.
        tls: The TLS side of it, or None for clear text.
        lane: Makes the ordinary lane.
        at_once: Whether to do so before the first connection, for it may be one that needs it.
        log: Where it reports.
    """

    def __init__(
        self,
        bounds: Bounds,
        tls: ssl.SSLContext | None,
        lane: Callable[[], Ordinary],
        log: Log,
        *,
        at_once: bool,
    ) -> None:
        self._bounds = bounds
        self._tls = tls
        self._lane = lane
        self._at_once = at_once
        self._log = log
        self._seats = Seats(bounds)
        self._share: Share | None = None
        self._turns: Turns | None = None
        self._refused = 0
        self._tell_next = 0.0

    async def serve(
        self,
        app: ASGIApp,
        sockets: Sequence[socket.socket],
        drain: Callable[[], Awaitable[object]],
        stop: Callable[[], Awaitable[object]],
        admit: Admit | None = None,
        share: Share | None = None,
    ) -> None:
        """Serve until `stop()` returns; then close the sockets and let running answers finish.

        Answers still running `stop_timeout` seconds later are cut. Cancelling cuts them at once.
        """
        bounds = self._bounds
        service = Service(
            app=app,
            bounds=bounds,
            lane=self._lane() if self._at_once else None,
            stopping=asyncio.Event(),
            draining=asyncio.Event(),
            log=self._log,
            variables=copy_context(),
            admit=admit,
        )

        async def watch_drain() -> None:
            await drain()
            service.draining.set()

        loop = asyncio.get_running_loop()
        self._share, self._turns = share, Turns(share) if share is not None else None
        self._tell()
        for sock in sockets:
            sock.setblocking(False)
            sock.listen(bounds.backlog)
            loop.add_reader(sock, self._accept, service, sock)
        draining = loop.create_task(watch_drain())
        try:
            await stop()
            service.draining.set()
            service.stopping.set()
            if service.lane is not None:
                await service.lane.context.terminated.set()
            self._take_no_more()
            for sock in sockets:
                loop.remove_reader(sock)
                self._accept(service, sock, bounds.backlog)  # closing would reset what waits in the kernel
                sock.close()
            for seat in self._seats.taken():
                if seat.connection is not None:
                    seat.connection.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(bounds.stop_timeout):
                    await self._seats.emptied()
            left = len(self._seats.taken())
            if left:
                self._log.warning("server.connections_cut", count=left, after=bounds.stop_timeout)
        finally:
            self._take_no_more()
            for sock in sockets:
                if sock.fileno() >= 0:
                    loop.remove_reader(sock)
                    sock.close()
            draining.cancel()
            for seat in self._seats.taken():
                if seat.task is not None:
                    seat.task.cancel()
                if isinstance(seat.connection, FastConnection):
                    seat.connection.cut()
            await asyncio.gather(draining, return_exceptions=True)
            await self._seats.emptied()

    def _accept(self, service: Service, sock: socket.socket, most: int = _AT_ONCE) -> None:
        """Take connections that wait; not all of a flood at once, for the open ones are to be served, too."""
        if self._turns is not None:
            most = min(most, self._turns.most(len(self._seats), time.monotonic()))
            if not most:
                self._rest(service, sock, PAUSE)
        for _ in range(most):
            try:
                conn, address = sock.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._log.error("server.out_of_resources", error=errno.errorcode[error.errno or 0])
                    self._rest(service, sock, _BREATH)
                if error.errno in _ONE_LOST:
                    continue
                return
            self._admit(service, conn, address)

    def _rest(self, service: Service, sock: socket.socket, seconds: float) -> None:
        """Leave a listener alone for a moment: to other processes, or until there is what accepting needs."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)

        def resume() -> None:
            if sock.fileno() >= 0 and not service.stopping.is_set():
                loop.add_reader(sock, self._accept, service, sock)
                if self._turns is not None:
                    self._turns.look(sock)

        loop.call_later(seconds, resume)

    def _tell(self) -> None:
        """Say to who else accepts here how many connections are open."""
        if self._share is not None:
            self._share.hold(len(self._seats))

    def _take_no_more(self) -> None:
        if self._share is not None:
            self._share.hold(None)
        self._share = self._turns = None

    def _free(self, seat: Seat) -> None:
        self._seats.free(seat)
        self._tell()

    def _admit(self, service: Service, conn: socket.socket, address: Any) -> None:
        conn.setblocking(False)
        if conn.family != getattr(socket, "AF_UNIX", None):
            # asyncio does this only for sockets it knows to be TCP by their protocol number.
            with suppress(OSError):  # reset already
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = peer(address)
        reason = self._seats.refusal(client)
        if reason:
            self._turn_away(conn, reason, client)
            return
        seat = self._seats.take(client)
        seat.accepted = conn
        self._tell()
        self._run(seat, self._connect(service, conn, seat))

    def _run(self, seat: Seat, serving: Coroutine[Any, Any, None]) -> None:
        seat.task = asyncio.get_running_loop().create_task(serving)
        seat.task.add_done_callback(lambda task: self._ran(seat, task))

    def _ran(self, seat: Seat, task: asyncio.Task[None]) -> None:
        if seat.task is not task:
            return  # passed on
        seat.task = None
        if seat.accepted is not None:  # cancelled before it began
            seat.accepted.close()
        if not task.cancelled() and task.exception() is not None:
            self._log.error("server.connection_failed", error=type(task.exception()).__name__)
        if not isinstance(seat.connection, FastConnection) or seat.connection.lost:
            self._free(seat)

    def _turn_away(self, conn: socket.socket, reason: str, client: str) -> None:
        with conn:
            if self._tls is None:
                with suppress(OSError):
                    conn.send(_FULL)
                    conn.recv(65536)  # unread bytes would turn the close into a reset
        self._refused += 1
        now = time.monotonic()
        if now >= self._tell_next:  # a flood of connections is not to become a flood of log lines
            self._tell_next = now + 1.0
            self._log.warning("server.connection_refused", reason=reason, peer=client, count=self._refused)
            self._refused = 0

    async def _connect(self, service: Service, conn: socket.socket, seat: Seat) -> None:
        """Open an accepted connection; in the ordinary lane, serve it, too."""
        seat.accepted = None
        loop = asyncio.get_running_loop()
        tls = self._tls
        lane = service.lane
        stream = lane.stream() if lane is not None and not self._bounds.fast_lane else None
        protocol: Stream | FastConnection
        if stream is not None:
            protocol = stream
        else:
            protocol = seat.connection = FastConnection(
                service,
                lambda: self._free(seat),
                lambda transport, unread: self._pass_on(service, seat, transport, unread),
            )
        try:
            await loop.connect_accepted_socket(
                lambda: protocol,
                conn,
                ssl=tls,
                ssl_handshake_timeout=self._bounds.header_timeout if tls else None,
                ssl_shutdown_timeout=self._bounds.linger if tls else None,
            )
        except OSError:  # a failed handshake is one, too
            conn.close()
            return
        if lane is not None and stream is not None:
            await self._serve(service, lane, stream, seat)
        elif isinstance(protocol, FastConnection) and service.stopping.is_set():
            protocol.stop()

    async def _serve(self, service: Service, lane: Ordinary, stream: Stream, seat: Seat) -> None:
        seat.connection = connection = lane.connection(service, stream)
        if service.stopping.is_set():
            connection.stop()
        await connection.run()

    def _pass_on(self, service: Service, seat: Seat, transport: asyncio.Transport, unread: bytes) -> None:
        """Serve a connection in the ordinary lane that began in the fast one."""
        lane = service.lane = service.lane or self._lane()
        stream = lane.stream()
        seat.connection = None
        transport.set_protocol(stream)
        stream.connection_made(transport)
        if unread:
            stream.data_received(unread)
        self._run(seat, self._serve(service, lane, stream, seat))
