"""What was made lately, for whoever wants the same again: agent cards take long to make."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_MOST = 8


class Kept(Generic[T]):
    """Keeps the few things that were asked for last."""

    def __init__(self) -> None:
        self._made: dict[bytes, T] = {}

    def get(self, of: Any, make: Callable[[], T]) -> T:
        """Give what was made of the same, or make it.

        Args:
            of: All that it depends on; what it is printed as tells whether it is the same.
            make: Makes it.
        """
        key = hashlib.sha256(repr(of).encode()).digest()
        made = self._made.pop(key, None)
        if made is None:
            made = make()
        self._made[key] = made
        if len(self._made) > _MOST:
            del self._made[next(iter(self._made))]
        return made
