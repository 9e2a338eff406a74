"""Every virtual server as an A2A agent: its tools are the agent's skills (A2A 1.0)."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from portico.api import (
    ConfigError,
    Direct,
    Endpoint,
    Factory,
    Host,
    Later,
    Transport,
    hookimpl,
)

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.routing import BaseRoute

    from portico_plugins.transports.a2a.app import AgentApp
    from portico_plugins.transports.a2a.config import A2aConfig
    from portico_plugins.transports.a2a.grpc import GrpcBinding
    from portico_plugins.transports.a2a.places import AgentEndpoints
    from portico_plugins.transports.a2a.signing import Signer

gateway_api = (1, 0)

_SWEEP: Final = 5.0
_LOOK: Final = 0.5
"""Seconds between two looks at whether the gateway ends."""
_LOUD: Final = (
    "a2a.server",
    "a2a.utils.error_handlers",
    "a2a.utils.proto_utils",  # warns of odd cards, which are others', each time they are shown
    "a2a.utils.version_validator",
)
"""What of the SDK logs each bad request, some with a stack trace; what is a fault, we log ourselves."""


class A2a:
    """One agent per virtual server: `/a2a/{name}`, and `/a2a` for `default`.

    Attributes:
        grpc_address: `host:port` of the gRPC binding as clients reach it, "" for none.
    """

    def __init__(
        self, config: A2aConfig, host: Host, rpc: GrpcBinding | None = None, signer: Signer | None = None
    ) -> None:
        from portico_plugins.transports.a2a.app import AgentApp, Manner
        from portico_plugins.transports.a2a.places import AgentEndpoints
        from portico_plugins.transports.a2a.table import Bounds
        from portico_plugins.transports.a2a.webhooks import Delivery

        self.grpc_address = rpc.address if rpc is not None else ""
        manner = Manner(
            config.url.rstrip("/"),
            Bounds(
                config.max_tasks,
                config.max_tasks_each,
                config.max_bytes,
                config.max_bytes_each,
                config.keep,
                config.wait,
            ),
            config.log_level,
            config.card_max_age,
            compat=config.v0_3,
            signer=signer,
            delivery=Delivery(
                config.webhooks,
                config.webhooks_private,
                config.webhook_timeout,
                config.webhook_attempts,
                config.webhook_pause,
            )
            if config.webhooks
            else None,
            grpc=self.grpc_address,
            tenant=config.grpc.tenant if config.grpc is not None else "",
            stream_seconds=config.stream_seconds,
            agents=config.agents,
        )

        def make(endpoint: Endpoint) -> AgentApp:
            return AgentApp(endpoint, manner, host.log)

        self.endpoints: AgentEndpoints = AgentEndpoints(host.wiring.endpoints, make, signer)

    def routes(self) -> Sequence[BaseRoute]:
        """The agents, those that come later included."""
        return self.endpoints.routes()

    def directs(self) -> Mapping[str, Direct]:
        """The same, for servers that hand requests in whole, and for the other workers."""
        return self.endpoints


def settings() -> type[A2aConfig]:
    """The keys of its table, imported where there is one."""
    from portico_plugins.transports.a2a.config import A2aConfig

    return A2aConfig


def check(config: A2aConfig, base: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Whether the extra is installed, and what is wrong with keys and certificates that are there."""
    from portico_plugins.a2a.missing import missing
    from portico_plugins.pem import pem

    if config.grpc is not None:
        ours = {"ca_file": "ca_certs", "client_cert": "certfile"}
        for place, text in pem(config.grpc.ca_certs, config.grpc.certfile, config.grpc.keyfile):
            yield ("grpc", ours[str(place[0])]), text
    if missing():
        yield (), f"this transport {missing()}"
    elif config.signing_key is not None and (base / config.signing_key).is_file():
        from portico_plugins.transports.a2a.signing import BadKey, Signer

        try:
            Signer.of(base / config.signing_key)
        except BadKey as problem:
            yield ("signing_key",), str(problem)


@asynccontextmanager
async def a2a(config: A2aConfig, host: Host) -> AsyncIterator[Transport]:
    """Create the transport; while it runs, old tasks are forgotten.

    Raises:
        ConfigError: The extra is not installed, the key to sign with is none, or the gRPC binding cannot be
            served.
    """
    from portico_plugins.a2a.missing import missing

    if missing():
        raise ConfigError([(f"transports.{host.name}", f"this transport {missing()}")])
    from portico_plugins.transports.over_http.endpoints import swept

    rpc: GrpcBinding | None = None
    if config.grpc is not None:
        # gRPC's core writes to stderr by itself, addresses included.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from portico_plugins.transports.a2a.grpc import GrpcBinding

        rpc = await GrpcBinding.opened(config.grpc, host)
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    transport = A2a(config, host, rpc, _signer(config, host))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(swept(transport.endpoints, _SWEEP))
        watching = asyncio.create_task(_drained(transport.endpoints, host))
        stack.callback(watching.cancel)
        if rpc is not None:
            find, base = transport.endpoints.agent, config.url.rstrip("/")
            await stack.enter_async_context(rpc.serving(find, base))
        yield transport


async def _drained(endpoints: AgentEndpoints, host: Host) -> None:
    """When the gateway ends, have agents end what waits: their streams would hold it up."""
    while True:
        await asyncio.sleep(_LOOK)
        if host.wiring.closing:
            for app in endpoints.apps.values():
                app.drain()


def _signer(config: A2aConfig, host: Host) -> Signer | None:
    if config.signing_key is None:
        return None
    from portico_plugins.transports.a2a.signing import BadKey, Signer

    try:
        return Signer.of(host.base / config.signing_key)
    except BadKey as problem:
        raise ConfigError([(f"transports.{host.name}.signing_key", str(problem))]) from None


A2A = Factory(
    name="a2a",
    summary="Each virtual server as an A2A 1.0 agent, whose skills are its tools.",
    config=Later(settings),
    create=a2a,
    posture="hardened",
    check=check,
)


@hookimpl
def gateway_transports() -> Sequence[Factory[A2aConfig, Transport]]:
    """Offer the transport."""
    return (A2A,)
