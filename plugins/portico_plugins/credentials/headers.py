"""The built-in credentials; here the headers that are always the same: `bearer`, `basic` and `header`."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from portico.api import Credential, Factory, Host, Later, Principal, hookimpl

from .client_credentials import CLIENT_CREDENTIALS
from .places import COOKIE, QUERY

if TYPE_CHECKING:
    from .fixed_config import BasicConfig, BearerConfig, HeaderConfig

gateway_api = (1, 0)


class FixedHeader:
    """A credential that is the same for every principal and upstream.

    Args:
        name: The header's name.
        value: Its value; never printed.
    """

    def __init__(self, name: str, value: str) -> None:
        self._headers = {name: value}

    async def headers(self, principal: Principal, upstream: str) -> Mapping[str, str]:
        """The header."""
        del principal, upstream
        return self._headers


@asynccontextmanager
async def bearer(config: BearerConfig, host: Host) -> AsyncIterator[Credential]:
    """Start a `bearer` credential."""
    del host
    yield FixedHeader("Authorization", f"Bearer {config.token.reveal()}")


@asynccontextmanager
async def basic(config: BasicConfig, host: Host) -> AsyncIterator[Credential]:
    """Start a `basic` credential."""
    del host
    pair = f"{config.username}:{config.password.reveal()}".encode()
    yield FixedHeader("Authorization", f"Basic {base64.b64encode(pair).decode()}")


@asynccontextmanager
async def header(config: HeaderConfig, host: Host) -> AsyncIterator[Credential]:
    """Start a `header` credential."""
    del host
    yield FixedHeader(config.name, config.value.reveal())


def _bearer_config() -> type[BearerConfig]:
    from .fixed_config import BearerConfig

    return BearerConfig


def _basic_config() -> type[BasicConfig]:
    from .fixed_config import BasicConfig

    return BasicConfig


def _header_config() -> type[HeaderConfig]:
    from .fixed_config import HeaderConfig

    return HeaderConfig


BEARER = Factory(
    name="bearer",
    summary="A fixed bearer token for an upstream.",
    config=Later(_bearer_config),
    create=bearer,
    posture="hardened",
)
BASIC = Factory(
    name="basic",
    summary="A user name and password for an upstream (HTTP Basic).",
    config=Later(_basic_config),
    create=basic,
    posture="hardened",
)
HEADER = Factory(
    name="header",
    summary="A fixed header, such as an API key, for an upstream.",
    config=Later(_header_config),
    create=header,
    posture="hardened",
)


@hookimpl
def gateway_credentials() -> Sequence[Factory[Any, Credential]]:
    """Offer the credentials that are always the same, and the one that fetches tokens."""
    return (BEARER, BASIC, HEADER, QUERY, COOKIE, CLIENT_CREDENTIALS)
