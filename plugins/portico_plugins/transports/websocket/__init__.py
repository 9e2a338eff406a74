"""MCP over WebSocket, both eras: every message is a text frame."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs

from portico.api import Endpoint, Factory, Host, Transport, Unread, hookimpl
from portico_plugins.fields import number, seconds
from portico_plugins.transports.over_http.transport import OverHttp

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

gateway_api = (1, 0)


@attrs.frozen
class WebSocketConfig:
    """Config of the `websocket` transport."""

    max_message: int = number(
        4 * 1024 * 1024,
        "Longest message taken, in bytes. The listener has a limit, too (`max_ws_message`).",
        least=1024,
    )
    max_sessions: int = number(20_000, "Connections open at once, per virtual server.")
    max_sessions_each: int = number(10_000, "Connections of one principal open at once, per virtual server.")
    unread_frames: int = number(
        64, "Messages that wait for a slow client; then its upstream and what it sends wait."
    )
    unread_bytes: int = number(1 << 20, "The same in bytes; a single message may be longer.")
    unread_seconds: float = seconds(
        30.0, "Seconds a client may take nothing of what it was sent before it is cut off."
    )


class WebSockets(OverHttp):
    """One path per virtual server: `/servers/{name}/ws`, and `/ws` for `default`."""

    def __init__(self, config: WebSocketConfig, host: Host) -> None:
        from portico_plugins.transports.over_http.endpoints import HttpEndpoints
        from portico_plugins.transports.talking.outbox import Bounds
        from portico_plugins.transports.websocket.app import END, Manner, WebSocketApp

        bounds = Bounds(Unread(config.unread_frames, config.unread_bytes))
        manner = Manner(config.max_message, bounds, config.unread_seconds)

        def make(endpoint: Endpoint) -> WebSocketApp:
            return WebSocketApp(endpoint, config.max_sessions, config.max_sessions_each, manner)

        self.endpoints = HttpEndpoints(host.wiring.endpoints, make, [END])

    def routes(self) -> Sequence[BaseRoute]:
        """The paths; whether a virtual server is up is looked at when somebody comes."""
        from portico_plugins.transports.websocket.app import routes

        return routes(self.endpoints)


@asynccontextmanager
async def websocket(config: WebSocketConfig, host: Host) -> AsyncIterator[Transport]:
    """Create the transport; while it runs, it is looked after whose clients are welcome."""
    from portico_plugins.transports.over_http.endpoints import swept
    from portico_plugins.transports.talking.lines import RECHECK

    transport = WebSockets(config, host)
    async with swept(transport.endpoints, RECHECK):
        yield transport


WEBSOCKET = Factory(
    name="websocket",
    summary="MCP messages as WebSocket text frames, 2024-11-05 to 2026-07-28.",
    config=WebSocketConfig,
    create=websocket,
    posture="hardened",
)


@hookimpl
def gateway_transports() -> Sequence[Factory[WebSocketConfig, Transport]]:
    """Offer the transport."""
    return (WEBSOCKET,)
