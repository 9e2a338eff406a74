"""One virtual server over WebSocket: the handshake, then messages in and out until either side ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

import attrs
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from portico.api import (
    FORWARDED,
    Challenge,
    Endpoint,
    Principal,
    Refused,
    Reply,
    error_frame,
    upgrade_required,
)
from portico_plugins.transports.over_http.endpoints import Endpoints
from portico_plugins.transports.over_http.entrance import Entrance, words_of
from portico_plugins.transports.over_http.fields import Fields, fields_of
from portico_plugins.transports.over_http.wire import Raw
from portico_plugins.transports.talking.lines import Line, Lines
from portico_plugins.transports.talking.outbox import Bounds
from portico_plugins.transports.talking.passed import Passed

END: Final = "/ws"
SUBPROTOCOL: Final = "mcp"

_GOING_AWAY: Final = 1001
_NOT_TEXT: Final = 1003
_UNWELCOME: Final = 1008
_TOO_BIG: Final = 1009
_BEHIND: Final = 1013


@attrs.frozen
class Manner:
    """How connections are served.

    Attributes:
        longest: Bytes of a message.
        bounds: How far behind a client may be.
        patience: Seconds it may take nothing.
    """

    longest: int
    bounds: Bounds
    patience: float


class WebSocketApp:
    """Serves one virtual server.

    Args:
        endpoint: The virtual server.
        most: Connections open at once.
        most_each: Connections of one principal open at once.
        manner: How they are served.
    """

    def __init__(self, endpoint: Endpoint, most: int, most_each: int, manner: Manner) -> None:
        self.endpoint = endpoint
        self.lines = Lines(endpoint, END, most, most_each, manner.bounds)
        self._manner = manner
        self._passed = Passed(endpoint, manner.bounds, manner.patience)
        self._entrance = Entrance(endpoint, self._passed_on)

    def sweep(self) -> None:
        """End connections whose clients are welcome no more."""
        self.lines.sweep()

    def close(self) -> None:
        """End every connection."""
        self.lines.close()

    def handle(self, scope: Scope, body: bytes, reply: Reply) -> None:
        """Serve one HTTP request whose body has come whole: other workers' only."""
        if FORWARDED in scope:
            self._entrance.enter(scope, body, reply)
        else:
            status, headers, words = upgrade_required(scope)
            reply.send(status, headers, words)

    def _passed_on(self, raw: Raw, fields: Fields, principal: Principal, reply: Reply) -> None:
        self._passed.serve(raw, fields, principal, reply)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        socket = WebSocket(scope, receive, send)
        if self.endpoint.closed:
            await _deny(socket, 404, b'{"error":"not found"}')
            return
        fields = fields_of(scope, self.endpoint.name)
        verdict = self.endpoint.recognise(fields.credentials)
        if verdict is None:
            verdict = await self.endpoint.authenticate(fields.credentials)
        if isinstance(verdict, Challenge):
            body, *headers = words_of(verdict)
            await _deny(socket, verdict.status, body, headers)
            return
        offered = scope.get("subprotocols") or []
        if offered and SUBPROTOCOL not in offered:
            await _deny(socket, 400, b'{"error":"expected Sec-WebSocket-Protocol: mcp, or none"}')
            return
        await self._open(socket, fields, verdict, SUBPROTOCOL if offered else None)

    async def _open(
        self, socket: WebSocket, fields: Fields, principal: Principal, spoken: str | None
    ) -> None:
        try:
            line = self.lines.open(principal, fields.credentials)
        except Refused as refusal:
            await _deny(socket, 503, error_frame(None, refusal.body()), [(b"retry-after", b"1")])
            return
        try:
            await socket.accept(spoken)
            reading = asyncio.create_task(self._read(socket, line, fields.headers))
            writing = asyncio.create_task(self._write(socket, line))
            try:
                await asyncio.wait([reading, writing], return_when=asyncio.FIRST_COMPLETED)
            finally:
                reading.cancel()
                writing.cancel()
                ends = await asyncio.gather(reading, writing, return_exceptions=True)
            for end in ends:
                if isinstance(end, int):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._manner.patience):
                            await socket.close(end, line.reason)
                    break
                if isinstance(end, Exception) and not isinstance(end, WebSocketDisconnect):
                    raise end
        finally:
            self.lines.gone(line)

    async def _read(self, socket: WebSocket, line: Line, headers: Mapping[str, str]) -> int | None:
        """Take messages until the client leaves, or sends what is none; gives the code to close with."""
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return None
            text = message.get("text")
            if text is None:
                return _NOT_TEXT
            data = text.encode()
            if len(data) > self._manner.longest:
                return _TOO_BIG
            if not line.reason:
                line.talk.receive(data, headers)
            await line.outbox.room()

    async def _write(self, socket: WebSocket, line: Line) -> int:
        """Send what comes until the conversation ends; gives the code to close with."""
        while (frames := await line.outbox.take()) is not None:
            for frame in frames:
                try:
                    async with asyncio.timeout(self._manner.patience):
                        await socket.send_text(frame.decode())
                except TimeoutError:
                    return _BEHIND
        if line.outbox.overrun:
            return _BEHIND
        return _UNWELCOME if line.reason == "unwelcome" else _GOING_AWAY


async def _deny(
    socket: WebSocket, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Answer the handshake in the words of HTTP."""
    named = {name.decode(): value.decode() for name, value in headers}
    await socket.receive()
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(Response(body, status, named, "application/json"))
    else:
        await socket.close(_UNWELCOME)


class _Doors:
    """What leads to the virtual server that a path names, or says that there is none."""

    def __init__(self, endpoints: Endpoints[WebSocketApp]) -> None:
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._endpoints.at(scope["path"])
        if app is None:
            await _deny(WebSocket(scope, receive, send), 404, b'{"error":"not found"}')
        else:
            await app(scope, receive, send)


def routes(endpoints: Endpoints[WebSocketApp]) -> Sequence[BaseRoute]:
    """The routes of the transport."""
    doors = _Doors(endpoints)
    return [WebSocketRoute(path, doors) for path in (END, f"/servers/{{server}}{END}")]
