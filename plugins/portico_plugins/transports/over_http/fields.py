"""The header fields of a request as text, and what follows from them alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs
from starlette.types import Scope

from portico.api import PROXIED, ROUTING_HEADERS, Credentials

Lines = tuple[tuple[str, str], ...]

_KEY: Final = "portico.fields"
_REMEMBERED: Final = 256
_LONGEST_NAME: Final = 64
_names: dict[bytes, str] = {}


@attrs.frozen(eq=False)
class Fields:
    """What one head says.

    `content-length` is left out: the body has come whole, and servers may show us the scope of one request
    again for the next, when nothing else in their heads differs.

    Attributes:
        lines: Every field in order; names in lower case.
        headers: By name; of a repeated field the last.
        routing: Of the lines, those that mirror the body of a modern request.
        credentials: For the auth schemes.
        untyped: The refusal for a body of the wrong form: status and JSON.
        problem: The same, or the refusal for an answer of the wrong form.
        streamed: Whether a client that accepts both forms names event streams first.
    """

    lines: Lines
    headers: Mapping[str, str]
    routing: Lines
    credentials: Credentials
    untyped: tuple[int, bytes] | None
    problem: tuple[int, bytes] | None
    streamed: bool

    def joined(self, name: str) -> str | None:
        """A list-valued field, which may come in several lines (RFC 9110, 5.3)."""
        return _joined(self.lines, name)


def fields_of(scope: Scope, server: str) -> Fields:
    """The fields of a request, worked out once for each scope.

    Args:
        scope: The request's.
        server: The virtual server asked for.
    """
    found: Fields | None = scope.get(_KEY)
    if found is None:
        found = scope[_KEY] = _read(scope, server)
    return found


def _read(scope: Scope, server: str) -> Fields:
    lines = tuple(
        [
            (_names.get(name) or _name(name), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name != b"content-length"
        ]
    )
    headers = MappingProxyType(dict(lines))
    client = scope.get("client")
    accept = _joined(lines, "accept")
    untyped = _untyped(headers.get("content-type"), headers.get("content-encoding"))
    stream, json = (accept or "").find("text/event-stream"), (accept or "").find("application/json")
    return Fields(
        lines,
        headers,
        tuple([line for line in lines if line[0] in ROUTING_HEADERS]),
        Credentials(
            headers,
            client[0] if client else "",
            server,
            scope["scheme"] in ("https", "wss"),
            bool(scope.get(PROXIED)),
        ),
        untyped,
        untyped or _unacceptable(accept),
        0 <= stream < json,
    )


def _name(name: bytes) -> str:
    """A header's name as text; clients repeat theirs, so they are remembered."""
    text = name.decode("latin-1").lower()
    if len(_names) < _REMEMBERED and len(name) <= _LONGEST_NAME:
        _names[name] = text
    return text


def _joined(lines: Lines, name: str) -> str | None:
    values = [value for each, value in lines if each == name]
    return ",".join(values) if values else None


def _untyped(kind: str | None, encoding: str | None) -> tuple[int, bytes] | None:
    media = (kind or "").partition(";")[0].strip().lower()
    if media != "application/json" or (encoding or "identity") != "identity":
        return 415, b'{"error":"expected Content-Type: application/json, not encoded"}'
    return None


def _unacceptable(accept: str | None) -> tuple[int, bytes] | None:
    if not (accepts(accept, "application/json") and accepts(accept, "text/event-stream")):
        return 406, b'{"error":"expected Accept: application/json, text/event-stream"}'
    return None


def accepts(accept: str | None, kind: str) -> bool:
    """Whether an `Accept` field, or none, allows a media type."""
    if accept is None:
        return True
    family = kind.partition("/")[0]
    return any(
        part.partition(";")[0].strip().lower() in (kind, "*/*", f"{family}/*") for part in accept.split(",")
    )
