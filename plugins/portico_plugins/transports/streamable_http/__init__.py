"""MCP over streamable HTTP, both eras on one path."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs

from portico.api import Endpoint, Factory, Host, Transport, Unread, hookimpl
from portico_plugins.fields import number, seconds
from portico_plugins.transports.over_http.transport import OverHttp

gateway_api = (1, 0)


@attrs.frozen
class StreamableHttpConfig:
    """Config of the `streamable_http` transport."""

    session_idle: float = seconds(1800.0, "Seconds after which an idle legacy session ends.")
    max_sessions: int = number(20_000, "Legacy sessions open at once, per virtual server.")
    max_sessions_each: int = number(
        10_000, "Legacy sessions of one principal open at once, per virtual server."
    )
    keep_alive: float = seconds(15.0, "Seconds of silence on an event stream before a comment is sent.")
    stream_after: float = seconds(
        0.1, "Seconds a legacy answer may take before an event stream is begun for it."
    )
    retry: int = number(1000, "Milliseconds legacy clients are told to wait before they reconnect.")
    unread_frames: int = number(
        64, "Frames of one stream that wait for a slow client; then its upstream is made to wait."
    )
    unread_bytes: int = number(1 << 20, "The same in bytes; a single frame may be longer.")
    unread_seconds: float = seconds(
        30.0, "Seconds a client may take nothing of a stream that waits for it before it is cut off."
    )


class StreamableHttp(OverHttp):
    """One MCP endpoint per virtual server: `/servers/{name}/mcp`, and `/mcp` for `default`."""

    def __init__(self, config: StreamableHttpConfig, host: Host) -> None:
        from portico_plugins.transports.over_http.endpoints import HttpEndpoints
        from portico_plugins.transports.streamable_http.app import McpApp
        from portico_plugins.transports.streamable_http.manner import Manner

        manner = Manner(
            config.keep_alive,
            config.stream_after,
            config.retry,
            Unread(config.unread_frames, config.unread_bytes),
            config.unread_seconds,
        )

        def make(endpoint: Endpoint) -> McpApp:
            return McpApp(
                endpoint,
                session_idle=config.session_idle,
                max_sessions=config.max_sessions,
                max_sessions_each=config.max_sessions_each,
                manner=manner,
            )

        self.endpoints = HttpEndpoints(host.wiring.endpoints, make, ["/mcp"])


@asynccontextmanager
async def streamable_http(config: StreamableHttpConfig, host: Host) -> AsyncIterator[Transport]:
    """Create the transport; while it runs, idle sessions are swept."""
    from portico_plugins.transports.over_http.endpoints import swept

    transport = StreamableHttp(config, host)
    async with swept(transport.endpoints, min(config.session_idle / 2, 30.0)):
        yield transport


STREAMABLE_HTTP = Factory(
    name="streamable_http",
    summary="MCP over streamable HTTP, 2024-11-05 to 2026-07-28.",
    config=StreamableHttpConfig,
    create=streamable_http,
    posture="hardened",
)


@hookimpl
def gateway_transports() -> Sequence[Factory[StreamableHttpConfig, Transport]]:
    """Offer the transport."""
    return (STREAMABLE_HTTP,)
