"""Tunnels: an MCP server behind a firewall dials out, and is served as if it were here.

An upstream and a transport in one plugin, for a tunnel is both: what comes in by the transport is what the
upstream reaches its server by. The third, `tunnel_client`, is the other end: `gateway tunnel` runs it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from portico.api import Factory, Host, Later, Transport, Upstream, hookimpl

if TYPE_CHECKING:
    from pathlib import Path

    from .config import DialConfig, EntranceConfig, TunnelConfig

gateway_api = (1, 0)


def tunnel_settings() -> type[TunnelConfig]:
    """The keys of its table, imported where there is one."""
    from .config import TunnelConfig

    return TunnelConfig


def entrance_settings() -> type[EntranceConfig]:
    """The keys of its table, imported where there is one."""
    from .config import EntranceConfig

    return EntranceConfig


def client_settings() -> type[DialConfig]:
    """The keys of its table, imported where there is one."""
    from .config import DialConfig

    return DialConfig


@asynccontextmanager
async def tunnel(config: TunnelConfig, host: Host) -> AsyncIterator[Upstream]:
    """Start an upstream that is dialled in from."""
    from .upstream import TunnelUpstream  # not before it is needed

    upstream = TunnelUpstream(config, host)
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()


@asynccontextmanager
async def tunnel_entrance(config: EntranceConfig, host: Host) -> AsyncIterator[Transport]:
    """Create the transport; while it runs, it is looked whether the gateway is about to end."""
    import asyncio

    from .entrance import Entrance

    made = Entrance(config, host)
    watching = asyncio.create_task(made.watch())
    try:
        yield made
    finally:
        watching.cancel()


def check_client(config: DialConfig, base: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with files that are there."""
    from portico_plugins.pem import pem

    yield from pem(config.ca_file)


@asynccontextmanager
async def tunnel_client(config: DialConfig, host: Host) -> AsyncIterator[Transport]:
    """Create the transport; the kernel runs it."""
    from .client import TunnelClient

    yield TunnelClient(config, host)


TUNNEL = Factory(
    name="tunnel",
    summary="An MCP server behind a firewall that dials in, with `gateway tunnel`.",
    config=Later(tunnel_settings),
    create=tunnel,
    posture="hardened",
)

ENTRANCE = Factory(
    name="tunnel",
    summary="Where upstreams of kind `tunnel` dial in, over WebSocket.",
    config=Later(entrance_settings),
    create=tunnel_entrance,
    posture="hardened",
)

TUNNEL_CLIENT = Factory(
    name="tunnel_client",
    summary="A virtual server offered to another gateway, by dialling out to it: what `gateway tunnel` runs.",
    config=Later(client_settings),
    create=tunnel_client,
    posture="hardened",
    check=check_client,
)


@hookimpl
def gateway_upstreams() -> Sequence[Factory[Any, Upstream]]:
    """Offer the `tunnel` kind."""
    return (TUNNEL,)


@hookimpl
def gateway_transports() -> Sequence[Factory[Any, Transport]]:
    """Offer both ends."""
    return (ENTRANCE, TUNNEL_CLIENT)
