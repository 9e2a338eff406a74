"""What is checked of URLs that a configuration names, and of what is shown to servers there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from portico.api import Secret


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
        raise ValueError("a URL carries no credentials; there are keys for them")
    if parts.fragment:
        raise ValueError("the URL of a server has no fragment")
    port_of(value)


def identity(cert: Path | None, key: Path | None) -> None:
    """Validate what is shown to servers that ask who connects: a certificate has a key."""
    if (cert is None) != (key is None):
        raise ValueError("`client_cert` and `client_key` go together")


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


def proxied(proxy: str, credentials: Secret | None, resolves: bool) -> None:
    """Validate what is said about a proxy: there is one."""
    if not proxy and (credentials is not None or resolves):
        raise ValueError("`proxy_credentials` and `proxy_resolves` mean nothing without `proxy`")
