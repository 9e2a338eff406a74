"""What transports implement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


@runtime_checkable
class Transport(Protocol):
    """Turns bytes into exchanges and results into bytes: gives routes, or runs its own I/O.

    One that does its own I/O has `async run() -> None` too, which returns when its client has gone. One whose
    requests can be answered without ASGI has `directs() -> Mapping[path, Direct]`.
    """

    def routes(self) -> Sequence[BaseRoute]:
        """Starlette routes; empty for a transport that does its own I/O.

        No path may be another transport's. A route that takes whatever nobody else does has the attribute
        `leftover = True`, and is asked last.
        """
        ...
