"""The headers of a request: what is configured, what a client may pass on, and who it is on behalf of."""

from __future__ import annotations

from collections.abc import Mapping

from portico.api import Exchange, Host
from portico_plugins.upstreams.callers import Given, trace_of

from .config import A2aConfig, problem_of


class Headers:
    """Makes the headers of requests; with gRPC they are metadata.

    Args:
        config: Of the upstream.
        host: Its host.
    """

    def __init__(self, config: A2aConfig, host: Host) -> None:
        self._fixed = {name: secret.reveal() for name, secret in config.headers.items()}
        self._passed = {name.lower(): own for name, own in config.pass_headers.items()}
        self._given = Given(
            host.component(config.credential) if config.credential else None, host.name, problem_of
        )

    async def of(self, exchange: Exchange | None) -> dict[str, str]:
        """The headers of a request on behalf of an exchange, or of the gateway itself.

        Raises:
            Refused: 50300: the credential gives something that is no header.
        """
        made = dict(self._fixed)
        if exchange is not None:
            for name, own in self._passed.items():
                value = exchange.headers.get(name)
                if value is not None and problem_of(own, value) is None:
                    made[own] = value
            made |= trace_of(exchange)
        made |= await self._given.headers(exchange)
        return made

    @property
    def renewable(self) -> bool:
        """Whether there may be others in place of some that the agent does not take."""
        return self._given.renewable

    async def renewed(self, refused: Mapping[str, str]) -> dict[str, str] | None:
        """Headers in place of some that the agent did not take; None when there are none it may like better.

        Raises:
            Refused: 50300: the credential has nothing that can be sent.
        """
        found = await self._given.renewed(refused)
        return None if found is None else {**refused, **found}
