"""The headers of a request: what is configured, what a client may pass on, and who it is on behalf of."""

from __future__ import annotations

from portico.api import Credential, Exchange, Host
from portico_plugins.upstreams.callers import credential_headers, trace_of

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
                if value is not None and problem_of(own, value) is None:
                    made[own] = value
            made |= trace_of(exchange)
        made |= await credential_headers(self._credential, exchange, self._name, problem_of)
        return made
