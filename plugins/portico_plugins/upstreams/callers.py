"""What requests to a server say of whom they are made for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from portico.api import GATEWAY, Credential, Exchange, RenewableCredential
from portico_plugins.failures import unavailable

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_of(exchange: Exchange) -> dict[str, str]:
    """The trace a request belongs to, as a header: `_meta` says so in the modern era, a header otherwise."""
    meta = exchange.params.get("_meta")
    said = meta.get("traceparent") if isinstance(meta, dict) else None
    said = said if isinstance(said, str) else exchange.headers.get("traceparent", "")
    return {"traceparent": said} if _TRACEPARENT.fullmatch(said) else {}


class Given:
    """What a configured credential adds to the requests of one upstream.

    Args:
        credential: The credential, if there is one.
        upstream: The upstream's name.
        problem: Why a header may not be sent.
    """

    def __init__(
        self, credential: Credential | None, upstream: str, problem: Callable[[str, str], str | None]
    ) -> None:
        self._credential = credential
        self._upstream = upstream
        self._problem = problem

    async def headers(self, exchange: Exchange | None) -> Mapping[str, str]:
        """The headers of a request on behalf of an exchange, or of the gateway itself.

        Raises:
            Refused: 50300: the credential gives something that is no header.
        """
        if self._credential is None:
            return {}
        principal = exchange.principal if exchange is not None else GATEWAY
        return self._judged(await self._credential.headers(principal, self._upstream), exchange)

    @property
    def renewable(self) -> bool:
        """Whether there may be others in place of some that were not taken."""
        return isinstance(self._credential, RenewableCredential)

    async def renewed(
        self, refused: Mapping[str, str], exchange: Exchange | None = None
    ) -> Mapping[str, str] | None:
        """Headers in place of some that were not taken; None when there are none that may be liked better.

        Raises:
            Refused: 50300: the credential has nothing that can be sent.
        """
        if not isinstance(self._credential, RenewableCredential):
            return None
        found = await self._credential.renewed(refused, self._upstream)
        return None if found is None else self._judged(found, exchange)

    def _judged(self, headers: Mapping[str, str], exchange: Exchange | None) -> Mapping[str, str]:
        if any(self._problem(name, value) for name, value in headers.items()):
            raise unavailable(self._upstream, "bad_credential_header", exchange, retryable=False)
        return headers
