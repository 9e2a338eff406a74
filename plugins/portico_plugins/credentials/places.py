"""Credentials that are a query parameter or a cookie: `query` and `cookie`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from portico.api import Credential, CredentialParts, Factory, Host, Later, Principal

if TYPE_CHECKING:
    from .fixed_config import CookieConfig, QueryConfig


class FixedParts:
    """A credential that is the same for every principal and upstream, and no header of its own.

    Args:
        given: What it adds.
        alike: The headers that say the same, for upstreams that send headers only; empty for none.
    """

    def __init__(self, given: CredentialParts, alike: Mapping[str, str]) -> None:
        self._parts = given
        self._alike = alike

    async def parts(self, principal: Principal, upstream: str) -> CredentialParts:
        """All of it."""
        del principal, upstream
        return self._parts

    async def headers(self, principal: Principal, upstream: str) -> Mapping[str, str]:
        """The headers that say the same.

        Raises:
            Refused: 50300: there are none, and nothing is to be sent without the credential.
        """
        del principal
        if not self._alike:
            from portico_plugins.failures import unavailable

            raise unavailable(upstream, "credential_is_no_header", retryable=False)
        return self._alike


@asynccontextmanager
async def query(config: QueryConfig, host: Host) -> AsyncIterator[Credential]:
    """Start a `query` credential."""
    del host
    yield FixedParts(CredentialParts(query={config.name: config.value.reveal()}), {})


@asynccontextmanager
async def cookie(config: CookieConfig, host: Host) -> AsyncIterator[Credential]:
    """Start a `cookie` credential."""
    del host
    value = config.value.reveal()
    yield FixedParts(CredentialParts(cookies={config.name: value}), {"Cookie": f"{config.name}={value}"})


def _query_config() -> type[QueryConfig]:
    from .fixed_config import QueryConfig

    return QueryConfig


def _cookie_config() -> type[CookieConfig]:
    from .fixed_config import CookieConfig

    return CookieConfig


QUERY = Factory(
    name="query",
    summary="A fixed query parameter, such as an API key, for a `rest` upstream.",
    config=Later(_query_config),
    create=query,
    posture="hardened",
)
COOKIE = Factory(
    name="cookie",
    summary="A fixed cookie for an upstream.",
    config=Later(_cookie_config),
    create=cookie,
    posture="hardened",
)
