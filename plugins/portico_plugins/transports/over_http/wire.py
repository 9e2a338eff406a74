"""HTTP answers through a `Reply`: whole JSON bodies, event streams, and which status an error code has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from portico.api import INTERNAL_ERROR, Id, Refused, Reply, Scope, error_frame, failure, sse_event

Raw = tuple[Scope, bytes]
"""A request as it came: its scope, and its body."""

STATUS: Final[Mapping[int, int]] = {
    -32700: 400,
    -32600: 400,
    -32602: 400,
    -32020: 400,
    -32021: 400,
    -32022: 400,
    -32601: 404,
    42900: 429,
    50302: 503,
    50303: 503,
}
"""HTTP status of a modern error answer; 200 for all others (2026-07-28, streamable HTTP)."""

KEEP_ALIVE: Final = b": keep-alive\n\n"
JSON: Final = ((b"content-type", b"application/json"),)

_EVENTS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    # Reverse proxies (nginx) would hold events back otherwise.
    (b"x-accel-buffering", b"no"),
)
_LATER: Final = frozenset({429, 503})
_LONGEST: Final = 86_400


def send_empty(reply: Reply, status: int, *headers: tuple[bytes, bytes]) -> None:
    """Send an answer without a body."""
    reply.send(status, headers, b"")


def send_problem(reply: Reply, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Send a refusal that is no JSON-RPC answer."""
    reply.send(status, (*JSON, *headers), body)


def send_refusal(reply: Reply, status: int, refusal: Refused, ident: Id = None) -> None:
    """Send a JSON-RPC error answer; what may be tried again says when."""
    headers = (*JSON, _retry_after(refusal)) if status in _LATER else JSON
    reply.send(status, headers, error_frame(ident, refusal.body()))


def _retry_after(refusal: Refused) -> tuple[bytes, bytes]:
    """In whole seconds (RFC 9110), rounded up: a client that waits so long does not come too early.

    An upstream may have said it, so it is taken with a limit.
    """
    said = refusal.data.get("gateway") if isinstance(refusal.data, dict) else None
    seconds = said.get("retry_after") if isinstance(said, dict) else None
    known = min(max(seconds, 1), _LONGEST) if isinstance(seconds, int | float) else 1
    return b"retry-after", b"%d" % math.ceil(known)


def worker_gone(ident: Id) -> bytes:
    """The answer to a request that another worker has begun to carry out."""
    gone = failure(INTERNAL_ERROR, "The worker that carried out the request has gone", reason="worker_gone")
    return error_frame(ident, gone.body())


def end_broken(reply: Reply, ident: Id) -> None:
    """End an event stream whose answer was to come from another worker, which has gone."""
    reply.write(sse_event(worker_gone(ident)))
    reply.end()


def start_events(reply: Reply) -> None:
    """Send the head of an event stream."""
    reply.start(200, _EVENTS)
