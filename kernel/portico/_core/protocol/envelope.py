"""What a modern request says of itself in `_meta` (2026-07-28), before anything else of it is looked at."""

from __future__ import annotations

from typing import Any

from portico._core.contracts.json import Json
from portico._core.errors import INVALID_PARAMS, METHOD_NOT_FOUND, UNSUPPORTED_VERSION, Refused
from portico._core.protocol.eras import (
    LEGACY_ONLY,
    LOG_LEVELS,
    META_CAPABILITIES,
    META_LOG_LEVEL,
    META_VERSION,
    MODERN_VERSIONS,
)


def is_enveloped(params: Json) -> bool:
    """Whether a message says by itself that it is of the modern era."""
    meta = params.get("_meta")
    return isinstance(meta, dict) and META_VERSION in meta


def check_modern(method: str, params: Json) -> None:
    """Whether a request is one of the modern era that we serve.

    Raises:
        Refused: As `check_envelope` and `check_served`, in this order.
    """
    check_envelope(params.get("_meta"))
    check_served(method, params["_meta"][META_VERSION])


def check_envelope(meta: Any) -> None:
    """The `_meta` keys every modern request must have, and the level of log messages that it may have.

    Raises:
        Refused: -32602 naming what is missing or of the wrong type.
    """
    keys = meta if isinstance(meta, dict) else {}
    if META_VERSION not in keys or META_CAPABILITIES not in keys:
        missing = [key for key in (META_VERSION, META_CAPABILITIES) if key not in keys]
        raise Refused(INVALID_PARAMS, "Invalid params: _meta lacks " + " and ".join(missing))
    if not isinstance(keys[META_VERSION], str) or not isinstance(keys[META_CAPABILITIES], dict):
        raise Refused(INVALID_PARAMS, "Invalid params: a reserved _meta key has the wrong type")
    if META_LOG_LEVEL in keys and str(keys[META_LOG_LEVEL]) not in LOG_LEVELS:
        wanted = ", ".join(LOG_LEVELS)
        raise Refused(INVALID_PARAMS, f"Invalid params: {META_LOG_LEVEL} must be one of {wanted}")


def check_served(method: str, version: str) -> None:
    """Whether we serve this modern revision, and it has this method as far as the eras go.

    Raises:
        Refused: -32022 with what we do serve; -32601.
    """
    if version not in MODERN_VERSIONS:
        raise Refused(
            UNSUPPORTED_VERSION,
            "Unsupported protocol version",
            {"supported": list(MODERN_VERSIONS), "requested": version},
        )
    if method in LEGACY_ONLY:
        raise Refused(METHOD_NOT_FOUND, "Method not found")
