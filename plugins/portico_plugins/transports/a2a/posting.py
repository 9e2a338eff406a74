"""One POST to a webhook: its name resolved and every address judged for each anew, and no redirect followed.

Only the status of the answer is read.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Final
from urllib.parse import urlsplit

import attrs

from portico.api import AddressNotAllowed, resolve
from portico_plugins.http1.tls import tls_context

_LONGEST: Final = 2048
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: |\r?\n)")
_HEAD: Final = 16 * 1024
_TARGET: Final = re.compile(r"[\x21-\x7e]*")
_HOST: Final = re.compile(r"[A-Za-z0-9._:%-]+")


class Unsent(Exception):
    """It could not be delivered; says in a word or two why.

    Attributes:
        forbidden: It will never be: the address is none that a webhook may have.
    """

    def __init__(self, reason: str, *, forbidden: bool = False) -> None:
        super().__init__(reason)
        self.forbidden = forbidden


@attrs.frozen
class Place:
    """Where a webhook is.

    Attributes:
        host: A name, or an address.
        port: The port.
        secure: Whether over TLS.
        target: Path and query.
        authority: What the `Host` header says.
    """

    host: str
    port: int
    secure: bool
    target: str
    authority: str


def place_of(url: str) -> Place:
    """Take a URL apart.

    Raises:
        Unsent: It is none that a webhook may have.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Unsent("not a URL", forbidden=True) from None
    if parts.scheme not in ("http", "https"):
        raise Unsent("not a URL of http or https", forbidden=True)
    if len(url) > _LONGEST or not _TARGET.fullmatch(url) or "\\" in url or "@" in parts.netloc:
        raise Unsent("too long, or with characters that do not belong there", forbidden=True)
    if not _HOST.fullmatch(host) or port == 0:
        raise Unsent("without a host", forbidden=True)
    secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(host, port or (443 if secure else 80), secure, target, parts.netloc)


async def addresses_of(place: Place, *, allow_private: bool) -> list[str]:
    """The addresses of a place, each of them allowed.

    Raises:
        Unsent: There are none, or one of them is forbidden; then none of the answer is to be trusted.
    """
    try:
        found = await resolve(place.host, place.port, allow_private=allow_private)
    except AddressNotAllowed as error:
        raise Unsent(str(error), forbidden=True) from None
    except OSError:
        raise Unsent("name not found") from None
    return [str(address[0]) for _, address in found]


async def post(
    place: Place, headers: list[tuple[str, str]], body: bytes, *, allow_private: bool, timeout: float
) -> None:
    """Deliver a body.

    Args:
        place: Where to.
        headers: Besides those that say what the body is; values are printable ASCII.
        body: JSON.
        allow_private: Whether loopback, private and similar addresses are fine.
        timeout: Seconds it may take, resolution included.

    Raises:
        Unsent: The other side did not answer with 2xx.
    """
    try:
        async with asyncio.timeout(timeout):
            status = await _exchange(place, _request(place, headers, body), allow_private)
    except TimeoutError:
        raise Unsent("took too long") from None
    except ssl.SSLError:
        raise Unsent("TLS failed") from None
    except (OSError, EOFError, ValueError):
        raise Unsent("connection failed") from None
    if not 200 <= status < 300:
        raise Unsent(f"status {status}")


def _request(place: Place, headers: list[tuple[str, str]], body: bytes) -> bytes:
    lines = [
        f"POST {place.target} HTTP/1.1",
        f"Host: {place.authority}",
        "User-Agent: portico",
        "Content-Type: application/a2a+json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


async def _exchange(place: Place, request: bytes, allow_private: bool) -> int:
    """Send a request to the first address that takes it, and read the status of the answer."""
    last: OSError = OSError()
    for address in await addresses_of(place, allow_private=allow_private):
        try:
            reader, writer = await asyncio.open_connection(
                address,
                place.port,
                limit=_HEAD,
                ssl=tls_context(True, None) if place.secure else None,
                server_hostname=place.host if place.secure else None,
            )
        except ssl.SSLError:
            raise
        except OSError as error:
            last = error
            continue
        try:
            writer.write(request)
            await writer.drain()
            return await _status(reader)
        finally:
            writer.transport.abort()
    raise last


async def _status(reader: asyncio.StreamReader) -> int:
    """The status of the final answer; interim ones are passed over."""
    seen = 0
    while True:
        line = await reader.readuntil(b"\n")
        found = _STATUS.match(line)
        if found is None:
            raise ValueError("no HTTP")
        status = int(found[1])
        if status >= 200:
            return status
        while line not in (b"\r\n", b"\n"):
            line = await reader.readuntil(b"\n")
            seen += len(line)
            if seen > _HEAD:
                raise ValueError("too long")
