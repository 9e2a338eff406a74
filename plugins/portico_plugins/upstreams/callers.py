"""What requests to a server say of whom they are made for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from portico.api import GATEWAY, Credential, Exchange

from .failures import unavailable

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_of(exchange: Exchange) -> dict[str, str]:
    """The trace a request belongs to, as a header: `_meta` says so in the modern era, a header otherwise."""
    meta = exchange.params.get("_meta")
    said = meta.get("traceparent") if isinstance(meta, dict) else None
    said = said if isinstance(said, str) else exchange.headers.get("traceparent", "")
    return {"traceparent": said} if _TRACEPARENT.fullmatch(said) else {}


async def credential_headers(
    credential: Credential | None,
    exchange: Exchange | None,
    upstream: str,
    problem: Callable[[str, str], str | None],
) -> Mapping[str, str]:
    """What a credential adds to a request on behalf of an exchange, or of the gateway itself.

    Args:
        credential: The credential, if there is one.
        exchange: The exchange.
        upstream: The upstream's name.
        problem: Why a header may not be sent.

    Raises:
        Refused: 50300: it gives something that is no header.
    """
    if credential is None:
        return {}
    given = await credential.headers(exchange.principal if exchange is not None else GATEWAY, upstream)
    if any(problem(name, value) for name, value in given.items()):
        raise unavailable(upstream, "bad_credential_header", exchange, retryable=False)
    return given
