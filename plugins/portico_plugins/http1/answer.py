"""One HTTP answer as it comes in: an event stream piece by piece, anything else whole."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Final, Protocol

from portico.api import AddressNotAllowed

from .coding import Garbled, Unpacker

EVENTS: Final = frozenset({b"text/event-stream"})
_MOST_UNREAD: Final = 256 * 1024
"""Bytes of a stream that may wait for their reader before the server is made to wait."""
_MOST_DISCARDED: Final = 64 * 1024
_FAREWELL: Final = 1.0
"""Seconds a stream may take to end after its answer, if its connection is to be kept."""
_REASONS: Final = (
    (ssl.SSLError, "tls_failed"),
    (TimeoutError, "connect_timeout"),
    (socket.gaierror, "name_not_found"),
)
"""Why there is no connection, by the error there was."""


class HttpError(Exception):
    """There is no answer, or only a part of one."""


class Unreachable(HttpError):
    """No connection could be made, so nothing was sent.

    Attributes:
        reason: A stable word.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @classmethod
    def by(cls, error: Exception) -> Unreachable:
        """Why, from what the attempt ended with."""
        if isinstance(error, AddressNotAllowed):
            return cls(f"address_not_allowed ({error.reason})")
        for kind, reason in _REASONS:
            if isinstance(error, kind):
                return cls(reason)
        return cls("connection_refused")


class Broken(HttpError):
    """The connection ended too early; the request may have been executed.

    Attributes:
        begun: Whether the head of the answer had come.
        reason: A stable word.
    """

    def __init__(self, begun: bool, reason: str = "connection_lost") -> None:
        super().__init__("the connection ended")
        self.begun = begun
        self.reason = reason


class Unusable(HttpError):
    """What came is no acceptable HTTP answer.

    Attributes:
        reason: A stable word.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Source(Protocol):
    """The connection an answer comes from, as far as the answer needs it."""

    def pause(self) -> None:
        """Receive nothing for now."""
        ...

    def resume(self) -> None:
        """Receive again."""
        ...

    def abort(self) -> None:
        """Close it at once."""
        ...


class Answer:
    """One answer.

    Args:
        cap: The most bytes the body may have, unless it is a stream.
        loop: The running loop.
        streams: The media types that are given piece by piece.

    Attributes:
        begun: Done when the head of a stream, or the whole of any other answer, is there; fails with
            `HttpError`.
        status: The HTTP status.
        headers: The few headers that matter, names in lower case.
        stream: Whether it is a stream, of events for instance.
        body: The body of an answer that is no stream.
        cap: The most bytes the body may have, unless it is a stream.
        streams: The media types that are given piece by piece.
        source: Where it comes from; None once it is complete or given up.
    """

    __slots__ = (
        "_discarding", "_ended", "_error", "_farewell", "_loop", "_paused", "_pieces", "_size",
        "_unpacker", "_waiter", "begun", "body", "cap", "headers", "source", "status", "stream",
        "streams",
    )  # fmt: skip

    def __init__(self, cap: int, loop: asyncio.AbstractEventLoop, streams: frozenset[bytes] = EVENTS) -> None:
        self.begun: asyncio.Future[None] = loop.create_future()
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.stream = False
        self.body = b""
        self.source: Source | None = None
        self.cap = cap
        self.streams = streams
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0
        self._ended = False
        self._discarding = False
        self._paused = False
        self._unpacker: Unpacker | None = None
        self._error: HttpError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._farewell: asyncio.TimerHandle | None = None

    # --- for the connection ----------------------------------------------------------------------

    def head(
        self, status: int, headers: dict[bytes, bytes], stream: bool, unpacker: Unpacker | None = None
    ) -> None:
        """The head has come, with what unpacks the body if it is compressed."""
        self._unpacker = unpacker
        self.status = status
        self.headers = headers
        self.stream = stream
        if stream and not self.begun.done():
            self.begun.set_result(None)

    def piece(self, data: bytes) -> bool:
        """A piece of the body has come; False when it is too much.

        Raises:
            Garbled: It cannot be unpacked.
        """
        if self._unpacker is not None and not self.stream:
            return self._unpacked(data, self._unpacker)
        self._size += len(data)
        if self._discarding:
            return self._size <= _MOST_DISCARDED
        self._pieces.append(data)
        if not self.stream:
            return self._size <= self.cap
        self._wake()
        if self._size > _MOST_UNREAD and not self._paused and self.source is not None:
            self._paused = True
            self.source.pause()
        return True

    def _unpacked(self, data: bytes, unpacker: Unpacker) -> bool:
        for piece in unpacker.feed(data):
            self._size += len(piece)
            if self._size > self.cap:
                return False
            self._pieces.append(piece)
        return True

    def end(self) -> None:
        """It is complete."""
        if self._paused and self.source is not None:
            self.source.resume()  # its next answer is another's to wait for
        self.source = None
        self._ended = True
        if self.stream:
            self._over()
            return
        if self._unpacker is not None and not self._unpacker.finished:
            self.fail(Unusable("bad_compression"))
            return
        pieces = self._pieces
        self.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not self.begun.done():
            self.begun.set_result(None)

    def fail(self, error: HttpError) -> None:
        """It will not be complete."""
        self.source = None
        self._error = error
        if not self.begun.done():
            self.begun.set_exception(error)
            self.begun.exception()  # retrieved, whether or not anybody waits
        self._over()

    def _over(self) -> None:
        if self._farewell is not None:
            self._farewell.cancel()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- for whoever sent the request --------------------------------------------------------------

    async def pieces(self) -> AsyncIterator[bytes]:
        """What comes of a stream, until it ends.

        Raises:
            HttpError: It was cut off, or cannot be unpacked.
        """
        unpacker = self._unpacker
        while True:
            if self._pieces:
                data, self._pieces, self._size = b"".join(self._pieces), [], 0
                if self._paused and self.source is not None:
                    self._paused = False
                    self.source.resume()
                if unpacker is None:
                    yield data
                    continue
                try:  # only now, so that no more of it is in memory than its reader has asked for
                    for piece in unpacker.feed(data):
                        yield piece
                except Garbled:
                    self.close()
                    raise Unusable("bad_compression") from None
            elif self._error is not None:
                raise self._error
            elif self._ended:
                if unpacker is not None and not unpacker.finished:
                    raise Unusable("bad_compression")
                return
            else:
                self._waiter = self._loop.create_future()
                await self._waiter

    def finish(self) -> None:
        """Nobody wants the rest of a stream: keep the connection if it ends soon, as it should."""
        if self.source is None:
            return
        self._discarding, self._pieces, self._size = True, [], 0
        if self._paused:
            self.source.resume()
        self._farewell = self._loop.call_later(_FAREWELL, self.close)

    def close(self) -> None:
        """Give it up, and the connection if it is not complete; closing twice is closing once."""
        source = self.source
        if source is not None:
            self.source = None
            source.abort()
