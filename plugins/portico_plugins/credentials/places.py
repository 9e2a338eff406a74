"""Credentials that are a query parameter or a cookie: `query` and `cookie`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs

from portico.api import Credential, CredentialParts, Factory, Host, Principal, Secret, doc

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_COOKIE: Final = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")


def _cookie_name(_: Any, __: Any, value: str) -> None:
    if not _TOKEN.fullmatch(value):
        raise ValueError("expected the name of a cookie (RFC 6265, 4.1.1)")


def _cookie_value(_: Any, __: Any, value: Secret) -> None:
    if not _COOKIE.fullmatch(value.reveal()):
        raise ValueError("expected a cookie's value: no spaces, quotes, commas and semicolons")


def _given(_: Any, __: Any, value: Any) -> None:
    text = value.reveal() if isinstance(value, Secret) else value
    if not text:
        raise ValueError("it is empty")
    if any(ord(char) < 32 or 127 <= ord(char) < 160 or 0xD800 <= ord(char) < 0xE000 for char in text):
        raise ValueError("it has characters that belong into no URL")


@attrs.frozen(kw_only=True)
class QueryConfig:
    """A query parameter that authenticates. Only `rest` upstreams can send it."""

    name: str = attrs.field(validator=_given, metadata=doc("The parameter's name.", example="api_key"))
    value: Secret = attrs.field(
        validator=_given,
        metadata=doc("Its value, as it is: it is percent-encoded when sent.", example="${env:UPSTREAM_KEY}"),
    )


@attrs.frozen(kw_only=True)
class CookieConfig:
    """A cookie that authenticates."""

    name: str = attrs.field(validator=_cookie_name, metadata=doc("The cookie's name.", example="session"))
    value: Secret = attrs.field(
        validator=_cookie_value, metadata=doc("Its value.", example="${env:UPSTREAM_SESSION}")
    )


class FixedParts:
    """A credential that is the same for every principal and upstream, and no header of its own.

    Args:
        given: What it adds.
        alike: The headers that say the same, for upstreams that send headers only; empty for none.
    """

    def __init__(self, given: CredentialParts, alike: Mapping[str, str]) -> None:
        self._parts = given
        self._alike = alike

    async def parts(self, principal: Principal, upstream: str) -> CredentialParts:
        """All of it."""
        del principal, upstream
        return self._parts

    async def headers(self, principal: Principal, upstream: str) -> Mapping[str, str]:
        """The headers that say the same.

        Raises:
            Refused: 50300: there are none, and nothing is to be sent without the credential.
        """
        del principal
        if not self._alike:
            from portico_plugins.failures import unavailable

            raise unavailable(upstream, "credential_is_no_header", retryable=False)
        return self._alike


@asynccontextmanager
async def query(config: QueryConfig, host: Host) -> AsyncIterator[Credential]:
    """Start a `query` credential."""
    del host
    yield FixedParts(CredentialParts(query={config.name: config.value.reveal()}), {})


@asynccontextmanager
async def cookie(config: CookieConfig, host: Host) -> AsyncIterator[Credential]:
    """Start a `cookie` credential."""
    del host
    value = config.value.reveal()
    yield FixedParts(CredentialParts(cookies={config.name: value}), {"Cookie": f"{config.name}={value}"})


QUERY = Factory(
    name="query",
    summary="A fixed query parameter, such as an API key, for a `rest` upstream.",
    config=QueryConfig,
    create=query,
    posture="hardened",
)
COOKIE = Factory(
    name="cookie",
    summary="A fixed cookie for an upstream.",
    config=CookieConfig,
    create=cookie,
    posture="hardened",
)
