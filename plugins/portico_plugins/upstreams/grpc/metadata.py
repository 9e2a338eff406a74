"""The metadata of a call: what is configured, what a client may pass on, and who it is on behalf of."""

from __future__ import annotations

import base64
import binascii
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

from .config import GrpcConfig, metadata_problem

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

Metadata = tuple[tuple[str, str | bytes], ...]


class Metadatas:
    """Makes the metadata of calls.

    Args:
        config: Of the upstream.
        host: Its host.
    """

    def __init__(self, config: GrpcConfig, host: Host) -> None:
        self._fixed: dict[str, str | bytes] = {}
        for name, secret in config.metadata.items():
            value = secret.reveal()
            self._fixed[name] = value.encode() if name.endswith("-bin") else value
        self._passed = config.pass_headers
        self._credential: Credential | None = host.component(config.credential) if config.credential else None
        self._name = host.name

    async def of(self, exchange: Exchange | None) -> Metadata:
        """The metadata of a call on behalf of an exchange, or of the gateway itself.

        Raises:
            Refused: 50300: the credential gives something that is no metadata.
        """
        made = dict(self._fixed)
        if exchange is not None:
            for name in self._passed:
                value = _passed(name, exchange.headers.get(name))
                if value is not None:
                    made[name] = value
            trace = _trace(exchange)
            if trace:
                made["traceparent"] = trace
        if self._credential is not None:
            principal = exchange.principal if exchange is not None else GATEWAY
            made |= self._judged(await self._credential.headers(principal, self._name), exchange)
        return tuple(made.items())

    async def renewed(self, refused: Metadata, exchange: Exchange | None) -> Metadata | None:
        """Metadata in place of some that the server did not take; None when there is none it may like better.

        Raises:
            Refused: 50300: the credential has nothing that can be sent.
        """
        if not isinstance(self._credential, RenewableCredential):
            return None
        made = dict(refused)
        said = {name: value for name, value in refused if isinstance(value, str)}
        found = await self._credential.renewed(said, self._name)
        return None if found is None else tuple((made | self._judged(found, exchange)).items())

    def _judged(self, headers: Mapping[str, str], exchange: Exchange | None) -> dict[str, str]:
        if any(metadata_problem(name.lower(), value) for name, value in headers.items()):
            raise failure(
                UPSTREAM_UNAVAILABLE,
                "The upstream is not available.",
                reason="bad_credential_header",
                upstream=self._name,
                request_id=exchange.id if exchange is not None else None,
                retryable=False,
            )
        return {name.lower(): value for name, value in headers.items()}


def _passed(name: str, value: str | None) -> str | bytes | None:
    """A client's header as metadata; None for none, or one that cannot be."""
    if value is None:
        return None
    if not name.endswith("-bin"):
        return value if metadata_problem(name, value) is None else None
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _trace(exchange: Exchange) -> str:
    """The trace the request belongs to: `_meta` says so in the modern era, a header otherwise."""
    meta = exchange.params.get("_meta")
    said = meta.get("traceparent") if isinstance(meta, dict) else None
    said = said if isinstance(said, str) else exchange.headers.get("traceparent", "")
    return said if _TRACEPARENT.fullmatch(said) else ""
