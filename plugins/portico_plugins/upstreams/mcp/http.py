"""The HTTP client of one upstream: one connection pool, judged addresses, capped bodies, plain errors."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_address
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from portico.api import (
    GATEWAY,
    UPSTREAM_UNAVAILABLE,
    Credential,
    Exchange,
    Host,
    Refused,
    SseParser,
    failure,
    judge,
)

from . import wire
from .config import McpConfig, header_problem

JSON_AND_SSE: Final = "application/json, text/event-stream"
Event = tuple[str, str, str | None, int | None]
"""An SSE event: its type, data, id and retry time."""

_KEEPALIVE: Final = 4.5
"""Seconds: just under the five after which uvicorn, Hypercorn and Node close a quiet connection."""


class AddressRefused(OSError):
    """The host has an address that connections may not go to."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"address_not_allowed ({reason})")


class JudgingResolver(AbstractResolver):
    """Resolves names and refuses the whole answer when any address in it is forbidden."""

    def __init__(self, allow_private: bool) -> None:
        self._inner = aiohttp.ThreadedResolver()
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            AddressRefused: One of them is forbidden.
        """
        found = await self._inner.resolve(host, port, family)
        for result in found:
            reason = judge(result["host"], allow_private=self._allow_private)
            if reason is not None:
                raise AddressRefused(reason)
        return found

    async def close(self) -> None:
        """Free what it holds."""
        await self._inner.close()


class HttpClient:
    """Requests to one upstream.

    Args:
        config: The upstream's configuration.
        host: Its host.
    """

    def __init__(self, config: McpConfig, host: Host) -> None:
        self.url = URL(config.url)
        self._host = host
        self._cap = config.max_message_bytes
        self._static = {name: value.reveal() for name, value in config.headers.items()}
        self._credential: Credential | None = host.component(config.credential) if config.credential else None
        self._refused = _literal(self.url, config.allow_private)
        context: ssl.SSLContext | bool = config.tls_verify
        if config.ca_file is not None and config.tls_verify:
            context = ssl.create_default_context(cafile=host.base / config.ca_file)
        self._draining: set[asyncio.Task[None]] = set()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ssl=context,
                resolver=JudgingResolver(config.allow_private),
                keepalive_timeout=_KEEPALIVE,
                socket_factory=_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_timeout),
            skip_auto_headers=("User-Agent",),
            read_bufsize=256 * 1024,
        )

    async def close(self) -> None:
        """Close every connection."""
        for task in tuple(self._draining):
            task.cancel()
        await self._session.close()

    async def send(
        self,
        method: str,
        headers: Mapping[str, str],
        caller: wire.Caller,
        body: bytes | None = None,
        url: URL | None = None,
        exchange: Exchange | None = None,
    ) -> aiohttp.ClientResponse:
        """Send a request; gives the response as soon as its head is there. The caller must release it.

        Raises:
            Refused: 50300 when it could not be sent or was not let in, 50200 for an answer of no use.
        """
        if self._refused is not None:
            raise self._unavailable(self._refused, exchange)
        sent = {"Accept-Encoding": "identity", **self._static}
        if self._credential is not None:
            sent |= await self._credential.headers(caller.principal, self._host.name)
        if caller.authorization:
            sent["Authorization"] = caller.authorization
        for name, value in sent.items():
            if name != "Accept-Encoding" and header_problem(name, value):
                raise self._unavailable("bad_credential_header", exchange)
        sent |= headers
        try:
            response = await self._session.request(
                method, url or self.url, headers=sent, data=body, allow_redirects=False
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._unreachable(error, exchange) from None
        return await self._admitted(response, exchange)

    async def _admitted(
        self, response: aiohttp.ClientResponse, exchange: Exchange | None
    ) -> aiohttp.ClientResponse:
        status = response.status
        if status in (401, 403):
            response.release()
            raise self._unavailable("upstream_unauthorized", exchange, retryable=False)
        if 300 <= status < 400:
            response.release()
            raise wire.bad_response(self._host.name, "redirect", exchange)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            response.close()
            raise wire.bad_response(self._host.name, "encoded_body", exchange)
        return response

    async def read(self, response: aiohttp.ClientResponse, exchange: Exchange | None = None) -> bytes:
        """The whole body, and the connection back into the pool.

        Raises:
            Refused: 50200, it is too large or ends early.
        """
        try:
            length = response.content_length
            if length is not None and length <= self._cap:
                return await response.read()
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > self._cap:
                    raise wire.bad_response(self._host.name, "message_too_large", exchange)
            return bytes(body)
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise wire.bad_response(self._host.name, "answer_cut_short", exchange) from None
        finally:
            response.release()

    async def events(self, response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
        """The events of a stream, until it ends.

        Raises:
            ValueError: It is no acceptable event stream.
            aiohttp.ClientError, OSError: The connection broke.
        """
        parser = SseParser(self._cap)
        async for chunk in response.content.iter_any():
            for event in parser.feed(chunk):
                yield event.event, event.data, event.id, event.retry

    def finish(self, response: aiohttp.ClientResponse) -> None:
        """The answer has been read off a stream: keep the connection if the stream ends as it should."""
        if response.content.at_eof():
            response.release()
            return
        task = asyncio.create_task(self._drain(response))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    async def _drain(self, response: aiohttp.ClientResponse) -> None:
        try:
            async with asyncio.timeout(1.0):
                async for _ in response.content.iter_any():
                    pass
            response.release()
        except (aiohttp.ClientError, TimeoutError, OSError):
            response.close()
        except asyncio.CancelledError:
            response.close()
            raise

    def _unavailable(self, reason: str, exchange: Exchange | None, retryable: bool | None = None) -> Refused:
        return failure(
            UPSTREAM_UNAVAILABLE,
            "The upstream is not available.",
            reason=reason,
            upstream=self._host.name,
            request_id=exchange.id if exchange else None,
            retryable=retryable,
        )

    def _unreachable(self, error: Exception, exchange: Exchange | None) -> Refused:
        cause: BaseException = error
        if isinstance(error, aiohttp.ClientConnectorError):
            cause = error.os_error
        if isinstance(cause, AddressRefused):
            return self._unavailable(str(cause), exchange, retryable=False)
        if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
            return self._unavailable("tls_failed", exchange)
        if isinstance(error, TimeoutError):
            return self._unavailable("connect_timeout", exchange)
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return self._unavailable("name_not_found", exchange)
        if isinstance(error, aiohttp.ClientConnectorError):
            return self._unavailable("connection_refused", exchange)
        if isinstance(error, aiohttp.ClientResponseError | ValueError):
            return wire.bad_response(self._host.name, "not_http", exchange)
        # The request may have arrived, so trying again is not safe in general.
        return self._unavailable("connection_lost", exchange, retryable=False)


def gateway_caller() -> wire.Caller:
    """The gateway itself."""
    return wire.Caller(GATEWAY)


def is_sse(response: aiohttp.ClientResponse) -> bool:
    """Whether the body is an event stream."""
    return response.content_type == "text/event-stream"


def reason_of(refusal: Refused) -> str:
    """The machine-readable reason of one of our own failures, "" for others."""
    gateway = refusal.data.get("gateway") if isinstance(refusal.data, dict) else None
    return str(gateway.get("reason", "")) if isinstance(gateway, dict) else ""


def _literal(url: URL, allow_private: bool) -> str | None:
    """Why a URL whose host is an address may not be used; connectors do not resolve those."""
    try:
        address = str(ip_address(url.host or ""))
    except ValueError:
        return None
    reason = judge(address, allow_private=allow_private)
    return f"address_not_allowed ({reason})" if reason else None


def _socket(info: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, proto, _, _ = info
    sock = socket.socket(family=family, type=kind, proto=proto)
    # A peer that vanished without a word must not keep a quiet stream "open" for ever.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    return sock


__all__ = ["JSON_AND_SSE", "HttpClient", "gateway_caller", "is_sse", "reason_of"]
