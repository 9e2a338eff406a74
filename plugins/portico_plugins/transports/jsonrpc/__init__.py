"""MCP as plain JSON-RPC: one request, one answer, no session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs

from portico.api import Direct, Factory, Host, Transport, hookimpl

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

gateway_api = (1, 0)


@attrs.frozen
class JsonRpcConfig:
    """Config of the `jsonrpc` transport: nothing."""


class JsonRpc:
    """One endpoint per virtual server: `/servers/{name}/rpc`, and `/rpc` for `default`."""

    def __init__(self, host: Host) -> None:
        from portico_plugins.transports.jsonrpc.app import RpcApp
        from portico_plugins.transports.over_http.endpoints import HttpEndpoints

        self.endpoints: HttpEndpoints[RpcApp] = HttpEndpoints(host.wiring.endpoints, RpcApp, ["/rpc"])

    def routes(self) -> Sequence[BaseRoute]:
        """The endpoints, those that come later included."""
        from portico_plugins.transports.over_http.live import live_routes

        return live_routes(self.endpoints)

    def directs(self) -> Mapping[str, Direct]:
        """The same endpoints, for servers that hand requests in whole."""
        return self.endpoints


@asynccontextmanager
async def jsonrpc(config: JsonRpcConfig, host: Host) -> AsyncIterator[Transport]:
    """Create the transport."""
    transport = JsonRpc(host)
    try:
        yield transport
    finally:
        transport.endpoints.close()


JSONRPC = Factory(
    name="jsonrpc",
    summary="MCP methods over plain JSON-RPC: one POST, one answer, no session.",
    config=JsonRpcConfig,
    create=jsonrpc,
    posture="hardened",
)


@hookimpl
def gateway_transports() -> Sequence[Factory[JsonRpcConfig, Transport]]:
    """Offer the transport."""
    return (JSONRPC,)
