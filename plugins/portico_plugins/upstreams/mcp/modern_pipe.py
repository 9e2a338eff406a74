"""A modern server on a pipe: every request self-contained, notifications told apart by what they name."""

from __future__ import annotations

from collections.abc import Callable

from portico.api import Era, Exchange, Json, Result, Target

from . import wire
from .call import Call, Pausable
from .session import Session, Wire


class ModernPipe(Session):
    """A process (or another pipe) spoken to in the modern era; there is nothing to shake hands about.

    Args:
        wire: What it runs on.
        own: Makes the params of a request of the gateway's own.
    """

    era = Era.MODERN

    def __init__(self, wire: Wire, own: Callable[[Json | None], Json]) -> None:
        super().__init__(wire)
        self._own = own

    async def open(self) -> None:
        """Start the pipe."""
        await self.wire.open()

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
