"""Making connections: names resolved and every address judged, for each connection anew."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from portico.api import judge

from .answer import Unreachable
from .connection import Connection

_HEAD_START: Final = 0.25
"""Seconds one address gets before the next is tried beside it (RFC 8305)."""

_Address = tuple[int, tuple[Any, ...]]


def tls_context(verify: bool, ca_file: Path | None) -> ssl.SSLContext:
    """The TLS settings of an upstream.

    Raises:
        OSError: The file of authorities cannot be read.
    """
    return _system_context(verify) if ca_file is None else _context(verify, ca_file)


@cache  # the system's authorities take a while to load, and a megabyte to keep
def _system_context(verify: bool) -> ssl.SSLContext:
    return _context(verify, None)


def _context(verify: bool, ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialer:
    """Connects to one host.

    Args:
        host: A name or an address.
        port: The port.
        context: For TLS; None for none.
        allow_private: Whether loopback, private and similar addresses are fine.
        timeout: Seconds one attempt may take, TLS included.
    """

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext | None, allow_private: bool, timeout: float
    ) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._allow_private = allow_private
        self._timeout = timeout

    async def dial(self, make: Callable[[socket.socket], Connection]) -> Connection:
        """A new connection.

        Raises:
            Unreachable: There is none to be had, or it may not be made.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                sock = await self._connected(await self._resolved())
                name = self._host if self._context is not None else None
                # The socket is the transport's from here on, to close as well.
                _, connection = await loop.create_connection(
                    lambda: make(sock), sock=sock, ssl=self._context, server_hostname=name
                )
                return connection
        except ssl.SSLError:
            raise Unreachable("tls_failed") from None
        except TimeoutError:
            raise Unreachable("connect_timeout") from None
        except socket.gaierror:
            raise Unreachable("name_not_found") from None
        except (OSError, UnicodeError):
            raise Unreachable("connection_refused") from None

    async def _resolved(self) -> list[_Address]:
        """The host's addresses, of both families by turns.

        Raises:
            Unreachable: One of them is forbidden; then none of the answer is to be trusted.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        for _, _, _, _, address in found:
            reason = judge(str(address[0]), allow_private=self._allow_private)
            if reason is not None:
                raise Unreachable(f"address_not_allowed ({reason})")
        first = [(family, address) for family, _, _, _, address in found if family == found[0][0]]
        other = [(family, address) for family, _, _, _, address in found if family != found[0][0]]
        turns = itertools.chain.from_iterable(itertools.zip_longest(first, other))
        return list(dict.fromkeys(address for address in turns if address is not None))

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
