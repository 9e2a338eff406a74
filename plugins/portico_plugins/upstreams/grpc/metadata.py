"""The metadata of a call: what is configured, what a client may pass on, and who it is on behalf of."""

from __future__ import annotations

from collections.abc import Mapping

from portico.api import Exchange, Host
from portico_plugins.upstreams.callers import Given, trace_of

from .config import GrpcConfig, binary, metadata_problem

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
            self._fixed[name] = (binary(value) or b"") if name.endswith("-bin") else value
        self._passed = config.pass_headers
        self._given = Given(
            host.component(config.credential) if config.credential else None, host.name, _problem
        )

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
            made |= trace_of(exchange)
        made |= _lowered(await self._given.headers(exchange))
        return tuple(made.items())

    async def renewed(self, refused: Metadata, exchange: Exchange | None) -> Metadata | None:
        """Metadata in place of some that the server did not take; None when there is none it may like better.

        Raises:
            Refused: 50300: the credential has nothing that can be sent.
        """
        said = {name: value for name, value in refused if isinstance(value, str)}
        found = await self._given.renewed(said, exchange)
        return None if found is None else tuple((dict(refused) | _lowered(found)).items())


def _lowered(headers: Mapping[str, str]) -> dict[str, str | bytes]:
    return {name.lower(): value for name, value in headers.items()}


def _problem(header: str, value: str) -> str | None:
    return metadata_problem(header.lower(), value)


def _passed(name: str, value: str | None) -> str | bytes | None:
    """A client's header as metadata; None for none, or one that cannot be."""
    if value is None:
        return None
    if not name.endswith("-bin"):
        return value if metadata_problem(name, value) is None else None
    return binary(value)
