"""The HTTP client of one upstream: a pool for each origin, every address judged, plain errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Final
from urllib.parse import urljoin, urlsplit

from portico.api import Host
from portico_plugins.failures import of_http
from portico_plugins.http1 import Answer, Connections, HttpError, Unusable
from portico_plugins.http1.dial import Dialer, Tls
from portico_plugins.http1.proxy import Proxy

from .config import RestConfig
from .payloads import STREAMS
from .redirects import NotFollowed
from .requests import Request
from .servers import sound_base

Take = Callable[[Answer], Awaitable[None]]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Client:
    """Requests of one upstream.

    Args:
        config: The upstream's configuration.
        host: Its host.
        cap: The most bytes an answer may have.
    """

    def __init__(self, config: RestConfig, host: Host, cap: int) -> None:
        self._config = config
        self._host = host
        self._cap = cap
        self._pools: dict[str, Connections] = {}
        files = (config.ca_file, config.client_cert, config.client_key)
        self._tls = Tls(
            config.tls_verify, *(host.base / file if file is not None else None for file in files)
        )
        self._proxy = Proxy.at(config.proxy, config.proxy_credentials, config.proxy_resolves)

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    async def send(
        self,
        request: Request,
        request_id: str | None = None,
        take: Take | None = None,
        *,
        follow: bool = True,
    ) -> Answer:
        """Send a request; gives the answer when it is whole, of a stream all there is until it ends.

        Redirects of a GET are followed as far as the configuration says.

        Args:
            request: The request.
            request_id: For failures.
            take: What to do with a stream instead; it ends when that returns.
            follow: Whether redirects are.

        Raises:
            Refused: 50300 when it could not be sent, 50200 for an answer of no use.
        """
        try:
            answer = await self._once(request, take)
            for _ in range(self._config.redirects if follow and request.method == "GET" else 0):
                if answer.status not in _REDIRECTS:
                    break
                request = redirected(request, answer)
                answer = await self._elsewhere(request, take)
            if answer.status in _REDIRECTS:
                raise NotFollowed(request, answer)
        except HttpError as error:
            refused = of_http(error, self._host.name, request_id)
            if isinstance(error, NotFollowed) and error.to:
                refused.data["gateway"]["location"] = error.to
            raise refused from None
        return answer

    async def _once(self, request: Request, take: Take | None) -> Answer:
        return await self._through(self._pool(request.origin), request, take)

    async def _elsewhere(self, request: Request, take: Take | None) -> Answer:
        """Send a request to wherever an answer said, on a connection that is not kept."""
        pool = Connections(self.dialer(request.origin), self._cap, STREAMS)
        try:
            return await self._through(pool, request, take)
        finally:
            pool.close()

    async def _through(self, pool: Connections, request: Request, take: Take | None) -> Answer:
        answer = await pool.send(_bytes_of(request))
        if answer.stream:
            try:
                await (take or self._gathered)(answer)
            finally:
                answer.close()
        return answer

    async def _gathered(self, answer: Answer) -> None:
        """Take all of a stream, as far as it is no more than an answer may be.

        Raises:
            Unusable: It is more.
        """
        pieces = []
        size = 0
        async for piece in answer.pieces():
            size += len(piece)
            if size > self._cap:
                raise Unusable("message_too_large")
            pieces.append(piece)
        answer.body = b"".join(pieces)

    def _pool(self, origin: str) -> Connections:
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Connections(self.dialer(origin), self._cap, STREAMS)
        return pool

    def dialer(self, origin: str) -> Dialer:
        """What makes connections to an origin."""
        config = self._config
        return Dialer.of(origin, self._tls, config.allow_private, config.connect_timeout, self._proxy)


def redirected(request: Request, answer: Answer) -> Request:
    """The request that a redirect asks for.

    Raises:
        NotFollowed: It asks for one that is not made.
    """
    said = answer.headers.get(b"location", b"").decode("latin-1")
    try:
        url = urljoin(request.origin + request.target, said)
        sound_base(url.partition("?")[0])
    except ValueError:  # or Unfit, which is one
        raise NotFollowed(request, answer) from None
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    if not url.isascii() or not said or (request.origin.startswith("https:") and parts.scheme != "https"):
        raise NotFollowed(request, answer)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    same = origin.lower() == request.origin.lower()
    return Request("GET", origin, target, request.headers if same else {}, None)


@lru_cache(maxsize=256)
def _netloc(origin: str) -> str:
    """What the Host header of requests to an origin says."""
    parts = urlsplit(origin)
    host = (parts.hostname or "").encode("idna").decode() if not parts.netloc.isascii() else ""
    return host + (f":{parts.port}" if host and parts.port else "") or parts.netloc


def _bytes_of(request: Request) -> bytes:
    lines = [
        f"{request.method} {request.target or '/'} HTTP/1.1",
        f"Host: {_netloc(request.origin)}",
        "Accept-Encoding: identity",
    ]
    if "accept" not in request.headers:
        lines.append("Accept: application/json, */*;q=0.5")
    if "user-agent" not in request.headers:
        lines.append("User-Agent: portico")
    lines += [f"{name}: {value}" for name, value in request.headers.values()]
    if request.body is not None:
        lines.append(f"Content-Length: {len(request.body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (request.body or b"")
