"""What upstreams that speak HTTP check in their configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from portico.api import Secret

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\x21-\x7e\x80-\xff](?:[\x20-\x7e\t\x80-\xff]*[\x21-\x7e\x80-\xff])?")
COOKIE: Final = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
"""What the value of a cookie may be (RFC 6265, 4.1.1)."""
NEVER_PASSED: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Headers by which callers show the gateway who they are: no upstream is ever given them."""
_OURS: Final = frozenset(
    {"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type"}
    | {
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "last-event-id",
        "proxy-authorization",
        "proxy-connection",
    }
    | {"te", "trailer", "transfer-encoding", "upgrade"}
)


def header_problem(name: str, value: str) -> str | None:
    """Why a header may not be added to an upstream request: bad syntax, or a name that is ours to set."""
    if not _TOKEN.fullmatch(name):
        return f"{name!r} is not a header name"
    if name.lower() in _OURS or name.lower().startswith("mcp-"):
        return f"{name!r} is set by the gateway itself"
    return None if _VALUE.fullmatch(value) else f"the value of {name!r} has characters no header may have"


def port_of(value: str) -> int | None:
    """A URL's port, if it has one; `{port}` stands for a free one, where a program is to be launched.

    Raises:
        ValueError: It is no port.
    """
    try:
        return urlsplit(value.replace("{port}", "1", 1)).port
    except ValueError:
        raise ValueError("expected a port from 1 to 65535") from None


def url(_: Any, __: Any, value: str) -> None:
    """Validate a URL of HTTP, or none at all."""
    if not value:
        return
    if re.search(r"[\x00-\x20\x7f\\]", value):
        raise ValueError("a URL has no spaces, control characters or backslashes")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected http://host... or https://host...")
    if "@" in parts.netloc:
        raise ValueError("a URL carries no credentials; use `credential` or `headers`")
    if parts.fragment:
        raise ValueError("the URL of a server has no fragment")
    port_of(value)


def headers(_: Any, __: Any, value: Mapping[str, Secret]) -> None:
    """Validate headers that are added to requests."""
    for name, secret in value.items():
        problem = header_problem(name, secret.reveal())
        if problem:
            raise ValueError(problem)


def identity(cert: Path | None, key: Path | None) -> None:
    """Validate what is shown to servers that ask who connects: a certificate has a key."""
    if (cert is None) != (key is None):
        raise ValueError("`client_cert` and `client_key` go together")


def pem(
    ca_file: Path | None, cert: Path | None = None, key: Path | None = None
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with the contents of PEM files that are there, by the key that names them.

    Args:
        ca_file: Authorities, as `ca_file`.
        cert: A certificate with its chain, as `client_cert`.
        key: Its private key, without a password, as `client_key`.
    """
    import ssl  # for who checks

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file is not None and ca_file.is_file():
        try:
            context.load_verify_locations(ca_file)
        except OSError:
            yield ("ca_file",), f"expected certificates in PEM form, but none can be read from {ca_file}"
    if cert is not None and key is not None and cert.is_file() and key.is_file():
        try:
            context.load_cert_chain(cert, key, password="")
        except OSError as error:
            reason = getattr(error, "reason", None) or error.strerror
            yield ("client_cert",), f"cannot be used with its key: {reason}"


def proxy(_: Any, __: Any, value: str) -> None:
    """Validate the URL of a proxy, or none at all."""
    if not value:
        return
    url(_, __, value)
    parts = urlsplit(value)
    if parts.scheme != "http" or parts.path not in ("", "/") or parts.query:
        raise ValueError("expected http://HOST:PORT; proxies that speak TLS or SOCKS are not supported")
    if parts.port == 0:
        raise ValueError("expected a port from 1 to 65535")
