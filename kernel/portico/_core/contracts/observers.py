"""What observers implement, and what they are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import attrs


@attrs.frozen
class Event:
    """Something that happened, for observers: `call.finished`, `upstream.degraded`, `session.opened`..."""

    name: str
    facts: Mapping[str, Any]


@runtime_checkable
class Observer(Protocol):
    """Sees events, synchronously; never blocks, never changes anything."""

    def observe(self, event: Event) -> None:
        """Take note."""
        ...
