"""The built-in credentials; here the headers that are always the same: `bearer`, `basic` and `header`."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs

from portico.api import Credential, Factory, Host, Principal, Secret, doc, hookimpl

from .client_credentials import CLIENT_CREDENTIALS
from .places import COOKIE, QUERY

gateway_api = (1, 0)

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\x21-\x7e\x80-\xff](?:[\x20-\x7e\t\x80-\xff]*[\x21-\x7e\x80-\xff])?")
_BEARER: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_FORBIDDEN: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
    }
    | {"expect", "forwarded", "host", "keep-alive", "last-event-id", "origin", "proxy-authenticate"}
    | {"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "via"}
)


def _bearer(_: Any, __: Any, value: Secret) -> None:
    if not _BEARER.fullmatch(value.reveal()):
        raise ValueError("expected a bearer token: letters, digits and -._~+/ only (RFC 6750, 2.1)")


def _username(_: Any, __: Any, value: str) -> None:
    if ":" in value or any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise ValueError("a user name has no colon and no control characters (RFC 7617)")


def _password(_: Any, __: Any, value: Secret) -> None:
    if any(ord(char) < 32 or ord(char) == 127 for char in value.reveal()):
        raise ValueError("a password has no control characters (RFC 7617)")


def _name(_: Any, __: Any, value: str) -> None:
    name = value.lower()
    if not _TOKEN.fullmatch(value):
        raise ValueError("expected a header name (RFC 9110, 5.1)")
    if name == "authorization":
        raise ValueError("for Authorization use `bearer` or `basic`")
    if name in _FORBIDDEN or name.startswith(("mcp-", "x-forwarded-", "sec-", "proxy-")):
        raise ValueError(f"{value!r} is not a credential's to set")


def _value(_: Any, __: Any, value: Secret) -> None:
    if not _VALUE.fullmatch(value.reveal()):
        raise ValueError(
            "expected a header value: no control characters, no space at its ends (RFC 9110, 5.5)"
        )


@attrs.frozen(kw_only=True)
class BearerConfig:
    """A bearer token."""

    token: Secret = attrs.field(
        validator=_bearer, metadata=doc("The token.", example="${env:UPSTREAM_TOKEN}")
    )


@attrs.frozen(kw_only=True)
class BasicConfig:
    """A user name and a password."""

    username: str = attrs.field(validator=_username, metadata=doc("The user name."))
    password: Secret = attrs.field(
        validator=_password, metadata=doc("The password.", example="${env:UPSTREAM_PASSWORD}")
    )


@attrs.frozen(kw_only=True)
class HeaderConfig:
    """Any other header that authenticates."""

    name: str = attrs.field(validator=_name, metadata=doc("The header's name.", example="X-Api-Key"))
    value: Secret = attrs.field(validator=_value, metadata=doc("Its value.", example="${env:UPSTREAM_KEY}"))


class FixedHeader:
    """A credential that is the same for every principal and upstream.

    Args:
        name: The header's name.
        value: Its value; never printed.
    """

    def __init__(self, name: str, value: str) -> None:
        self._headers = {name: value}

    async def headers(self, principal: Principal, upstream: str) -> Mapping[str, str]:
        """The header."""
        del principal, upstream
        return self._headers


@asynccontextmanager
async def bearer(config: BearerConfig, host: Host) -> AsyncIterator[Credential]:
    """Start a `bearer` credential."""
    del host
    yield FixedHeader("Authorization", f"Bearer {config.token.reveal()}")


@asynccontextmanager
async def basic(config: BasicConfig, host: Host) -> AsyncIterator[Credential]:
    """Start a `basic` credential."""
    del host
    pair = f"{config.username}:{config.password.reveal()}".encode()
    yield FixedHeader("Authorization", f"Basic {base64.b64encode(pair).decode()}")


@asynccontextmanager
async def header(config: HeaderConfig, host: Host) -> AsyncIterator[Credential]:
    """Start a `header` credential."""
    del host
    yield FixedHeader(config.name, config.value.reveal())


BEARER = Factory(
    name="bearer",
    summary="A fixed bearer token for an upstream.",
    config=BearerConfig,
    create=bearer,
    posture="hardened",
)
BASIC = Factory(
    name="basic",
    summary="A user name and password for an upstream (HTTP Basic).",
    config=BasicConfig,
    create=basic,
    posture="hardened",
)
HEADER = Factory(
    name="header",
    summary="A fixed header, such as an API key, for an upstream.",
    config=HeaderConfig,
    create=header,
    posture="hardened",
)


@hookimpl
def gateway_credentials() -> Sequence[Factory[Any, Credential]]:
    """Offer the credentials that are always the same, and the one that fetches tokens."""
    return (BEARER, BASIC, HEADER, QUERY, COOKIE, CLIENT_CREDENTIALS)
