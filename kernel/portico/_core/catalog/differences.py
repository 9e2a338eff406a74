"""How two JSON values differ, field by field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from portico._core.contracts.definitions import Difference

MOST_DIFFERENCES: Final = 200

_WORD: Final = re.compile(r"[A-Za-z0-9_$-]+")


def differences(before: Any, after: Any) -> list[Difference]:
    """Where two JSON values differ, at most `MOST_DIFFERENCES` places."""
    return list(islice(_between(before, after, ""), MOST_DIFFERENCES))


def _between(before: Any, after: Any, path: str) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            yield from _member(before, after, key, _below(path, key))
    elif isinstance(before, list) and isinstance(after, list):
        old, new = dict(enumerate(before)), dict(enumerate(after))
        for at in range(max(len(before), len(after))):
            yield from _member(old, new, at, f"{path}[{at}]")
    elif type(before) is not type(after) or before != after:
        yield Difference(path, "changed", before, after)


def _member(before: dict[Any, Any], after: dict[Any, Any], key: Any, path: str) -> Iterator[Difference]:
    if key not in after:
        yield Difference(path, "removed", before[key], None)
    elif key not in before:
        yield Difference(path, "added", None, after[key])
    else:
        yield from _between(before[key], after[key], path)


def _below(path: str, key: Any) -> str:
    text = str(key)
    if not _WORD.fullmatch(text):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{path}.{text}" if path else text
