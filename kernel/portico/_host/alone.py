"""A request of the gateway itself, to one upstream: no client is there, and nobody is to be asked."""

from __future__ import annotations

import secrets

from portico._core.contracts.auth import GATEWAY
from portico._core.contracts.exchange import Era, Exchange, Target
from portico._core.contracts.json import Json
from portico._core.errors import METHOD_NOT_FOUND, Refused
from portico._core.protocol.eras import LATEST_MODERN


class _Nobody:
    """The client of such a request."""

    async def notify(self, method: str, params: Json) -> None:
        """Nobody hears it."""

    def progress(self, params: bytes) -> bool:
        return True

    async def ask(self, method: str, params: Json) -> Json:
        raise Refused(METHOD_NOT_FOUND, "No client is there to ask")

    def poll(self, retry_ms: int) -> None:
        """Nobody waits."""


def request(method: str, params: Json, target: Target, deadline: float) -> Exchange:
    """A request.

    Args:
        method: Its method.
        params: Its params, with the upstream's own names.
        target: Where it goes.
        deadline: On the clock's `monotonic()`.
    """
    return Exchange(
        id=secrets.token_hex(8),
        method=method,
        params=params,
        principal=GATEWAY,
        server="",
        era=Era.MODERN,
        version=LATEST_MODERN,
        client=_Nobody(),
        capabilities={},
        client_info=None,
        log_level=None,
        progress_token=None,
        headers={},
        deadline=deadline,
        target=target,
    )
