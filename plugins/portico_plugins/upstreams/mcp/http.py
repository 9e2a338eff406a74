"""The HTTP client of one upstream: credentials, judged answers, plain errors."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final

from yarl import URL

from portico.api import GATEWAY, Credential, Exchange, Host, RenewableCredential, SseEvent, SseParser
from portico_plugins.failures import bad_response, of_http, unavailable
from portico_plugins.http1 import Answer, Connections, HttpError
from portico_plugins.http1.dial import Dialer, tls_context
from portico_plugins.upstreams.checks import header_problem

from . import wire
from .config import McpConfig

JSON_AND_SSE: Final = b"Accept: application/json, text/event-stream\r\n"
SSE_ONLY: Final = b"Accept: text/event-stream\r\n"
JSON_BODY: Final = b"Content-Type: application/json\r\n"

_MOST_HEADS: Final = 256
_VISIBLE: Final = re.compile(rb"[\x21-\x7e]+")


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
        context = None
        if self.url.scheme == "https":
            ca_file = host.base / config.ca_file if config.ca_file is not None else None
            context = tls_context(config.tls_verify, ca_file if config.tls_verify else None)
        dialer = Dialer(
            self.url.raw_host or "",
            self.url.port or 0,
            context,
            config.allow_private,
            config.connect_timeout,
        )
        self._connections = Connections(dialer, config.max_message_bytes)
        self._fixed = b"Host: %b\r\nAccept-Encoding: identity\r\n" % _host_header(self.url)
        self._own = self._fixed + header_lines(self._static.items())
        self._post = _request_line("POST", self.url) + self._own
        self._heads: dict[tuple[tuple[str, str], ...], bytes] = {}

    async def close(self) -> None:
        """Close every connection."""
        self._connections.close()

    async def send(
        self,
        method: str,
        head: bytes,
        caller: wire.Caller,
        body: bytes = b"",
        url: URL | None = None,
        exchange: Exchange | None = None,
    ) -> Answer:
        """Send a request; gives the answer as soon as it is there (of a stream: its head).

        One that is not let in is sent again if there are other credentials: it was not carried out.

        Args:
            method: The HTTP method.
            head: Header lines, beside those every request has.
            caller: On whose behalf.
            body: The body; with a POST only.
            url: Where to, when it is not the server's own URL; of the same origin.
            exchange: The client request concerned.

        Raises:
            Refused: 50300 when it could not be sent or was not let in, 50200 for an answer of no use.
        """
        extra = await self._extra(caller) if self._credential is not None or caller.authorization else {}
        answer = await self._sent(method, head, extra, body, url, exchange)
        if answer.status == 401 and extra and not caller.authorization:
            credential = self._credential
            if isinstance(credential, RenewableCredential):
                other = await credential.renewed(extra, self._host.name)
                if other is not None:
                    answer = await self._sent(method, head, other, body, url, exchange)
        if answer.status > 299:
            self._admit(answer, exchange)
        return answer

    async def _sent(
        self,
        method: str,
        head: bytes,
        extra: Mapping[str, str],
        body: bytes,
        url: URL | None,
        exchange: Exchange | None,
    ) -> Answer:
        if method == "POST" and url is None and not extra:
            start = self._post
        else:
            start = _request_line(method, url or self.url) + self._with(extra, exchange)
        if method == "POST":
            request = b"%b%bContent-Length: %d\r\n\r\n%b" % (start, head, len(body), body)
        else:
            request = b"%b%b\r\n" % (start, head)
        try:
            return await self._connections.send(request)
        except HttpError as error:
            raise of_http(error, self._host.name, exchange) from None

    async def _extra(self, caller: wire.Caller) -> Mapping[str, str]:
        """The headers of requests on somebody's behalf."""
        extra: Mapping[str, str] = {}
        if self._credential is not None:
            extra = await self._credential.headers(caller.principal, self._host.name)
        return {**extra, "Authorization": caller.authorization} if caller.authorization else extra

    def _with(self, extra: Mapping[str, str], exchange: Exchange | None) -> bytes:
        """The header lines of requests with these; later ones take the place of earlier ones."""
        if not extra:
            return self._own
        key = tuple(extra.items())
        found = self._heads.get(key)
        if found is None:
            if any(header_problem(name, value) for name, value in key):
                raise unavailable(self._host.name, "bad_credential_header", exchange, retryable=False)
            merged = {name.lower(): (name, value) for name, value in (*self._static.items(), *key)}
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            found = self._heads[key] = self._fixed + header_lines(merged.values())
        return found

    def _admit(self, answer: Answer, exchange: Exchange | None) -> None:
        if answer.status in (401, 403):
            raise unavailable(self._host.name, "upstream_unauthorized", exchange, retryable=False)
        if answer.status < 400:
            raise bad_response(self._host.name, "redirect", exchange)

    async def events(self, answer: Answer) -> AsyncIterator[list[SseEvent]]:
        """The events of a stream as they come, those that come together in one list, until it ends.

        Raises:
            ValueError: It is no acceptable event stream.
            HttpError: The connection broke.
        """
        parser = SseParser(self._cap)
        async for piece in answer.pieces():
            yield parser.feed(piece)

    def session_of(self, answer: Answer) -> str | None:
        """The session a server has opened, or None.

        Raises:
            Refused: Its id has characters that no header may carry back.
        """
        found = answer.headers.get(b"mcp-session-id")
        if found is None:
            return None
        if not _VISIBLE.fullmatch(found):
            answer.close()
            raise bad_response(self._host.name, "bad_session_id")
        return found.decode()


def header_lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """Headers as bytes; names and values are sound."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers]).encode()


def _request_line(method: str, url: URL) -> bytes:
    return f"{method} {url.raw_path_qs or '/'} HTTP/1.1\r\n".encode("ascii")


def _host_header(url: URL) -> bytes:
    return (url.host_port_subcomponent or "").encode("ascii")


def gateway_caller() -> wire.Caller:
    """The gateway itself."""
    return wire.Caller(GATEWAY)
