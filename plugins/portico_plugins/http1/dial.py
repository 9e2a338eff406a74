"""Making connections: names resolved and every address judged, for each connection anew."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from portico.api import AddressNotAllowed, resolve, spelled

from .answer import Unreachable
from .connection import Connection
from .proxy import Proxy, tunnel
from .tls import Tls, tls_context

__all__ = ["Dialer", "Tls", "tls_context"]

_HEAD_START: Final = 0.25
"""Seconds one address gets before the next is tried beside it (RFC 8305)."""

_MOST_TUNNELS: Final = 3
"""Addresses of a host for which a proxy is asked."""

_Address = tuple[int, tuple[Any, ...]]


class Dialer:
    """Connects to one host.

    Args:
        host: A name or an address.
        port: The port.
        context: For TLS; None for none.
        allow_private: Whether loopback, private and similar addresses are fine.
        timeout: Seconds one attempt may take, TLS included.
        proxy: Through which to connect; None for none. The environment is not asked.
    """

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | Tls | None,
        allow_private: bool,
        timeout: float,
        proxy: Proxy | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._allow_private = allow_private
        self._timeout = timeout
        self._proxy = proxy

    @classmethod
    def of(
        cls,
        url: str,
        tls: ssl.SSLContext | Tls | None,
        allow_private: bool,
        timeout: float,
        proxy: Proxy | None = None,
    ) -> Dialer:
        """Connects to the host of a URL of http or https; to one of http without TLS."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        return cls(
            ascii_of(parts.hostname or ""), port, tls if secure else None, allow_private, timeout, proxy
        )

    async def dial(self, make: Callable[[socket.socket], Connection]) -> Connection:
        """A new connection.

        Raises:
            Unreachable: There is none to be had, or it may not be made.
        """
        loop = asyncio.get_running_loop()
        context = self._tls()
        try:
            async with asyncio.timeout(self._timeout):
                if self._proxy is None:
                    sock = await self._connected(await self._resolved())
                else:
                    sock = await self._tunnelled(self._proxy)
                name = self._host if context is not None else None
                # The socket is the transport's from here on, to close as well.
                _, connection = await loop.create_connection(
                    lambda: make(sock), sock=sock, ssl=context, server_hostname=name
                )
                return connection
        except (OSError, UnicodeError) as error:
            raise Unreachable.by(error) from None

    def _tls(self) -> ssl.SSLContext | None:
        if not isinstance(self._context, Tls):
            return self._context
        try:
            return self._context.context()
        except (OSError, ValueError):
            raise Unreachable("tls_files_unusable") from None

    async def _tunnelled(self, proxy: Proxy) -> socket.socket:
        """A socket that leads to the host through a proxy.

        The proxy is told an address that was judged here, so that it cannot come to another by resolving the
        name. One that is to resolve names is told addresses all the same where the URL has one.

        Raises:
            Unreachable: There is none to be had, or it may not be.
        """
        targets = [(self._host, self._port)]
        if not proxy.resolves or spelled(self._host):
            targets = [(str(address[0]), self._port) for _, address in await self._resolved()]
        last = Unreachable("proxy_refused")
        for host, port in targets[:_MOST_TUNNELS]:
            try:
                # Where it is, whoever runs the gateway has said: a private network, most often.
                sock = await self._connected(await resolve(proxy.host, proxy.port, allow_private=True))
            except AddressNotAllowed:
                raise
            except OSError:
                raise Unreachable("proxy_unreachable") from None
            try:
                await tunnel(sock, proxy, host, port)
            except Unreachable as error:
                sock.close()
                last = error
            except OSError:
                sock.close()
                last = Unreachable("proxy_failed")
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise last

    async def _resolved(self) -> list[_Address]:
        """The host's addresses, judged, of both families by turns."""
        return await resolve(self._host, self._port, allow_private=self._allow_private)

    async def _connected(self, addresses: list[_Address]) -> socket.socket:
        """A socket connected to one of the addresses; a slow one does not hold up the next.

        Raises:
            OSError: None of them takes connections.
        """
        if len(addresses) == 1:
            return await _connect(*addresses[0])
        left = list(reversed(addresses))
        running: set[asyncio.Task[socket.socket]] = set()
        last: BaseException = OSError("no address")
        won: socket.socket | None = None
        try:
            while left or running:
                if left:
                    running.add(asyncio.create_task(_connect(*left.pop())))
                wait = _HEAD_START if left else None
                done, running = await asyncio.wait(running, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if error is not None:
                        last = error
                    elif won is None:
                        won = task.result()
                    else:
                        task.result().close()
                if won is not None:
                    return won
            raise last
        finally:
            for task in running:
                task.cancel()
                task.add_done_callback(_discard)


def ascii_of(name: str) -> str:
    """A host as it is looked up and told to servers."""
    return name if name.isascii() else name.encode("idna").decode()


def _discard(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(family: int, address: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # asyncio does this only for sockets made as TCP ones: the end of a large request would wait.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that vanished without a word must not keep a quiet stream "open" for ever.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
