"""HTTP answers: whole JSON bodies, event streams, and which status an error code has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.types import Receive, Send

from portico.api import Id, Refused, error_frame

STATUS: Final[Mapping[int, int]] = {
    -32700: 400,
    -32600: 400,
    -32602: 400,
    -32020: 400,
    -32021: 400,
    -32022: 400,
    -32601: 404,
    50302: 503,
    50303: 503,
}
"""HTTP status of a modern error answer; 200 for all others (2026-07-28, streamable HTTP)."""

KEEP_ALIVE: Final = b": keep-alive\n\n"

_SSE_HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    # Reverse proxies (nginx) would hold events back otherwise.
    (b"x-accel-buffering", b"no"),
]

HeaderPairs = Iterable[tuple[bytes, bytes]]


async def send_body(
    send: Send, status: int, body: bytes, headers: HeaderPairs = (), kind: bytes = b"application/json"
) -> None:
    """Send a whole answer."""
    start: dict[str, Any] = {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *headers],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def send_empty(send: Send, status: int, headers: HeaderPairs = ()) -> None:
    """Send an answer without a body."""
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-length", b"0"), *headers],
    }
    await send(start)
    await send({"type": "http.response.body", "body": b""})


async def send_refusal(send: Send, status: int, refusal: Refused, ident: Id = None) -> None:
    """Send a JSON-RPC error answer; what may be tried again says when."""
    headers = [(b"retry-after", b"1")] if status == 503 else []
    await send_body(send, status, error_frame(ident, refusal.body()), headers)


async def start_events(send: Send, headers: HeaderPairs = ()) -> None:
    """Send the head of an event stream."""
    await send({"type": "http.response.start", "status": 200, "headers": [*_SSE_HEADERS, *headers]})


async def send_events(send: Send, data: bytes, *, more: bool = True) -> None:
    """Send encoded events."""
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
