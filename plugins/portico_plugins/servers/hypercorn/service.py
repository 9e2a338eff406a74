"""What the connections of a server share: limits, settings, the application."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any

import attrs
from starlette.types import ASGIApp

from portico.api import Admit, Log
from portico_plugins.servers.hypercorn.known import Memory

if TYPE_CHECKING:
    from portico_plugins.servers.hypercorn.ordinary import Ordinary


@attrs.frozen
class Bounds:
    """The limits of a listener; times in seconds.

    Attributes:
        max_connections: Open connections in all.
        max_connections_per_ip: Open connections of one client.
        backlog: Connections the kernel holds until they are accepted.
        keep_alive: How long a connection may be idle between requests.
        header_timeout: For a TLS handshake, and for a request head to arrive.
        write_timeout: How long a client may take nothing of an answer.
        linger: How long a client that was answered early may go on sending, and one whose WebSocket has been
            closed take nothing of what is left.
        stop_timeout: How long answers may go on after the stop.
        h2: Whether HTTP/2 is offered over TLS.
        h2c: Whether HTTP/2 is spoken without TLS.
        ws_ping: Seconds between pings on a WebSocket.
        ws_message: Longest message taken on one, in bytes.
        h2_max_concurrent_streams: Requests at once on one HTTP/2 connection.
        fast_lane: Whether HTTP/1.1 is served without Hypercorn.
    """

    max_connections: int
    max_connections_per_ip: int
    backlog: int
    keep_alive: float
    header_timeout: float
    write_timeout: float
    linger: float
    stop_timeout: float
    h2: bool
    h2c: bool
    ws_ping: float
    ws_message: int
    h2_max_concurrent_streams: int
    fast_lane: bool


@attrs.define(eq=False)
class Service:
    """What all connections of a server share.

    Attributes:
        app: The application.
        bounds: Our limits.
        lane: Hypercorn's protocols; None until there is a connection that needs them.
        stopping: Set when the server stops.
        draining: Set when answers are to carry `Connection: close`.
        log: Where failures go.
        variables: The context that calls begin with; none sees what another has set.
        admit: Says which requests may be answered without ASGI.
        memory: Which connections remember what it said.
    """

    app: ASGIApp
    bounds: Bounds
    lane: Ordinary | None
    stopping: asyncio.Event
    draining: asyncio.Event
    log: Log
    variables: Context
    admit: Admit | None = None
    memory: Memory = attrs.field(factory=Memory)


def address(name: Any) -> tuple[str, int] | None:
    """Host and port of a socket's name, or None for a Unix socket."""
    return (name[0], name[1]) if isinstance(name, tuple) else None
