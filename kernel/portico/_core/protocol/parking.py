"""Parked calls: a modern client has been asked something, and its call waits for the retry that answers."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, Final

import attrs

from portico._core.contracts.auth import Principal
from portico._core.contracts.exchange import Exchange
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result, input_required
from portico._core.errors import INVALID_PARAMS, OVERLOADED, Refused, failure
from portico._core.protocol.modern_call import ModernCall
from portico._core.seal import Seal, Unsealable, digest

MOST_EACH: Final = 256
"""Calls of one principal that may wait for answers at once."""


@attrs.frozen
class _Parked:
    call: ModernCall
    principal: Principal
    timer: asyncio.TimerHandle


class Parking:
    """The parked calls of one gateway process.

    A handle works once, for the principal, server, method and params it was given for. A call that nobody
    comes back to is cancelled, which tells its upstream so; it is never run again.

    Args:
        seal: Seals handles.
        seconds: How long a call waits.
    """

    def __init__(self, seal: Seal, seconds: float) -> None:
        self._seal = seal
        self._seconds = seconds
        self._parked: dict[str, _Parked] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, call: ModernCall, requests: Json) -> Result | Refused:
        """Set a call aside; gives the `input_required` to answer its client with.

        A principal that has `MOST_EACH` calls parked already gets 50302, and the call is cancelled.
        """
        ident = secrets.token_hex(16)
        call.disarm()
        timer = asyncio.get_running_loop().call_later(self._seconds, self._give_up, ident)
        principal = call.exchange.principal
        if sum(each.principal == principal for each in self._parked.values()) >= MOST_EACH:
            timer.cancel()
            call.cancel()
            return failure(OVERLOADED, "Too many calls wait for your answers", reason="parked_limit")
        self._parked[ident] = _Parked(call, principal, timer)
        payload = [ident, binding_of(call.exchange)]
        return input_required(requests, self._seal.close("parked", principal, payload, self._seconds))

    def claim(self, exchange: Exchange) -> ModernCall | None:
        """The call a retry belongs to, resumed; None when its `requestState` is not a parked call's.

        Raises:
            Refused: -32602: the handle was used already, its time is over, or it belongs to another request.
        """
        state: Any = exchange.params.get("requestState")
        if state is None:
            return None
        try:
            _, (ident, binding) = self._seal.open("parked", exchange.principal, state)
        except Unsealable:
            return None  # not ours to judge: it may be an upstream's state, which the router opens
        parked = self._parked.get(ident)
        if parked is None:
            raise used_up()
        if binding != binding_of(exchange):
            raise Refused(INVALID_PARAMS, "Invalid params: requestState belongs to another request")
        del self._parked[ident]
        parked.timer.cancel()
        answers = exchange.params.get("inputResponses")
        parked.call.resume(exchange, answers if isinstance(answers, dict) else {})
        return parked.call

    def _give_up(self, ident: str) -> None:
        self._parked.pop(ident).call.abandon()

    def close(self) -> None:
        """Give up on every parked call."""
        for ident in list(self._parked):
            self._parked[ident].timer.cancel()
            self._give_up(ident)


def used_up() -> Refused:
    """The answer to a retry whose call is not there any more, or was never."""
    return Refused(INVALID_PARAMS, "Invalid params: requestState is used up or too old")


def binding_of(exchange: Exchange) -> str:
    """What a handle belongs to: everything of the request but what a retry changes."""
    own = {k: v for k, v in exchange.params.items() if k not in ("inputResponses", "requestState", "_meta")}
    return digest([exchange.server, exchange.method, own])
