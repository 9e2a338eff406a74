"""What Hypercorn's own protocols are given. Loaded only where the configuration can lead to them.

They bring h2, h11 and wsproto, two and a half megabytes that a listener of plain HTTP/1.1 has no use for.
"""

from __future__ import annotations

import asyncio

import attrs
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config

from portico_plugins.servers.hypercorn.connection import Connection, Stream
from portico_plugins.servers.hypercorn.dates import http_date
from portico_plugins.servers.hypercorn.head import LONGEST
from portico_plugins.servers.hypercorn.service import Bounds, Service


class Settings(Config):
    """Hypercorn's settings, with a Date header that is made once a second and not once an answer."""

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """What the server itself adds to each answer."""
        return [(b"date", http_date())]


@attrs.frozen(eq=False)
class Ordinary:
    """The ordinary lane of a server.

    Attributes:
        config: Hypercorn's settings.
        context: Hypercorn's; its `terminated` is set when the server stops.
    """

    config: Config
    context: WorkerContext

    @classmethod
    def within(cls, bounds: Bounds) -> Ordinary:
        """A lane with these limits."""
        settings = Settings()
        settings.accesslog = None  # the gateway logs calls itself
        settings.errorlog = None
        settings.keep_alive_max_requests = 2**31  # the default closes busy connections after 1,000 requests
        settings.h11_max_incomplete_size = LONGEST
        settings.websocket_ping_interval = bounds.ws_ping  # type is int in Hypercorn; it is slept on only
        settings.websocket_max_message_size = bounds.ws_message
        settings.h2_max_concurrent_streams = bounds.h2_max_concurrent_streams
        settings.h2_max_header_list_size = 32 * 1024
        return cls(settings, WorkerContext(None))

    def stream(self) -> Stream:
        """The socket's end of a new connection."""
        return Stream(asyncio.get_running_loop())

    def connection(self, service: Service, stream: Stream) -> Connection:
        """What serves a connected socket."""
        return Connection(service, self.config, self.context, stream)
