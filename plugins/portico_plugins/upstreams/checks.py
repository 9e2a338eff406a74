"""What upstreams that speak HTTP check in their configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from portico.api import Secret
from portico_plugins.urls import identity, port_of, proxied, url

__all__ = [
    "COOKIE",
    "NEVER_PASSED",
    "header_problem",
    "headers",
    "identity",
    "port_of",
    "proxied",
    "url",
]

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


def headers(_: Any, __: Any, value: Mapping[str, Secret]) -> None:
    """Validate headers that are added to requests."""
    for name, secret in value.items():
        problem = header_problem(name, secret.reveal())
        if problem:
            raise ValueError(problem)
