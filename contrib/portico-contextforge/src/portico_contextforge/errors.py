"""Answers that say what is wrong, in ContextForge's form: `{"detail": ...}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from portico.api import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    RESOURCE_NOT_FOUND_LEGACY,
    ConfigError,
    Denied,
    FromFile,
    NoRegistry,
    PorticoError,
    Refused,
    RegistryDown,
    Stale,
)

_UNKNOWN: Final = (INVALID_PARAMS, METHOD_NOT_FOUND, RESOURCE_NOT_FOUND_LEGACY)


class Trouble(PorticoError):
    """The answer to a request that is not carried out.

    Args:
        status: The HTTP status.
        detail: One sentence, or `{"type", "loc", "msg"}` for everything that is wrong with a body.
        headers: To be sent with it.
    """

    def __init__(self, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(detail))
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """The answer's body. ContextForge says `message` in some places; both are there in all."""
        message = self.detail if isinstance(self.detail, str) else "; ".join(map(_said, self.detail))
        return {"detail": self.detail, "message": message}


def _said(item: Mapping[str, Any]) -> str:
    return f"{'.'.join(map(str, item['loc'][1:]))}: {item['msg']}"


def invalid(problems: Sequence[tuple[str, str]]) -> Trouble:
    """422 with everything that is wrong.

    Args:
        problems: `(dotted path in the body, message)`.
    """
    found = [
        {"type": "value_error", "loc": ["body", *filter(None, path.split("."))], "msg": message}
        for path, message in problems
    ]
    return Trouble(422, found)


def missing(noun: str, ident: str) -> Trouble:
    """404."""
    return Trouble(404, f"{noun} not found: {ident[:128]}")


def later(what: str) -> Trouble:
    """501: ContextForge has it, and this gateway has not."""
    return Trouble(501, what)


def trouble_of(error: PorticoError) -> Trouble | None:
    """What an error is to callers; None for one that is not theirs."""
    if isinstance(error, Trouble):
        return error
    if isinstance(error, Denied):
        return Trouble(error.status, error.detail, error.headers)
    if isinstance(error, ConfigError):
        return invalid(error.problems)
    if isinstance(error, Stale):
        return Trouble(409, f"It was not changed: {error}")
    if isinstance(error, FromFile):
        return Trouble(409, str(error))
    if isinstance(error, NoRegistry):
        return Trouble(501, str(error))
    if isinstance(error, RegistryDown):
        return Trouble(503, "The registry cannot be reached; nothing was changed", {"retry-after": "5"})
    if isinstance(error, Refused):
        return refused(error)
    return None


def refused(error: Refused) -> Trouble:
    """What an MCP error is where there is no JSON-RPC around it."""
    if error.code in _UNKNOWN:
        return Trouble(404 if error.code == RESOURCE_NOT_FOUND_LEGACY else 422, error.message)
    family = error.code // 100
    return Trouble(family if 400 <= family <= 599 else 502, error.message)
