"""Answers that say what is wrong (RFC 9457)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from portico.api import (
    CatalogDown,
    ConfigError,
    FromFile,
    NoCatalog,
    NoRegistry,
    PorticoError,
    RegistryDown,
    Stale,
    nearest,
)

URN: Final = "urn:portico:problem:"
"""What the `type` of a problem begins with."""

RETRY_AFTER: Final = 5
"""Seconds after which a registry that is away may be back."""

TITLES: Final = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    412: "Precondition failed",
    413: "Body too large",
    415: "Unsupported media type",
    422: "Invalid",
    500: "Internal error",
    501: "Nothing is managed here",
    502: "Catalog unavailable",
    503: "Registry unavailable",
}


class Problem(PorticoError):
    """The answer to a request that is not carried out.

    Args:
        status: The HTTP status.
        word: A stable word for machines, the end of the problem's `type`.
        detail: One sentence.
        errors: `(path, message)` of everything that is wrong.
        headers: To be sent with it.
    """

    def __init__(
        self,
        status: int,
        word: str,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.word, self.detail = status, word, detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    @property
    def type(self) -> str:
        """Its `type` member."""
        return f"{URN}{self.word}"


def unknown(what: str, wrong: str, right: Iterable[str]) -> str:
    """Says that a name is unknown, and the nearest right one."""
    return f"unknown {what} {wrong[:64]!r}{nearest(wrong[:64], right, 'expected')}"


def unlike(wrong: str, right: Sequence[str]) -> str:
    """Says that a value is none of those there are, and the nearest of them."""
    return f"expected one of {', '.join(map(repr, right))}, got {wrong[:64]!r}{nearest(wrong[:64], right)}"


def missing(kind: str, name: str, names: Iterable[str] = ()) -> Problem:
    """There is no such record."""
    return Problem(404, "not-found", f"There is no {name!r} among the {kind}{nearest(name[:64], names)}")


def problem_of(error: PorticoError, *, conditional: bool) -> Problem | None:
    """What an error of the management is to callers; None for one that is not theirs.

    Args:
        error: The error.
        conditional: Whether the request named the version it is based on.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, ConfigError):
        count = len(error.problems)
        detail = f"{count} problem{'s' if count != 1 else ''} in it; nothing was changed"
        return Problem(422, "invalid", detail, error.problems)
    if isinstance(error, Stale):
        detail = f"It was not changed: {error}"
        if conditional:
            return Problem(412, "stale", detail)
        return Problem(409, "stale", f"{detail}; try again", headers={"retry-after": "1"})
    if isinstance(error, FromFile):
        return Problem(409, "from-file", str(error))
    if isinstance(error, NoRegistry):
        return Problem(501, "no-registry", str(error))
    if isinstance(error, CatalogDown | NoCatalog):
        return Problem(502, "catalog-down", str(error))
    if isinstance(error, RegistryDown):
        headers = {"retry-after": str(RETRY_AFTER)}
        return Problem(
            503, "registry-down", "The registry cannot be reached; nothing was changed", headers=headers
        )
    return None
