"""WebSocket on connections that began as HTTP/1.1, by Hypercorn; here is what it does not see to itself.

It pings, but does not mind whether anybody is there to answer. Of frames that are none it tells nobody, of
messages that are too long only the client.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

import h11
from hypercorn.protocol.events import Body, Data, Event, Request, StreamClosed
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.protocol.ws_stream import ASGIWebsocketState, FrameTooLargeError, WSStream
from hypercorn.typing import ASGISendEvent
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping
from wsproto.frame_protocol import CloseReason


class WatchedSocket(WSStream):
    """A WebSocket whose client is cut off when it stays silent: the answer to a ping is something, too.

    Args:
        ending: Called when the application has said its last.
        arguments: Hypercorn's.
    """

    def __init__(self, ending: Callable[[], None], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._ending = ending
        self._over = asyncio.Event()
        self._heard = True
        self._taking = False  # the application has to catch up: nothing is read meanwhile

    async def handle(self, event: Event) -> None:
        """Take what has come."""
        if isinstance(event, StreamClosed):
            self._over.set()
            await super().handle(event)
            return
        if isinstance(event, Body | Data) and not self.handshake.accepted:
            await self._too_early()
            return
        self._heard = self._taking = True
        try:
            await super().handle(event)
        finally:
            self._taking = False
        if self.closed and isinstance(
            event, Request
        ):  # refused: Hypercorn would wait for the client to leave
            await self.send(StreamClosed(stream_id=self.stream_id))

    async def app_send(self, message: ASGISendEvent | None) -> None:
        """Send what the application says; None when it has returned."""
        if message is None or message["type"] == "websocket.close":
            self._ending()
        await super().app_send(message)

    async def _too_early(self) -> None:
        """A client has gone on before it was let in (RFC 6455, 4.1): nothing of that is looked at, ever."""
        if self.closed:
            return
        if self.state is ASGIWebsocketState.HANDSHAKE:
            self.state = ASGIWebsocketState.HTTPCLOSED
            await self._send_error_response(400)
        await self.send(StreamClosed(stream_id=self.stream_id))

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            if isinstance(event, Message):
                try:
                    self.buffer.extend(event)
                except FrameTooLargeError:
                    await self._end(CloseConnection(CloseReason.MESSAGE_TOO_BIG))
                    return
                if event.message_finished and self.app_put is not None:
                    await self.app_put(self.buffer.to_message())
                    self.buffer.clear()
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                # The client's, the answer to ours, or what wsproto makes of frames that are none.
                theirs = self.connection.state is ConnectionState.REMOTE_CLOSING
                await self._end(event.response() if theirs else event)
                return

    async def _end(self, last: CloseConnection) -> None:
        if self.connection.state is not ConnectionState.CLOSED:
            await self._send_wsproto_event(last)
        await self.send(StreamClosed(stream_id=self.stream_id))

    async def _send_pings(self) -> None:
        while self._heard or self._taking:
            self._heard = False
            await self._send_wsproto_event(Ping())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.config.websocket_ping_interval):
                    await self._over.wait()
                    return
        await self.send(StreamClosed(stream_id=self.stream_id))


class Upgradable(H11Protocol):
    """Hypercorn's HTTP/1.1, which `strict` has left the `upgrade` field of WebSocket handshakes only.

    Attributes:
        ending: Called when the application has said its last on a WebSocket.
    """

    ending: Callable[[], None]

    async def _create_stream(self, request: h11.Request) -> None:
        if not any(name == b"upgrade" for name, _ in request.headers):
            await super()._create_stream(request)
            return
        self.stream = WatchedSocket(
            self.ending,
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
