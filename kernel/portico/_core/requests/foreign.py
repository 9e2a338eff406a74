"""Requests of another protocol that a transport and an upstream both speak, passed on as they are.

Who comes in, policies, limits, deadlines and logs are what they are for MCP; names, eras and shapes are not
looked at.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import attrs

from portico._core.contracts.auth import Principal
from portico._core.contracts.exchange import Era, Exchange, Target
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result
from portico._core.errors import METHOD_NOT_FOUND, Refused
from portico._core.protocol.call import Call, OnFault, Run
from portico._core.protocol.eras import LATEST_MODERN
from portico._core.requests.endpoint import Endpoint

UNREAD: Final = 64
"""How many notifications may wait for a slow client before the upstream is held back."""


@attrs.frozen
class ForeignEvent:
    """A notification on its way to the client.

    Attributes:
        method: Its method.
        params: Its params.
    """

    method: str
    params: Json


class ForeignCall(Call):
    """A call whose notifications are taken one at a time, and then its outcome."""

    __slots__ = ("_notices", "_room", "_told")

    def __init__(self, exchange: Exchange, run: Run, on_fault: OnFault) -> None:
        self._notices: deque[ForeignEvent] = deque()
        self._told = asyncio.Event()
        self._room = asyncio.Event()
        super().__init__(exchange, run, on_fault)

    async def notify(self, method: str, params: Json) -> None:
        """Queue a notification, whatever its kind; waits while `UNREAD` of them wait."""
        while len(self._notices) >= UNREAD:
            self._room.clear()
            await self._room.wait()
        self._notices.append(ForeignEvent(method, params))
        self._told.set()

    def progress(self, params: bytes) -> bool:
        """There is no progress of MCP's."""
        return False

    async def ask(self, method: str, params: Json) -> Json:
        """Nobody can be asked anything of MCP's."""
        raise Refused(METHOD_NOT_FOUND, "Method not found: the client does not speak MCP")

    def _settled(self) -> None:
        self._told.set()

    async def next(self) -> ForeignEvent | Result:
        """The next thing to tell the client.

        Raises:
            Refused: That is what it is to be told.
        """
        while not self._notices and self.outcome is None:
            self._told.clear()
            await self._told.wait()
        if self._notices:
            self._room.set()
            return self._notices.popleft()
        if isinstance(self.outcome, Result):
            return self.outcome
        raise self.outcome or Refused(METHOD_NOT_FOUND, "Method not found")


@asynccontextmanager
async def foreign_call(
    endpoint: Endpoint,
    method: str,
    params: Json,
    principal: Principal,
    target: Target,
    *,
    headers: Mapping[str, str],
    seconds: float | None = None,
) -> AsyncGenerator[ForeignCall]:
    """Begin a request of another protocol with an upstream of a virtual server; leaving it ends the call.

    Args:
        endpoint: The virtual server.
        method: What the upstream knows it by; policies see it. `protocol/Operation`.
        params: Its params; the upstream gets what policies leave of them.
        principal: Who wants it; see `Endpoint.authenticate`.
        target: The upstream.
        headers: The inbound ones, names in lower case.
        seconds: How long it may take; None for as long as any call.

    Raises:
        Refused: No more work is taken on. Everything else comes out of `ForeignCall.next`.
    """
    exchange = endpoint.exchange(
        method,
        params,
        principal,
        era=Era.MODERN,
        version=LATEST_MODERN,
        capabilities={},
        client_info=None,
        log_level=None,
        headers=headers,
    )
    exchange.target, exchange.foreign = target, True
    if seconds is not None:
        exchange.deadline = endpoint.clock.monotonic() + seconds
    call = ForeignCall(exchange, endpoint.run, endpoint.on_fault)
    try:
        yield call
    finally:
        if call.outcome is None:
            call.cancel()


async def carry_foreign(
    endpoint: Endpoint,
    method: str,
    params: Json,
    principal: Principal,
    target: Target,
    *,
    headers: Mapping[str, str],
) -> Result:
    """Carry out such a request that has one answer; its notifications go nowhere. See `foreign_call`.

    Raises:
        Refused: As the upstream, or a policy, or the gateway refuses.
    """
    async with foreign_call(endpoint, method, params, principal, target, headers=headers) as call:
        while True:
            told = await call.next()
            if isinstance(told, Result):
                return told
