"""The connections to one origin: made when needed, kept for a while."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Final

from .answer import EVENTS, Answer, Unreachable
from .connection import Connection
from .dial import Dialer

_KEEPALIVE: Final = 4.5
"""Seconds: just under the five after which uvicorn, Hypercorn and Node close a quiet connection."""


class Connections:
    """Sends requests, each on a connection that carries no other meanwhile.

    Args:
        dialer: Makes connections.
        cap: The most bytes the body of an answer may have.
        streams: The media types of which an answer is a stream.
    """

    def __init__(self, dialer: Dialer, cap: int, streams: frozenset[bytes] = EVENTS) -> None:
        self._dialer = dialer
        self._cap = cap
        self._streams = streams
        self._loop = asyncio.get_running_loop()
        self._all: set[Connection] = set()
        self._free: deque[Connection] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, request: bytes) -> Answer:
        """Send a request; gives the answer when its head (of a stream), or all of it is there.

        A connection that the server has closed meanwhile is passed over before anything is written to it.
        Once something was, the request is not sent again: it may have been executed. Cancelling closes the
        connection.

        Raises:
            HttpError: There is no acceptable answer.
        """
        connection = self._kept() or await self._made()
        answer = Answer(self._cap, self._loop, self._streams)
        connection.send(request, answer)
        try:
            await answer.begun
        except asyncio.CancelledError:
            answer.close()
            raise
        return answer

    def _kept(self) -> Connection | None:
        """The connection used last of those that are free."""
        free = self._free
        while free:
            connection = free.pop()
            if connection.usable(self._loop.time()):
                return connection
        return None

    async def _made(self) -> Connection:
        connection = await self._dialer.dial(self._make)
        if connection.lost:
            raise Unreachable("connection_refused")
        self._all.add(connection)
        return connection

    def _make(self, sock: socket.socket) -> Connection:
        return Connection(sock, self._freed, self._all.discard)

    def _freed(self, connection: Connection) -> None:
        if self._closed:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        self._free.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_KEEPALIVE, self._sweep)

    def _sweep(self) -> None:
        """Close those that have been free for too long."""
        self._sweeper = None
        limit = self._loop.time() - _KEEPALIVE
        while self._free and (self._free[0].lost or self._free[0].idle_since <= limit):
            self._free.popleft().abort()
        if self._free:
            self._sweeper = self._loop.call_at(self._free[0].idle_since + _KEEPALIVE, self._sweep)

    def close(self) -> None:
        """Close every connection; what is on its way is broken off."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._free.clear()
        for connection in tuple(self._all):
            connection.abort()
