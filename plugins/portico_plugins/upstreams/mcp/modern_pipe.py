"""A modern server on a pipe: every request self-contained, notifications told apart by what they name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from portico.api import Era, Exchange, Json, Refused, Result, Target

from . import wire
from .call import Call, Pausable
from .session import Session, Wire


class ModernPipe(Session):
    """A process (or another pipe) spoken to in the modern era; there is nothing to shake hands about.

    Args:
        wire: What it runs on.
        own: Makes the params of a request of the gateway's own.
        wanted: Which changed lists to listen for, as a subscription filter: what changes in a caller's own
            process, only that says. Empty for none.
    """

    era = Era.MODERN

    def __init__(
        self, wire: Wire, own: Callable[[Json | None], Json], wanted: Mapping[str, bool] | None = None
    ) -> None:
        super().__init__(wire)
        self._own = own
        self._wanted = dict(wanted or {})
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the pipe."""
        await self.wire.open()
        if self._wanted:
            self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            await self.request("subscriptions/listen", {"notifications": self._wanted})
        except Refused:
            return  # it promised what it has not, or it is gone

    async def close(self) -> None:
        """End it."""
        if self._listening is not None:
            self._listening.cancel()
        await super().close()

    async def send(self, exchange: Exchange, target: Target, limit: Pausable | None) -> Result:
        """Carry out an exchange."""
        del target
        call = Call(exchange.method, exchange, limit)
        body = wire.request(call.id, exchange.method, wire.modern_params(exchange, call.id))
        return Result(raw=await self.wire.perform(call, body), era=Era.MODERN)

    async def request(self, method: str, params: Json | None = None, call: Call | None = None) -> bytes:
        """Make a request of the gateway's own."""
        call = call or Call(method)
        return await self.wire.perform(call, wire.request(call.id, method, self._own(params)))
