"""What is wrong with a value, said precisely where it may be one of several things.

That it is "not valid under any of the schemas" helps no model. Mostly it is meant to be one of them, since
the others are of another type (null, often) or for another value of a discriminator: then it is said what
that one lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

_OTHER: Final = frozenset({"type", "const", "enum"})
"""What fails where something else is meant, if it does at the value itself or one of its members."""
_DEEPEST: Final = 16
_MOST: Final = 3


def precise(errors: Iterable[Any], depth: int = 0) -> Iterator[str]:
    """Errors of a validator as texts.

    Args:
        errors: `jsonschema_rs.ValidationError`s.
        depth: How many choices they are below.
    """
    for error in errors:
        branches = _branches(error) if depth < _DEEPEST else []
        meant = [branch for branch in branches if not _is_other(branch, len(error.instance_path))]
        if len(meant) == 1:
            yield from precise(meant[0], depth + 1)
            continue
        firsts = [_said(branch[0]) for branch in meant or branches][:_MOST]
        yield _said(error) + (f" ({' | '.join(firsts)})" if firsts else "")


def _branches(error: Any) -> list[list[Any]]:
    if error.kind.name not in ("anyOf", "oneOf"):
        return []
    return [branch for branch in getattr(error.kind, "context", ()) if branch]


def _is_other(branch: list[Any], here: int) -> bool:
    """Whether a schema is for something else than the value wants to be."""
    for error in branch:
        below = len(error.instance_path) - here
        if error.kind.name == "type" and below == 0:
            return True
        if error.kind.name in _OTHER - {"type"} and below <= 1:
            return True
    return False


def _said(error: Any) -> str:
    place = "/".join(str(step) for step in error.instance_path)
    return f"{place}: {error.message}" if place else str(error.message)
