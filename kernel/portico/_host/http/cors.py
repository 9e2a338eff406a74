"""What a browser needs to let a page of another origin call, and read the answer (CORS, the Fetch standard).

Only pages that may call get here. None may have the browser's cookies sent along: nothing here goes by those.
"""

from __future__ import annotations

from typing import Final

from starlette.types import Message, Scope, Send

_ASKED: Final = b"access-control-request-method"
_READABLE: Final = (
    b"a2a-extensions, a2a-version, etag, link, location, mcp-protocol-version, mcp-session-id, retry-after, "
    b"www-authenticate"
)
_PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", b"authorization, *"),  # which the star does not stand for
    (b"access-control-max-age", b"600"),
    (b"content-length", b"0"),
)


def other(origin: bytes | None, host: bytes) -> bytes | None:
    """An origin that is not the gateway's own; None for none."""
    if origin is None or origin.lower() in (b"http://" + host.lower(), b"https://" + host.lower()):
        return None
    return origin


def is_preflight(scope: Scope) -> bool:
    """Whether a browser asks first, before it sends a page's request."""
    return scope["method"] == "OPTIONS" and any(name == _ASKED for name, _ in scope["headers"])


async def allow(send: Send, origin: bytes) -> None:
    """Answer that: the page may send it."""
    headers = [(b"access-control-allow-origin", origin), (b"vary", b"Origin"), *_PREFLIGHT]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def readable(send: Send, origin: bytes) -> Send:
    """Sends an answer that the page may read."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            more = [
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", _READABLE),
                (b"vary", b"Origin"),
            ]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return sent
