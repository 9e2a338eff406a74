"""Names of tools and arguments: legal, unique, and the same each time the document is read."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

LONGEST: Final = 64
"""What model hosts accept as the name of a tool or an argument."""

_NOT_TOOL: Final = re.compile(r"[^A-Za-z0-9_-]+")
_NOT_ARGUMENT: Final = re.compile(r"[^A-Za-z0-9_.-]+")


def cleaned(name: str) -> str:
    """Something like the name that fits `^[a-zA-Z0-9_-]{1,64}$`, or "" when nothing is left."""
    return _shortened(_NOT_TOOL.sub("_", name).strip("_"), name)


def from_path(method: str, path: str) -> str:
    """A name for an operation that has none: `get_pets_by_petId` for `GET /pets/{petId}`."""
    steps = [f"by_{step.strip('{}')}" if step.startswith("{") else step for step in path.split("/") if step]
    return cleaned("_".join([method.lower(), *steps])) or method.lower()


def _shortened(name: str, whole: str) -> str:
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9]}_{_digest(whole)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def unique(wanted: Sequence[str], keys: Sequence[str]) -> list[str]:
    """A name for each, none of them twice, case aside.

    Those that would share one all get an end made of their key, so that none depends on the order.

    Args:
        wanted: Cleaned names.
        keys: What tells them apart, such as `GET /pets`; unique.
    """
    taken = Counter(name.lower() for name in wanted)
    out = [
        name if taken[name.lower()] == 1 else _marked(name, key)
        for name, key in zip(wanted, keys, strict=True)
    ]
    seen: set[str] = set()
    for at, name in enumerate(out):
        salt = 0
        while name.lower() in seen:  # a name that looks as if it had an end of ours
            salt += 1
            name = _marked(wanted[at], f"{keys[at]} {salt}")
        out[at] = name
        seen.add(name.lower())
    return out


def _marked(name: str, key: str) -> str:
    return f"{name[: LONGEST - 9]}_{_digest(key)}"


def arguments(wanted: Iterable[tuple[str, str]]) -> list[str]:
    """Argument names for parameters, in their order.

    Args:
        wanted: `(name, location)`; those of one name in several locations get the location as an end.
    """
    pairs = list(wanted)
    plain = [_NOT_ARGUMENT.sub("_", name) or "_" for name, _ in pairs]
    often = Counter(plain)
    ends = [
        f"{name}__{where}" if often[name] > 1 else name for name, (_, where) in zip(plain, pairs, strict=True)
    ]
    seen: set[str] = set()
    out = []
    for name, (own, where) in zip(ends, pairs, strict=True):
        name = _shortened(name, f"{own} {where}")
        short, number = name[: LONGEST - 4], 1
        while name in seen:
            number += 1
            name = f"{short}_{number}"
        seen.add(name)
        out.append(name)
    return out
