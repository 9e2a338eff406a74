"""MCP over HTTP with server-sent events, as 2024-11-05 has it: a stream, and a path to post messages to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs

from portico.api import Endpoint, Factory, Host, Transport, Unread, hookimpl
from portico_plugins.fields import number, public_url, seconds
from portico_plugins.transports.over_http.transport import OverHttp

gateway_api = (1, 0)


@attrs.frozen
class SseConfig:
    """Config of the `sse` transport."""

    url: str = public_url(
        "Where clients reach the gateway, if a proxy in front changes its paths. By default clients are "
        "told a path only, and keep the host they have connected to.",
        example="https://gateway.example.com/mcp-gateway",
    )
    keep_alive: float = seconds(15.0, "Seconds of silence on a stream before a comment is sent.")
    retry: int = number(
        1000, "Milliseconds clients are told to wait before they connect again, for a new session."
    )
    max_sessions: int = number(20_000, "Streams open at once, per virtual server.")
    max_sessions_each: int = number(10_000, "Streams of one principal open at once, per virtual server.")
    unread_frames: int = number(
        64, "Frames that wait for a slow client; then its upstream and what it posts have to wait."
    )
    unread_bytes: int = number(1 << 20, "The same in bytes; a single frame may be longer.")
    unread_seconds: float = seconds(
        30.0, "Seconds a client may take nothing of a stream that waits for it before it is cut off."
    )


class Sse(OverHttp):
    """Two paths per virtual server: `/servers/{name}/sse` and `.../messages`; `/sse` is that of `default`."""

    def __init__(self, config: SseConfig, host: Host) -> None:
        from portico_plugins.transports.over_http.endpoints import HttpEndpoints
        from portico_plugins.transports.sse.app import MESSAGES, STREAM, Manner, SseApp
        from portico_plugins.transports.talking.outbox import Bounds

        manner = Manner(
            config.url.rstrip("/"),
            config.keep_alive,
            config.retry,
            Bounds(Unread(config.unread_frames, config.unread_bytes)),
            config.unread_seconds,
        )

        def make(endpoint: Endpoint) -> SseApp:
            return SseApp(endpoint, config.max_sessions, config.max_sessions_each, manner)

        self.endpoints = HttpEndpoints(host.wiring.endpoints, make, [STREAM, MESSAGES])


@asynccontextmanager
async def sse(config: SseConfig, host: Host) -> AsyncIterator[Transport]:
    """Create the transport; while it runs, it is looked after whose clients are welcome."""
    from portico_plugins.transports.over_http.endpoints import swept
    from portico_plugins.transports.talking.lines import RECHECK

    transport = Sse(config, host)
    async with swept(transport.endpoints, RECHECK):
        yield transport


SSE = Factory(
    name="sse",
    summary="MCP over HTTP with server-sent events (2024-11-05), for clients that know nothing newer.",
    config=SseConfig,
    create=sse,
    posture="hardened",
)


@hookimpl
def gateway_transports() -> Sequence[Factory[SseConfig, Transport]]:
    """Offer the transport."""
    return (SSE,)
