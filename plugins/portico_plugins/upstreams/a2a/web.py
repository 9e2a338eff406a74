"""The HTTP of one upstream: a pool for each origin, every address judged, no redirects, bounded answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from portico.api import Host
from portico_plugins.http1 import Answer, Connections, Unusable
from portico_plugins.http1.dial import Dialer, tls_context

from .config import A2aConfig

_JSON: Final = (
    b"application/json",
    b"application/a2a+json",
    b"application/problem+json",
)
_OURS: Final = frozenset(
    {b"host", b"connection", b"accept-encoding", b"content-length", b"transfer-encoding", b"user-agent"}
)

Headers = Iterable[tuple[bytes, bytes]]


class Web:
    """Requests of one upstream.

    Args:
        config: The upstream's configuration.
        host: Its host.
    """

    def __init__(self, config: A2aConfig, host: Host) -> None:
        self._config = config
        self._host = host
        self._pools: dict[tuple[str, int], Connections] = {}

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    async def send(self, method: str, url: str, headers: Headers, body: bytes = b"", cap: int = 0) -> Answer:
        """Send a request; gives the answer when it is whole, of a stream when it begins.

        Args:
            method: Of HTTP.
            url: Absolute, of http or https, ASCII.
            headers: Those of the request; the ones about the connection are added here.
            body: What to send.
            cap: The most bytes the answer may have; `max_response_bytes` unless given.

        Raises:
            HttpError: It could not be sent, or the answer is of no use. A redirect is of none.
        """
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [
            b"%b %b HTTP/1.1" % (method.encode(), target.encode("ascii")),
            b"Host: %b" % parts.netloc.encode("ascii"),
            b"Accept-Encoding: identity",
            b"User-Agent: portico",
        ]
        lines += [b"%b: %b" % (name, value) for name, value in headers if name.lower() not in _OURS]
        if body or method == "POST":
            lines.append(b"Content-Length: %d" % len(body))
        pool = self._pool(f"{parts.scheme}://{parts.netloc}", cap or self._config.max_response_bytes)
        answer = await pool.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        if 300 <= answer.status < 400 and answer.status != 304:
            raise Unusable("redirect")
        return answer

    async def ask(self, method: str, url: str, headers: Headers, body: bytes = b"") -> Answer:
        """Send a request that JSON is the answer to, or a stream of it.

        Args:
            method: Of HTTP.
            url: As for `send`.
            headers: As for `send`.
            body: What to send.

        Raises:
            HttpError: It could not be sent, or the answer is of no use.
            TooLarge: The request is larger than may be sent; it was not.
        """
        if len(body) > self._config.max_request_bytes:
            raise TooLarge(f"the message is larger than {self._config.max_request_bytes} bytes")
        answer = await self.send(method, url, headers, body)
        if answer.status == 200 and not answer.stream and not is_json(answer):
            raise Unusable("wrong_content_type")
        return answer

    def _pool(self, origin: str, cap: int) -> Connections:
        pool = self._pools.get((origin, cap))
        if pool is None:
            pool = self._pools[origin, cap] = Connections(self._dialer(origin), cap)
        return pool

    def _dialer(self, origin: str) -> Dialer:
        config = self._config
        context = None
        if origin.startswith("https:"):
            ca_file = self._host.base / config.ca_file if config.ca_file is not None else None
            context = tls_context(config.tls_verify, ca_file if config.tls_verify else None)
        return Dialer.of(origin, context, config.allow_private, config.connect_timeout)


def is_json(answer: Answer) -> bool:
    """Whether an answer says that it is JSON."""
    return answer.headers.get(b"content-type", b"").partition(b";")[0].strip().lower() in _JSON


class TooLarge(ValueError):
    """A request is larger than may be sent."""


class BadStatus(Exception):
    """An answer that is no success: the cause of an error of the SDK's.

    Attributes:
        status: The HTTP status.
        later: What its Retry-After says, "" for nothing.
    """

    def __init__(self, status: int, later: str) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.later = later
