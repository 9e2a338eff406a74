"""One small document over HTTP: every address judged, nothing followed, time and size bounded."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from portico._core.addresses import resolve_now

_READ: Final = 65536


class Unfetched(Exception):
    """It was not fetched; says why."""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Plain(http.client.HTTPConnection):
    """Connects to addresses that were judged, and to no other."""

    allow_private = False

    def connect(self) -> None:
        """Connect to the first judged address that takes it."""
        self.sock = _connected(self.host, self.port, float(self.timeout or 0), self.allow_private)


class _Secure(http.client.HTTPSConnection):
    """The same with TLS."""

    allow_private = False

    def connect(self) -> None:
        """Connect, and shake hands."""
        plain = _connected(self.host, self.port, float(self.timeout or 0), self.allow_private)
        self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)


def fetch(url: str, *, allow_private: bool, seconds: float, most: int) -> tuple[int, bytes]:
    """GET a JSON document. It blocks.

    Args:
        url: `http` or `https`.
        allow_private: Whether its address may be loopback or private; metadata services never are.
        seconds: For all of it.
        most: Bytes of it.

    Returns:
        The status, which may be a redirection (none is followed), and the body.

    Raises:
        Unfetched: It cannot be had, takes too long, is too large, or its address may not be connected to.
    """
    parts = urlsplit(url)
    kind = _Secure if parts.scheme == "https" else _Plain
    connection = kind(str(parts.hostname), parts.port, timeout=seconds)
    connection.allow_private = allow_private
    try:
        with _ending(connection, seconds) as late:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            try:
                connection.request("GET", target, headers={"Accept": "application/json"})
                with connection.getresponse() as response:
                    body = b""
                    while chunk := response.read1(_READ):
                        body += chunk
                        if len(body) > most:
                            raise Unfetched(f"it has more than {most} bytes")
                if late.is_set():
                    raise Unfetched(f"it took more than {seconds:g} seconds")
                return response.status, body
            except (OSError, http.client.HTTPException, ValueError) as error:
                if late.is_set():
                    raise Unfetched(f"it took more than {seconds:g} seconds") from None
                why = getattr(error, "strerror", None) or str(error) or type(error).__name__
                raise Unfetched(why) from None
    finally:
        connection.close()


@contextlib.contextmanager
def _ending(connection: http.client.HTTPConnection, seconds: float) -> Iterator[threading.Event]:
    """Cut a connection off after some time: a timeout of its own is for each read of it."""
    late = threading.Event()

    def cut() -> None:
        late.set()
        if connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _connected(host: str, port: int, timeout: float, allow_private: bool) -> socket.socket:
    """A connection to the first address of a host that takes it.

    Raises:
        OSError: There is none.
    """
    refused: OSError | None = None
    for family, address in resolve_now(host, port, allow_private=allow_private):
        made = socket.socket(family, socket.SOCK_STREAM)
        made.settimeout(timeout)
        try:
            made.connect(address)
        except OSError as error:
            made.close()
            refused = error
        else:
            return made
    raise refused or OSError("it has no address")
