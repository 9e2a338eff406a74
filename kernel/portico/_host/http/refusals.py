"""What the guard answers requests with that it refuses: constants, which echo nothing of the request."""

from __future__ import annotations

from typing import Final

import attrs
import msgspec
from starlette.types import Scope, Send


@attrs.frozen
class Refusal:
    """A constant answer: a status, and `{"error", "expected"}` as JSON."""

    status: int
    body: bytes


def refusal(status: int, error: str, expected: str) -> Refusal:
    """One of them.

    Args:
        status: The HTTP status.
        error: What is wrong.
        expected: What would be right.
    """
    return Refusal(status, msgspec.json.encode({"error": error, "expected": expected}))


TOO_LARGE: Final = refusal(413, "body too large", "a smaller body")
TOO_SLOW: Final = refusal(408, "body took too long", "the whole body within the time limit")


async def answer(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Send a refusal; the connection is not used again, for the rest of the request may still be on it."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(refusal.body)),
        (b"cache-control", b"no-store"),
    ]
    if scope["http_version"] in ("1.1", "1.0"):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": refusal.body})
