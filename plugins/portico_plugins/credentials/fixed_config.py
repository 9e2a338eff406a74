"""The keys of the credentials that are always the same; a gateway without one of them never imports them."""

from __future__ import annotations

import re
from typing import Any, Final

import attrs

from portico.api import Secret, doc

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\x21-\x7e\x80-\xff](?:[\x20-\x7e\t\x80-\xff]*[\x21-\x7e\x80-\xff])?")
_BEARER: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_COOKIE: Final = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
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
