"""Everybody is welcome and nobody is known: for a gateway that only this machine can reach."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs

from portico.api import AuthScheme, Credentials, Factory, Host, Principal, doc, hookimpl

gateway_api = (1, 0)


@attrs.frozen
class AnonymousConfig:
    """Config of the `anonymous` auth scheme."""

    public: bool = attrs.field(
        default=False,
        metadata=doc(
            "Let anybody in from other machines too. Needs `gateway.allow_anonymous_public = true` as well."
        ),
    )


class Anonymous:
    """Takes every request for the same anonymous principal."""

    lets_anyone_in = True

    def __init__(self, config: AnonymousConfig, name: str) -> None:
        self.public = config.public
        self._principal = Principal("anonymous", name)

    def decide(self, credentials: Credentials) -> Principal:
        """The anonymous principal."""
        return self._principal

    async def authenticate(self, credentials: Credentials) -> Principal:
        """The anonymous principal."""
        return self._principal


@asynccontextmanager
async def anonymous(config: AnonymousConfig, host: Host) -> AsyncIterator[AuthScheme]:
    """Create the scheme."""
    yield Anonymous(config, host.name)


ANONYMOUS = Factory(
    name="anonymous",
    summary="No credentials; loopback only unless said twice.",
    config=AnonymousConfig,
    create=anonymous,
    posture="hardened",
)


@hookimpl
def gateway_auth_schemes() -> Sequence[Factory[AnonymousConfig, AuthScheme]]:
    """Offer the scheme."""
    return (ANONYMOUS,)
