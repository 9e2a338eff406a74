"""The token endpoint of an authorization server: one request, one token (RFC 6749, sections 4.4 and 5)."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

import attrs
import msgspec

from portico.api import Host
from portico_plugins.http1 import Answer, Connections, HttpError
from portico_plugins.http1.dial import Dialer, Tls, ascii_of
from portico_plugins.http1.proxy import Proxy

from .oauth_config import ClientCredentialsConfig

_CAP: Final = 256 * 1024
_LIFE: Final = 300.0
"""Seconds a token is taken to last that does not say."""
_LONGEST_LIFE: Final = 86_400.0 * 365
_ASSERTED: Final = 60
"""Seconds a signed statement holds."""
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_ERRORS: Final = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "invalid_scope", "invalid_target"}
    | {"unauthorized_client", "unsupported_grant_type", "temporarily_unavailable", "server_error"}
)
"""What is told of what a server says (RFC 6749, 5.2; RFC 8707, 2): any other word could be the secret."""


class NoToken(Exception):
    """There is no token to be had.

    Attributes:
        reason: A stable word.
        retryable: Whether there may be one later; None for what the failure implies.
    """

    def __init__(self, reason: str, retryable: bool | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retryable = retryable


@attrs.frozen
class Token:
    """A bearer token.

    Attributes:
        text: The token.
        life: Seconds it lasts from when it was asked for.
    """

    text: str = attrs.field(repr=False)
    life: float


class _Said(msgspec.Struct):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105  (a kind of token)
    expires_in: float = _LIFE


class _Refused(msgspec.Struct):
    error: str = ""


class TokenServer:
    """Where one client has its tokens from.

    Args:
        config: The client's configuration.
        host: The credential's host.
    """

    def __init__(self, config: ClientCredentialsConfig, host: Host) -> None:
        self._config = config
        self._host = host
        self._key = config.signing_key() if config.auth_method == "private_key_jwt" else None
        files = (config.ca_file, config.client_cert, config.client_key)
        self._tls = Tls(
            config.tls_verify, *(host.base / file if file is not None else None for file in files)
        )
        self._proxy = Proxy.at(config.proxy, config.proxy_credentials, config.proxy_resolves)

    async def token(self, url: str, scopes: tuple[str, ...]) -> Token:
        """Ask for a token.

        Args:
            url: The token endpoint's.
            scopes: What it is to be good for.

        Raises:
            NoToken: There is none.
        """
        request = self._request(url, scopes)
        config = self._config
        dialer = Dialer.of(url, self._tls, config.allow_private, config.timeout, self._proxy)
        connections = Connections(dialer, _CAP)  # hardly ever more than one request at a time
        try:
            async with asyncio.timeout(self._config.timeout):
                answer = await connections.send(request)
        except TimeoutError:
            self._host.log.warning("no_grant", why="timeout")
            raise NoToken("token_unavailable") from None
        except HttpError as error:
            why = str(getattr(error, "reason", "connection_lost"))
            self._host.log.warning("no_grant", why=why)
            raise NoToken("token_unavailable", False if "not_allowed" in why else None) from None
        finally:
            connections.close()
        return self._taken(answer)

    def _taken(self, answer: Answer) -> Token:
        kind = answer.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if answer.status != 200:
            self._host.log.warning("no_grant", status=answer.status, why=_error(answer.body))
            raise NoToken("token_refused", answer.status >= 500 or answer.status == 429)
        try:
            if kind != b"application/json":
                raise ValueError
            said = msgspec.json.decode(answer.body, type=_Said, strict=False)
        except (msgspec.MsgspecError, ValueError):
            self._host.log.warning("no_grant", why="bad_token_answer")
            raise NoToken("bad_token_answer", False) from None
        if said.token_type.lower() != "bearer" or not _TOKEN.fullmatch(said.access_token):
            self._host.log.warning("no_grant", why="no_bearer_token")
            raise NoToken("bad_token_answer", False)
        return Token(said.access_token, min(max(said.expires_in, 0.0), _LONGEST_LIFE))

    def _request(self, url: str, scopes: tuple[str, ...]) -> bytes:
        config = self._config
        form = [("grant_type", "client_credentials")]
        form += [("scope", " ".join(scopes))] if scopes else []
        form += [("resource", each) for each in config.resource]
        form += [("audience", config.audience)] if config.audience else []
        headers, more = self._client(url)
        body = urlencode([*form, *more]).encode()
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [
            f"POST {target} HTTP/1.1",
            f"Host: {ascii_of(parts.netloc)}",
            "Accept-Encoding: identity",
            "Accept: application/json",
            "User-Agent: portico",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body

    def _client(self, url: str) -> tuple[Mapping[str, str], list[tuple[str, str]]]:
        """How the client shows who it is: headers, and fields of the form."""
        config = self._config
        if config.auth_method == "private_key_jwt":
            return {}, [
                ("client_id", config.client_id),
                ("client_assertion_type", _ASSERTION),
                ("client_assertion", self._statement(url)),
            ]
        secret = config.client_secret.reveal() if config.client_secret is not None else ""
        if config.auth_method == "client_secret_post":
            return {}, [("client_id", config.client_id), ("client_secret", secret)]
        pair = f"{quote_plus(config.client_id)}:{quote_plus(secret)}".encode()  # RFC 6749, 2.3.1
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}, []

    def _statement(self, url: str) -> str:
        from authlib.oauth2.rfc7523.assertion import private_key_jwt_sign

        config = self._config
        header: dict[str, Any] = {"kid": config.key_id} if config.key_id else {}
        return str(
            private_key_jwt_sign(
                self._key,
                config.client_id,
                url,
                alg=config.algorithm,
                header=header,
                issued_at=int(self._host.clock.time()),
                expires_in=_ASSERTED,
            )
        )


def _error(body: bytes) -> str:
    """What a server calls its refusal, if that is one of the words there are for it."""
    try:
        said = msgspec.json.decode(body, type=_Refused).error
    except (msgspec.MsgspecError, ValueError):
        return "unknown"
    return said if said in _ERRORS else "unknown"
