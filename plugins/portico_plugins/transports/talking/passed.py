"""Retries that other workers pass on, because the calls that they go on with are parked here."""

from __future__ import annotations

from portico.api import INVALID_REQUEST, Endpoint, Id, Principal, Refused, Reply, check_modern, parse
from portico_plugins.transports.over_http.fields import Fields
from portico_plugins.transports.over_http.wire import STATUS, Raw, send_refusal
from portico_plugins.transports.streamable_http.manner import Manner
from portico_plugins.transports.streamable_http.modern import ModernRequests
from portico_plugins.transports.talking.outbox import Bounds

_QUIET = 3600.0  # between workers nothing has to be kept alive


class Passed:
    """Answers them, as streamable HTTP would.

    Args:
        endpoint: The virtual server.
        bounds: How far behind the other worker's client may be.
        patience: Seconds it may then take nothing before it is cut off.
    """

    def __init__(self, endpoint: Endpoint, bounds: Bounds, patience: float) -> None:
        self._depth = endpoint.depth_limit
        self._requests = ModernRequests(endpoint, Manner(_QUIET, 0.0, 0, bounds.unread, patience))

    def serve(self, raw: Raw, fields: Fields, principal: Principal, reply: Reply) -> None:
        """Answer one."""
        ident: Id = None
        try:
            message = parse(raw[1], depth=self._depth)
            ident = message.id
            if message.kind != "request":
                raise Refused(INVALID_REQUEST, "Invalid request: nothing was asked here")
            check_modern(message.method, message.params)
            self._requests.carry_out(message, principal, fields.headers, reply)
        except Refused as refusal:
            send_refusal(reply, STATUS.get(refusal.code, 200), refusal, ident)
