"""The HTTP of one upstream: a pool for each origin, every address judged, no redirects, bounded answers.

`Bridge` makes an HTTP client of the SDK's library out of it, so that the SDK connects to nothing by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Final
from urllib.parse import urlsplit

import httpx

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
            method: GET or POST.
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


class Bridge(httpx.AsyncBaseTransport):
    """What the SDK's HTTP client sends with. `HttpError` passes through the SDK as it is.

    Args:
        web: Sends.
        most: The most bytes a stream may have.
        largest: The largest request.
        rpc: Whether errors are JSON-RPC: then the status does not matter where there is such an error.
    """

    def __init__(self, web: Web, most: int, largest: int, *, rpc: bool) -> None:
        self._web = web
        self._most = most
        self._largest = largest
        self._rpc = rpc

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            HttpError: There is no acceptable answer.
            TooLarge: The request is larger than may be sent; it was not.
        """
        body = request.content
        if len(body) > self._largest:
            raise TooLarge(f"the message is larger than {self._largest} bytes")
        answer = await self._web.send(request.method, str(request.url), request.headers.raw, body)
        status, kind = answer.status, answer.headers.get(b"content-type", b"")
        headers = [(b"content-type", kind)]
        if answer.stream:
            return httpx.Response(status, headers=headers, stream=_Pieces(answer, self._most))
        is_json = kind.partition(b";")[0].strip().lower() in _JSON
        if status == 200 and not is_json:
            raise Unusable("wrong_content_type")
        if self._rpc and is_json and status not in (401, 403) and b'"jsonrpc"' in answer.body:
            status = 200
        if b"retry-after" in answer.headers:
            headers.append((b"retry-after", answer.headers[b"retry-after"]))
        return httpx.Response(status, headers=headers, content=answer.body)


class TooLarge(ValueError):
    """A request is larger than may be sent."""


class _Pieces(httpx.AsyncByteStream):
    """A stream of events.

    Args:
        answer: Where it comes from.
        most: The most bytes it may have.
    """

    def __init__(self, answer: Answer, most: int) -> None:
        self._answer = answer
        self._left = most
        self._over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._answer.pieces():
            self._left -= len(piece)
            if self._left < 0:
                raise Unusable("message_too_large")
            yield piece
        self._over = True

    async def aclose(self) -> None:
        """Nobody wants the rest: keep the connection if it is about to end by itself."""
        if self._over:
            self._answer.close()
        else:
            self._answer.finish()
