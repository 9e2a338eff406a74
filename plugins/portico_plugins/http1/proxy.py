"""Outbound proxies: a tunnel (CONNECT, RFC 9110 section 9.3.6) to an address that was judged before."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
from typing import Final
from urllib.parse import urlsplit

import attrs

from portico.api import Secret

from .answer import Unreachable

_MOST_HEAD: Final = 16 * 1024
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r\n]")


@attrs.frozen
class Proxy:
    """A proxy.

    Attributes:
        host: A name or an address.
        port: The port.
        credentials: `user:password`; None for none.
        resolves: Whether it is told names, to resolve them itself.
    """

    host: str
    port: int
    credentials: Secret | None = None
    resolves: bool = False

    @classmethod
    def at(cls, url: str, credentials: Secret | None, resolves: bool) -> Proxy | None:
        """The proxy at a URL; None where there is none."""
        parts = urlsplit(url)
        return cls(parts.hostname, parts.port or 80, credentials, resolves) if parts.hostname else None

    def request(self, host: str, port: int) -> bytes:
        """The head that asks for a tunnel."""
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if self.credentials is not None:
            pair = base64.b64encode(self.credentials.reveal().encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {pair}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


async def tunnel(sock: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Ask for a tunnel on a connection to a proxy; from then on the socket leads to the other end.

    Raises:
        Unreachable: The proxy does not give one.
        OSError: The connection was lost.
    """
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, proxy.request(host, port))
    head = b""
    while b"\r\n\r\n" not in head:
        data = await loop.sock_recv(sock, 4096)
        head += data
        if not data or len(head) > _MOST_HEAD:
            raise Unreachable("proxy_failed")
    status = _STATUS.match(head)
    if status is None or (status[1][:1] == b"2" and not head.endswith(b"\r\n\r\n")):
        raise Unreachable("proxy_failed")  # nobody on the other end speaks first
    if status[1] == b"407":
        raise Unreachable("proxy_auth_required")
    if status[1][:1] != b"2":
        raise Unreachable("proxy_refused")
