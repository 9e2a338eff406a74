"""The server: accepts connections on given sockets, within limits, until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from email.utils import formatdate
from ipaddress import ip_address
from typing import Any, Final

from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from starlette.types import ASGIApp

from portico.api import Admit, Log
from portico_plugins.servers.hypercorn.connection import Bounds, Connection, Service, Stream

_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 32\r\n"
    b"retry-after: 1\r\nconnection: close\r\n\r\n"
    b'{"error": "too many connections"}'
)
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ONE_LOST: Final = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR})
_AT_ONCE: Final = 64
_BREATH: Final = 0.5


class Settings(Config):
    """Hypercorn's settings, with a Date header that is made once a second and not once an answer."""

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._date: list[tuple[bytes, bytes]] = []

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """What the server itself adds to each answer."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._date = [(b"date", formatdate(second, usegmt=True).encode())]
        return self._date


class HypercornServer:
    """Hypercorn's protocols behind our own accept loop. Implements `Server`.

    Args:
        config: Hypercorn's settings.
        bounds: Our limits.
        tls: The TLS side of it, or None for clear text.
        log: Where it reports.
    """

    def __init__(self, config: Config, bounds: Bounds, tls: ssl.SSLContext | None, log: Log) -> None:
        self._config = config
        self._bounds = bounds
        self._tls = tls
        self._log = log
        self._open: dict[asyncio.Task[None], Connection | None] = {}
        self._peers: Counter[str] = Counter()
        self._refused = 0
        self._tell_next = 0.0

    async def serve(
        self,
        app: ASGIApp,
        sockets: Sequence[socket.socket],
        drain: Callable[[], Awaitable[object]],
        stop: Callable[[], Awaitable[object]],
        admit: Admit | None = None,
    ) -> None:
        """Serve until `stop()` returns; then close the sockets and let running answers finish.

        Answers still running `stop_timeout` seconds later are cut. Cancelling cuts them at once.
        """
        bounds = self._bounds
        service = Service(
            app=app,
            config=self._config,
            bounds=bounds,
            context=WorkerContext(None),
            draining=asyncio.Event(),
            log=self._log,
        )

        async def watch_drain() -> None:
            await drain()
            service.draining.set()

        loop = asyncio.get_running_loop()
        for sock in sockets:
            sock.setblocking(False)
            sock.listen(bounds.backlog)
            loop.add_reader(sock, self._accept, service, sock)
        draining = loop.create_task(watch_drain())
        try:
            await stop()
            service.draining.set()
            await service.context.terminated.set()
            for sock in sockets:
                loop.remove_reader(sock)
                self._accept(service, sock, bounds.backlog)  # closing would reset what waits in the kernel
                sock.close()
            for connection in self._open.values():
                if connection is not None:
                    connection.stop()
            if self._open:
                await asyncio.wait(self._open, timeout=bounds.stop_timeout)
            if self._open:
                self._log.warning("server.connections_cut", count=len(self._open), after=bounds.stop_timeout)
        finally:
            for sock in sockets:
                if sock.fileno() >= 0:
                    loop.remove_reader(sock)
                    sock.close()
            ending = [draining, *self._open]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    def _accept(self, service: Service, sock: socket.socket, most: int = _AT_ONCE) -> None:
        """Take connections that wait; not all of a flood at once, for the open ones are to be served, too."""
        for _ in range(most):
            try:
                conn, address = sock.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._log.error("server.out_of_resources", error=errno.errorcode[error.errno or 0])
                    self._rest(service, sock)
                if error.errno in _ONE_LOST:
                    continue
                return
            self._admit(service, conn, address)

    def _rest(self, service: Service, sock: socket.socket) -> None:
        """Leave a listener alone for a moment: what it needs to accept has to be freed first."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)

        def resume() -> None:
            if sock.fileno() >= 0 and not service.context.terminated.is_set():
                loop.add_reader(sock, self._accept, service, sock)

        loop.call_later(_BREATH, resume)

    def _admit(self, service: Service, conn: socket.socket, address: Any) -> None:
        conn.setblocking(False)
        if conn.family != getattr(socket, "AF_UNIX", None):
            # asyncio does this only for sockets it knows to be TCP by their protocol number.
            with suppress(OSError):  # reset already
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = peer(address)
        over = len(self._open) >= self._bounds.max_connections
        if over or (client and self._peers[client] >= self._bounds.max_connections_per_ip):
            self._turn_away(conn, "total" if over else "per_ip", client)
            return
        self._peers[client] += 1
        task = asyncio.get_running_loop().create_task(self._serve(service, conn))
        self._open[task] = None

        def closed(task: asyncio.Task[None]) -> None:
            del self._open[task]
            self._peers[client] -= 1
            if not self._peers[client]:
                del self._peers[client]
            if not task.cancelled() and task.exception() is not None:
                self._log.error("server.connection_failed", error=type(task.exception()).__name__)

        task.add_done_callback(closed)

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

    async def _serve(self, service: Service, conn: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        stream = Stream(loop)
        tls = self._tls
        try:
            await loop.connect_accepted_socket(
                lambda: stream,
                conn,
                ssl=tls,
                ssl_handshake_timeout=self._bounds.header_timeout if tls else None,
                ssl_shutdown_timeout=self._bounds.linger if tls else None,
            )
        except OSError:  # a failed handshake is one, too
            conn.close()
            return
        connection = Connection(service, stream)
        task = asyncio.current_task()
        if task is not None and task in self._open:
            self._open[task] = connection
        if service.context.terminated.is_set():
            connection.stop()
        await connection.run()


def peer(address: Any) -> str:
    """What connections are counted by: the IPv4 address or the IPv6 /64; "" for a Unix socket."""
    if not isinstance(address, tuple):
        return ""
    parsed = ip_address(address[0].partition("%")[0])
    if parsed.version == 6:
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped is not None else parsed.exploded[:19]
    return str(parsed)
