"""The headers of a request: what is configured, what a client may pass on, and who it is on behalf of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from portico.api import (
    GATEWAY,
    UPSTREAM_UNAVAILABLE,
    Credential,
    Exchange,
    Host,
    RenewableCredential,
    failure,
)
from portico_plugins.upstreams.checks import header_problem

from .config import A2aConfig

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Headers:
    """Makes the headers of requests; with gRPC they are metadata.

    Args:
        config: Of the upstream.
        host: Its host.
    """

    def __init__(self, config: A2aConfig, host: Host) -> None:
        self._fixed = {name: secret.reveal() for name, secret in config.headers.items()}
        self._passed = {name.lower(): own for name, own in config.pass_headers.items()}
        self._credential: Credential | None = host.component(config.credential) if config.credential else None
        self._name = host.name

    async def of(self, exchange: Exchange | None) -> dict[str, str]:
        """The headers of a request on behalf of an exchange, or of the gateway itself.

        Raises:
            Refused: 50300: the credential gives something that is no header.
        """
        made = dict(self._fixed)
        if exchange is not None:
            for name, own in self._passed.items():
                value = exchange.headers.get(name)
                if value is not None and value.isascii() and header_problem(own, value) is None:
                    made[own] = value
            trace = _trace(exchange)
            if trace:
                made["traceparent"] = trace
        if self._credential is not None:
            principal = exchange.principal if exchange is not None else GATEWAY
            given = await self._credential.headers(principal, self._name)
            made |= self._judged(given, exchange.id if exchange is not None else None)
        return made

    @property
    def renewable(self) -> bool:
        """Whether there may be others in place of some that the agent does not take."""
        return isinstance(self._credential, RenewableCredential)

    async def renewed(self, refused: Mapping[str, str]) -> dict[str, str] | None:
        """Headers in place of some that the agent did not take; None when there are none it may like better.

        Raises:
            Refused: 50300: the credential has nothing that can be sent.
        """
        if not isinstance(self._credential, RenewableCredential):
            return None
        found = await self._credential.renewed(refused, self._name)
        return None if found is None else {**refused, **self._judged(found, None)}

    def _judged(self, given: Mapping[str, str], request_id: str | None) -> Mapping[str, str]:
        for name, value in given.items():
            if header_problem(name, value) or name.lower().startswith("a2a-") or not value.isascii():
                raise failure(
                    UPSTREAM_UNAVAILABLE,
                    "The upstream is not available.",
                    reason="bad_credential_header",
                    upstream=self._name,
                    request_id=request_id,
                    retryable=False,
                )
        return given


def _trace(exchange: Exchange) -> str:
    """The trace the request belongs to: `_meta` says so in the modern era, a header otherwise."""
    meta = exchange.params.get("_meta")
    said = meta.get("traceparent") if isinstance(meta, dict) else None
    said = said if isinstance(said, str) else exchange.headers.get("traceparent", "")
    return said if _TRACEPARENT.fullmatch(said) else ""
