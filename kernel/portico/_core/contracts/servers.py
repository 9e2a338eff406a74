"""What servers implement, and what they share with those of other processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from portico._core.contracts.direct import Admit

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp


class Share(Protocol):
    """How processes that accept on the same sockets come to have as many connections each."""

    def hold(self, held: int | None) -> None:
        """Tell the others how many connections are open here; None: no more are taken."""
        ...

    def room(self, held: int) -> int:
        """How many more to accept now, with so many open; 0 or less: leave them to the others a while."""
        ...


@runtime_checkable
class Server(Protocol):
    """Runs the finished ASGI app on given sockets until told to stop."""

    async def serve(
        self,
        app: ASGIApp,
        sockets: Sequence[socket.socket],
        drain: Callable[[], Awaitable[object]],
        stop: Callable[[], Awaitable[object]],
        admit: Admit | None = None,
        share: Share | None = None,
    ) -> None:
        """Serve until `stop()` returns, then close what is left and return.

        Args:
            app: The whole application; complete before the first connection.
            sockets: Bound and listening.
            drain: Returns when draining begins: from then on, answers carry `Connection: close`; when it has
                returned, listeners stay open until `stop`.
            stop: Returns when listeners are to be closed and connections ended.
            admit: Says which requests may be answered without ASGI. A server need not make use of it.
            share: What other processes on these sockets carry, if there are any. Nor of this.
        """
        ...
