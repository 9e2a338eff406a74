"""One request in flight upstream."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from portico.api import Exchange, Refused

from . import wire
from .ask import Ask

ASKABLE: Final = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
"""What a legacy server may ask its client, and the capability that allows it."""

MOST_WAITING: Final = 256
TASK_OVER: Final = frozenset({"completed", "failed", "cancelled"})
"""What the status of a task is when it will not change any more."""


class Pausable(Protocol):
    """A deadline that stands still while a client is being asked."""

    def pause(self) -> None:
        """Stop counting."""
        ...

    def resume(self) -> None:
        """Go on counting."""
        ...


class Call:
    """A request we sent and are waiting on.

    Args:
        method: The request's method.
        exchange: The client request it carries out; None for the gateway's own.
        limit: The exchange's deadline.

    Attributes:
        token: The progress token that the server has for it.
        task: The server's id of the task it is about, "" for none.
        told: How often its client was told of that task; -1 when the server itself reports progress.
        words: What it was told last.
    """

    __slots__ = (
        "acknowledged", "asks", "exchange", "id", "inbox", "limit", "method", "task", "token",
        "told", "wake", "words",
    )  # fmt: skip

    def __init__(self, method: str, exchange: Exchange | None = None, limit: Pausable | None = None) -> None:
        self.id = self.token = wire.next_id()
        self.task = ""
        self.told = 0
        self.words = ""
        self.method = method
        self.exchange = exchange
        self.limit = limit
        self.asks: set[Ask] = set()
        self.acknowledged: asyncio.Event | None = None
        self.inbox: deque[wire.Message | Refused] = deque()
        self.wake: asyncio.Future[None] | None = None

    def put(self, item: wire.Message | Refused) -> None:
        """Hand over something that arrived on a shared pipe. A flood of notifications is cut short."""
        essential = isinstance(item, Refused) or not item.method
        if essential or len(self.inbox) < MOST_WAITING:
            self.inbox.append(item)
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)

    async def take(self) -> wire.Message:
        """The next thing that arrived.

        Raises:
            Refused: The pipe is gone.
        """
        while not self.inbox:
            self.wake = asyncio.get_running_loop().create_future()
            await self.wake
        item = self.inbox.popleft()
        if isinstance(item, Refused):
            raise wire.again(item)
        return item

    def declared(self, method: str) -> bool:
        """Whether the client of this call may be asked this."""
        return self.exchange is not None and ASKABLE.get(method) in self.exchange.capabilities

    def finish(self, *, cancelled: bool = False) -> None:
        """It is over; whoever cancelled it wants to be asked nothing more."""
        for ask in tuple(self.asks):
            if cancelled:
                ask.give_up()
            else:
                ask.outlive()
