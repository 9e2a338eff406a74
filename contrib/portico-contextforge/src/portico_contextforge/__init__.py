"""The REST dialect of ContextForge (mcp-context-forge), so that scripts written for it go on working."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import attrs

from portico.api import (
    AuthScheme,
    ConfigError,
    Direct,
    Factory,
    Host,
    Observer,
    Ref,
    Transport,
    at_least,
    doc,
    hookimpl,
    positive,
)

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

gateway_api = (1, 0)


@attrs.frozen
class ContextForgeConfig:
    """Config of the `contextforge` transport."""

    mcp: Ref[Transport] = attrs.field(
        default=Ref("streamable_http"),
        metadata=doc("The transport that serves MCP; its endpoints are found under ContextForge's ids, too."),
    )
    sse: Ref[Transport] | None = attrs.field(
        default=None,
        metadata=doc(
            "A transport `sse`: then `/servers/ID/sse` and `/servers/ID/message` are there as ContextForge "
            "has them, and `/message` beside `/sse`; without it, they answer 501."
        ),
    )
    rpc: bool = attrs.field(
        default=True,
        metadata=doc(
            "Whether `/rpc` is answered here, with ContextForge's methods and names; `false` lets a "
            "transport `jsonrpc` have it."
        ),
    )
    auth: tuple[Ref[AuthScheme], ...] = attrs.field(
        default=(),
        metadata=doc(
            "Auth schemes, tried in order. With none, or one that lets anybody in, only callers on this "
            "machine may manage; and none is an error while a virtual server asks for credentials."
        ),
    )
    scope: str = attrs.field(
        default="",
        metadata=doc("The scope callers need; without it, whoever is authenticated may do everything."),
    )
    server: str = attrs.field(
        default="default",
        metadata=doc(
            "The virtual server that `/rpc`, `/protocol`, `/tools/invoke` and the contents of prompts and "
            "resources are of."
        ),
    )
    names: Literal["slug", "own"] = attrs.field(
        default="slug",
        metadata=doc(
            "What tools and prompts of upstreams are called here, in `/rpc` and in virtual servers created "
            "here: `slug` is ContextForge's way, `gateway-some-tool`; `own` is the upstream's own name. "
            "Both are understood."
        ),
    )
    server_auth: tuple[Ref[AuthScheme], ...] = attrs.field(
        default=(),
        metadata=doc("Auth schemes of virtual servers created here; by default those of `auth`."),
    )
    metrics: Ref[Observer] | None = attrs.field(
        default=None, metadata=doc("An observer `contextforge_metrics`; without it, `/metrics` says so.")
    )
    register_seconds: float = attrs.field(
        default=20.0,
        validator=positive,
        metadata=doc("Seconds a new gateway may take until its tools are listed, before it is answered."),
    )
    max_body: int = attrs.field(
        default=8 << 20, validator=at_least(1024), metadata=doc("Bytes a request's body may have.")
    )


class ContextForge:
    """Everything ContextForge has at its root and under `/v1`, and virtual servers by their ids."""

    def __init__(self, config: ContextForgeConfig, host: Host) -> None:
        from portico_contextforge.app import Api
        from portico_contextforge.doors import Doors

        self._doors = Doors(
            host.component(config.mcp), host.component(config.sse) if config.sse else None, host.wiring
        )
        self._api = Api(config, host)
        self._rpc = config.rpc

    def routes(self) -> Sequence[BaseRoute]:
        """The virtual servers' first: theirs are the longer paths. `/rpc` by itself: it can be one's only."""
        from starlette.routing import Route

        from portico_contextforge.doors import DoorRoute
        from portico_contextforge.operations import HEADS, RPC
        from portico_contextforge.table import HeadRoute

        rpc = [Route(RPC, self._api)] if self._rpc else []
        return [*rpc, DoorRoute(self._doors), HeadRoute(HEADS, self._api)]

    def directs(self) -> Mapping[str, Direct]:
        """MCP endpoints by id, for servers that hand requests in whole."""
        return self._doors


@asynccontextmanager
async def contextforge(config: ContextForgeConfig, host: Host) -> AsyncIterator[Transport]:
    """Create the transport.

    Raises:
        ConfigError: No auth scheme is named, though virtual servers do not let everybody in; or there is no
            such virtual server.
    """
    place = f"transports.{host.name}"
    closed = sorted(name for name, each in host.wiring.endpoints.items() if each.lists.private)
    if closed and not config.auth:
        text = f"expected an auth scheme, as the virtual server {closed[0]!r} asks for credentials"
        raise ConfigError([(f"{place}.auth", text)])
    if config.server not in host.wiring.endpoints:
        raise ConfigError([(f"{place}.server", f"no virtual server {config.server!r} is configured")])
    yield ContextForge(config, host)


CONTEXTFORGE = Factory(
    name="contextforge",
    summary="The REST dialect of ContextForge: /gateways, /tools, /servers, /rpc and the like.",
    config=ContextForgeConfig,
    create=contextforge,
    posture="hardened",
)


@attrs.frozen
class MetricsConfig:
    """Config of the `contextforge_metrics` observer."""


@asynccontextmanager
async def contextforge_metrics(config: MetricsConfig, host: Host) -> AsyncIterator[Observer]:
    """Create the observer."""
    from portico_contextforge.metrics import Metrics

    yield Metrics(host.clock)


METRICS = Factory(
    name="contextforge_metrics",
    summary="Counts calls of tools, resources, prompts and servers, for /metrics of `contextforge`.",
    config=MetricsConfig,
    create=contextforge_metrics,
    posture="hardened",
)


@hookimpl
def gateway_transports() -> Sequence[Factory[ContextForgeConfig, Transport]]:
    """Offer the transport."""
    return (CONTEXTFORGE,)


@hookimpl
def gateway_observers() -> Sequence[Factory[MetricsConfig, Observer]]:
    """Offer the observer."""
    return (METRICS,)
