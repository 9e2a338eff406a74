"""MCP over HTTP with server-sent events, as 2024-11-05 has it: a stream, and a path to post messages to."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs

from portico.api import Direct, Endpoint, Factory, Host, Transport, Unread, at_least, doc, hookimpl, positive

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

gateway_api = (1, 0)


def _url(instance: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    if value and not re.fullmatch(r"https?://[^\s/{}?#]+(/[^\s{}?#]*)?", value):
        raise ValueError(f"expected a URL such as https://gateway.example.com, got {value!r}")


@attrs.frozen
class SseConfig:
    """Config of the `sse` transport."""

    url: str = attrs.field(
        default="",
        validator=_url,
        metadata=doc(
            "Where clients reach the gateway, if a proxy in front changes its paths. By default clients are "
            "told a path only, and keep the host they have connected to.",
            example="https://gateway.example.com/mcp-gateway",
        ),
    )
    keep_alive: float = attrs.field(
        default=15.0,
        validator=positive,
        metadata=doc("Seconds of silence on a stream before a comment is sent."),
    )
    retry: int = attrs.field(
        default=1000,
        validator=at_least(1),
        metadata=doc("Milliseconds clients are told to wait before they connect again, for a new session."),
    )
    max_sessions: int = attrs.field(
        default=20_000,
        validator=at_least(1),
        metadata=doc("Streams open at once, per virtual server."),
    )
    max_sessions_each: int = attrs.field(
        default=10_000,
        validator=at_least(1),
        metadata=doc("Streams of one principal open at once, per virtual server."),
    )
    unread_frames: int = attrs.field(
        default=64,
        validator=at_least(1),
        metadata=doc("Frames that wait for a slow client; then its upstream and what it posts have to wait."),
    )
    unread_bytes: int = attrs.field(
        default=1 << 20,
        validator=at_least(1),
        metadata=doc("The same in bytes; a single frame may be longer."),
    )
    unread_seconds: float = attrs.field(
        default=30.0,
        validator=positive,
        metadata=doc("Seconds a client may take nothing of a stream that waits for it before it is cut off."),
    )


class Sse:
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

        self.endpoints: HttpEndpoints[SseApp] = HttpEndpoints(host.wiring.endpoints, make, [STREAM, MESSAGES])

    def routes(self) -> Sequence[BaseRoute]:
        """The paths, those of servers that come later included."""
        from portico_plugins.transports.over_http.live import live_routes

        return live_routes(self.endpoints)

    def directs(self) -> Mapping[str, Direct]:
        """The same, for servers that hand requests in whole, and for the other workers."""
        return self.endpoints


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
