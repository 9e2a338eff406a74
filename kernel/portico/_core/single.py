"""One request on behalf of somebody who has neither a session nor a stream: a REST call, for one."""

from __future__ import annotations

from collections.abc import Mapping

from portico._core.contracts import Era, Json, Principal, Result
from portico._core.endpoint import Endpoint
from portico._core.errors import METHOD_NOT_FOUND, Refused
from portico._core.protocol.eras import LATEST_LEGACY


async def carry_out(
    endpoint: Endpoint,
    method: str,
    params: Json,
    principal: Principal,
    *,
    headers: Mapping[str, str],
    era: Era = Era.LEGACY,
    version: str = LATEST_LEGACY,
) -> Result:
    """Carry out one request with a virtual server, policies and all, and wait for its end.

    Notifications have nowhere to go, and nobody is there to be asked anything. Cancelling the task cancels
    the call.

    Args:
        endpoint: The virtual server.
        method: The MCP method; none of those that a session answers (`initialize`, `logging/setLevel`).
        params: Its params, with the names this server advertises.
        principal: Who wants it; see `Endpoint.authenticate`.
        headers: The inbound ones, names in lower case.
        era: Whose shape the result is to have.
        version: The revision of that era.

    Raises:
        Refused: As for any client.
    """
    if endpoint.view.lacks(method):
        raise Refused(METHOD_NOT_FOUND, "Method not found")
    exchange = endpoint.exchange(
        method,
        params,
        principal,
        era=era,
        version=version,
        capabilities={},
        client_info=None,
        log_level=None,
        headers=headers,
    )
    call = endpoint.begin(exchange)
    try:
        while True:
            turn = await call.turn(60.0)
            if isinstance(turn, Refused):
                raise turn
            if isinstance(turn, Result):
                return turn
    finally:
        if call.outcome is None:
            call.cancel()
