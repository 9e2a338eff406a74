"""OAuth tokens of the gateway's own, by the client credentials grant: `client_credentials`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from portico.api import Credential, Factory, Host, Later

if TYPE_CHECKING:
    from pathlib import Path

    from .oauth_config import ClientCredentialsConfig


def settings() -> type[ClientCredentialsConfig]:
    """The keys of its table; a gateway without such a credential never imports them."""
    from .oauth_config import ClientCredentialsConfig

    return ClientCredentialsConfig


def check(config: ClientCredentialsConfig, base: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with files that are there."""
    from portico_plugins.pem import pem

    yield from pem(config.ca_file, config.client_cert, config.client_key)


@asynccontextmanager
async def client_credentials(config: ClientCredentialsConfig, host: Host) -> AsyncIterator[Credential]:
    """Start a `client_credentials` credential. Tokens are fetched when they are needed."""
    from .oauth_grants import ClientCredentials  # not before it is needed

    credential = ClientCredentials(config, host)
    try:
        yield credential
    finally:
        await credential.close()


CLIENT_CREDENTIALS = Factory(
    name="client_credentials",
    summary="Access tokens by the OAuth 2.0 client credentials grant, for an upstream.",
    config=Later(settings),
    create=client_credentials,
    posture="hardened",
    check=check,
)
