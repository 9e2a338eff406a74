"""WebSocket on connections that began as HTTP/1.1, by Hypercorn; here is what it does not see to itself.

It pings, but does not mind whether anybody is there to answer, and fails on frames that are none.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

import h11
from hypercorn.protocol.events import Event, Request, StreamClosed
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Ping
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import RemoteProtocolError


class WatchedSocket(WSStream):
    """A WebSocket whose client is cut off when it stays silent: the answer to a ping is something, too."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._over = asyncio.Event()
        self._heard = True

    async def handle(self, event: Event) -> None:
        """Take what has come."""
        self._heard = True
        if isinstance(event, StreamClosed):
            self._over.set()
        try:
            await super().handle(event)
        except RemoteProtocolError as error:
            await self._send_wsproto_event(error.event_hint or CloseConnection(CloseReason.PROTOCOL_ERROR))
        if self.state is ASGIWebsocketState.CONNECTED and self._refused:
            await self.send(StreamClosed(stream_id=self.stream_id))

    @property
    def _refused(self) -> bool:
        """Whether the client has been told that it has sent what is not taken; more of it is not read."""
        return not self.closed and self.connection.state is ConnectionState.LOCAL_CLOSING

    async def _send_pings(self) -> None:
        while self._heard:
            self._heard = False
            await self._send_wsproto_event(Ping())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.config.websocket_ping_interval):
                    await self._over.wait()
                    return
        await self.send(StreamClosed(stream_id=self.stream_id))


class Upgradable(H11Protocol):
    """Hypercorn's HTTP/1.1, which `strict` has left the `upgrade` field of WebSocket handshakes only."""

    async def _create_stream(self, request: h11.Request) -> None:
        if not any(name == b"upgrade" for name, _ in request.headers):
            await super()._create_stream(request)
            return
        self.stream = WatchedSocket(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        self.connection = H11WSConnection(cast("h11.Connection", self.connection))
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii"),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
