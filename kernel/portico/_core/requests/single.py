"""One request on behalf of somebody who has neither a session nor a stream: a REST call, for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from portico._core.contracts.auth import Principal
from portico._core.contracts.exchange import Era, Exchange
from portico._core.contracts.json import Json
from portico._core.contracts.result import Result
from portico._core.errors import INVALID_PARAMS, METHOD_NOT_FOUND, Refused
from portico._core.protocol.envelope import check_modern, is_enveloped
from portico._core.protocol.eras import LATEST_LEGACY, negotiate
from portico._core.protocol.modern_call import Asking
from portico._core.requests.endpoint import Endpoint

OF_A_SESSION: Final = frozenset({"logging/setLevel", "resources/subscribe", "resources/unsubscribe"})
"""Legacy methods that mean nothing where nothing is remembered."""


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
    return await _carried_out(endpoint, exchange)


async def answer_alone(
    endpoint: Endpoint, method: str, params: Json, principal: Principal, *, headers: Mapping[str, str]
) -> Result:
    """Answer one request of an MCP client that has no session here, in the era that its `_meta` says.

    Of a handshake, nothing is remembered: the client may go on without one. A modern client is asked what it
    has to be asked by `input_required`; a legacy one cannot be. Otherwise as `carry_out`.

    Args:
        endpoint: The virtual server.
        method: Any MCP method; those that are about a session or a stream are not found.
        params: Its params.
        principal: Who wants it.
        headers: The inbound ones, names in lower case.

    Raises:
        Refused: As for any client.
    """
    if is_enveloped(params) or method == "server/discover":
        check_modern(method, params)
        if method == "subscriptions/listen":
            raise Refused(METHOD_NOT_FOUND, "Method not found")
        exchange = endpoint.modern_exchange(method, params, principal, headers)
        return await _carried_out(endpoint, exchange)
    if method == "initialize":
        version = params.get("protocolVersion")
        if not isinstance(version, str):
            raise Refused(INVALID_PARAMS, "Invalid params: protocolVersion is required")
        return Result(value=endpoint.lists.initialize_result(negotiate(version)))
    if method == "ping":
        return Result(value={})
    if method in OF_A_SESSION:
        raise Refused(METHOD_NOT_FOUND, "Method not found: it needs a session, and here is none")
    return await carry_out(endpoint, method, params, principal, headers=headers)


async def _carried_out(endpoint: Endpoint, exchange: Exchange) -> Result:
    call = endpoint.begin(exchange)
    parked = False
    try:
        while True:
            turn: object = await call.turn(60.0)
            if isinstance(turn, Asking):
                turn = endpoint.park(call, turn)
                parked = isinstance(turn, Result)
            if isinstance(turn, Refused):
                raise turn
            if isinstance(turn, Result):
                return turn
    finally:
        if call.outcome is None and not parked:
            call.cancel()
