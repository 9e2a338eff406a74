"""MCP as plain JSON-RPC: one request, one answer, no session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs

from portico.api import Factory, Host, Transport, hookimpl
from portico_plugins.transports.over_http.transport import OverHttp

gateway_api = (1, 0)


@attrs.frozen
class JsonRpcConfig:
    """Config of the `jsonrpc` transport: nothing."""


class JsonRpc(OverHttp):
    """One endpoint per virtual server: `/servers/{name}/rpc`, and `/rpc` for `default`."""

    def __init__(self, host: Host) -> None:
        from portico_plugins.transports.jsonrpc.app import RpcApp
        from portico_plugins.transports.over_http.endpoints import HttpEndpoints

        self.endpoints = HttpEndpoints(host.wiring.endpoints, RpcApp, ["/rpc"])


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
