"""Every virtual server as an A2A agent: its tools are the agent's skills (A2A 1.0)."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from portico.api import (
    ConfigError,
    Direct,
    Endpoint,
    Factory,
    Host,
    Transport,
    at_least,
    doc,
    hookimpl,
    positive,
)
from portico_plugins.transports.a2a.grpc_config import GrpcConfig

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from portico_plugins.transports.a2a.app import AgentApp
    from portico_plugins.transports.a2a.grpc import GrpcBinding
    from portico_plugins.transports.a2a.places import AgentEndpoints
    from portico_plugins.transports.a2a.signing import Signer

gateway_api = (1, 0)

_SWEEP: Final = 5.0
_LOUD: Final = ("a2a.server", "a2a.utils.error_handlers", "a2a.utils.version_validator")
"""What of the SDK logs each bad request, some with a stack trace; what is a fault, we log ourselves."""


def _url(instance: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    if value and not re.fullmatch(r"https?://[^\s/{}?#]+(/[^\s{}?#]*)?", value):
        raise ValueError(f"expected a URL such as https://gateway.example.com, got {value!r}")


def _level(instance: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    from portico.api import LOG_LEVELS

    if value and value not in LOG_LEVELS:
        raise ValueError(f"expected one of {', '.join(LOG_LEVELS)}, or nothing, got {value!r}")


@attrs.frozen
class A2aConfig:
    """Config of the `a2a` transport."""

    url: str = attrs.field(
        default="",
        validator=_url,
        metadata=doc(
            "Where clients reach the gateway, for the URLs in agent cards. By default what the client that "
            "asks for the card has connected to.",
            example="https://gateway.example.com",
        ),
    )
    log_level: str = attrs.field(
        default="info",
        validator=_level,
        metadata=doc("The least severe log messages of tools that tasks pass on; empty for none."),
    )
    max_tasks: int = attrs.field(
        default=10_000,
        validator=at_least(1),
        metadata=doc("Tasks remembered, per virtual server; the oldest that are over go first."),
    )
    max_tasks_each: int = attrs.field(
        default=1_000,
        validator=at_least(1),
        metadata=doc("Tasks of one principal remembered, per virtual server."),
    )
    max_bytes: int = attrs.field(
        default=256 * 1024 * 1024,
        validator=at_least(1),
        metadata=doc("Bytes of messages and artifacts remembered with tasks, per virtual server."),
    )
    keep: float = attrs.field(
        default=3600.0,
        validator=positive,
        metadata=doc("Seconds for which a task that is over can still be asked for."),
    )
    wait: float = attrs.field(
        default=3600.0,
        validator=positive,
        metadata=doc("Seconds for which a task waits for the answer to what it has asked."),
    )
    card_max_age: int = attrs.field(
        default=60,
        validator=at_least(0),
        metadata=doc("Seconds for which clients may keep an agent card without asking again."),
    )
    v0_3: bool = attrs.field(
        default=False,
        metadata=doc(
            "Whether agents speak A2A 0.3, too, with clients that know nothing newer. Without it, a request "
            "that says no version, which means 0.3, is refused."
        ),
    )
    signing_key: Path | None = attrs.field(
        default=None,
        metadata=doc(
            "A private key in PEM form (P-256, Ed25519 or RSA) to sign agent cards with. The public key is "
            "at `/a2a/jwks.json`.",
            operator_only=True,
        ),
    )
    webhooks: int = attrs.field(
        default=8,
        validator=at_least(0),
        metadata=doc("Webhooks that a task may have for push notifications; 0 for no such notifications."),
    )
    webhooks_private: bool = attrs.field(
        default=False,
        metadata=doc(
            "Whether webhooks may be at loopback, private and similar addresses. Cloud metadata services are "
            "refused either way."
        ),
    )
    webhook_timeout: float = attrs.field(
        default=10.0,
        validator=positive,
        metadata=doc("Seconds that one attempt to tell a webhook may take."),
    )
    webhook_attempts: int = attrs.field(
        default=4,
        validator=at_least(1),
        metadata=doc("How often one notification is tried, with growing pauses."),
    )
    webhook_pause: float = attrs.field(
        default=1.0,
        validator=positive,
        metadata=doc("Seconds before the second attempt; before each later one it is twice as long."),
    )
    agents: bool = attrs.field(
        default=True,
        metadata=doc(
            "Whether the agents behind virtual servers are served, too, at `/a2a/SERVER/agents/UPSTREAM`. "
            "Filters of a virtual server's tools say nothing about them."
        ),
    )
    stream_seconds: float = attrs.field(
        default=3600.0,
        validator=positive,
        metadata=doc("Seconds a stream from an agent behind may last; its client can subscribe again."),
    )
    grpc: GrpcConfig | None = attrs.field(
        default=None,
        metadata=doc("The gRPC binding of all agents, on a port of its own. Off by default."),
    )


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
            Bounds(config.max_tasks, config.max_tasks_each, config.max_bytes, config.keep, config.wait),
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
        if rpc is not None:
            find, base = transport.endpoints.agent, config.url.rstrip("/")
            await stack.enter_async_context(rpc.serving(find, base))
        yield transport


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
    config=A2aConfig,
    create=a2a,
    posture="hardened",
)


@hookimpl
def gateway_transports() -> Sequence[Factory[A2aConfig, Transport]]:
    """Offer the transport."""
    return (A2A,)
