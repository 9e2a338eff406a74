"""What was made of plain data, kept so that what has not changed is not made again."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Memo(Generic[K, T]):
    """The last thing made for each key, good for as long as it would be made of the same data.

    Data is the same when it has the same values of the same types in the same order: `1` is not `True`. Text
    that comes from outside a document may be parsed, so whatever holds some is made anew each time.
    """

    def __init__(self) -> None:
        self._made: dict[K, tuple[bytes, T]] = {}

    def made(self, key: K, data: object, make: Callable[[], T]) -> T:
        """The thing for a key; what `make` raises is raised, and nothing is kept."""
        mark = _mark(data)
        known = self._made.get(key)
        if known is not None and known[0] == mark:
            return known[1]
        made = make()
        if mark is not None:
            self._made[key] = mark, made
        return made

    def forget_all_but(self, keys: Mapping[K, object] | Collection[K]) -> None:
        """Keep nothing for keys that are not there any more."""
        if len(self._made) > len(keys):
            self._made = {key: found for key, found in self._made.items() if key in keys}


def _mark(data: Any) -> bytes | None:
    # Format 2 knows no references: equal data gives equal bytes. Subclasses (`Text`), dates and the like are
    # refused.
    try:
        return marshal.dumps(data, 2)
    except ValueError:
        return None
