"""One answer on the fast lane: its head, its framing, and whether the connection may be used after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from portico_plugins.servers.hypercorn.dates import http_date

if TYPE_CHECKING:
    from portico_plugins.servers.hypercorn.head import Head
    from portico_plugins.servers.hypercorn.requests import Requests

FAILED: Final = b'{"error": "internal error"}'
"""Of a 500."""
TOO_LARGE: Final = b'{"error":"body too large","expected":"a smaller body"}'
"""Of a 413, as the guard has it."""
TOO_SLOW: Final = b'{"error":"body took too long","expected":"the whole body within the time limit"}'
"""Of a 408."""

Headers = Sequence[tuple[bytes, bytes]]

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}
_BODILESS: Final = frozenset({204, 304})
_OURS: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_JSON: Final = (b"content-type", b"application/json")
_REFUSED: Final = (_JSON, (b"cache-control", b"no-store"))
_CLOSE: Final = b"connection: close\r\n"
_UPGRADE: Final = b"connection: upgrade\r\n"
_FRESH, _BEGUN, _OVER = 0, 1, 2
_CHUNKED: Final = -1
_TO_THE_END: Final = -2


class Opening(NamedTuple):
    """The status line and the fields of an answer.

    Attributes:
        lines: Their bytes, without the fields that concern the connection: those are written here, but for
            what goes with an `upgrade` field.
        length: What a `content-length` field among them declared; -1 for none.
        closes: Whether a `connection` field among them says `close`.
    """

    lines: bytes
    length: int
    closes: bool


def _opening(status: int, headers: Headers) -> Opening:
    lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
    length, closes = -1, False
    for name, value in headers:
        if name not in _OURS:
            lines.append(b"%s: %s\r\n" % (name, value))
        elif name == b"content-length":
            length = int(value)
        elif name == b"connection":
            closes = closes or b"close" in value.lower()
            if value == b"upgrade":
                lines.append(_UPGRADE)
    head = b"".join(lines)
    if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or b"\0" in head:
        raise ValueError("a header field with a line break or NUL in it")
    return Opening(head, length, closes)


_repeated: Final = lru_cache(maxsize=64)(_opening)


def opening(status: int, headers: Headers) -> Opening:
    """How an answer begins; answers that come with the same tuple of fields begin in the same way.

    Raises:
        ValueError: A field would break out of its line.
    """
    return _repeated(status, headers) if type(headers) is tuple else _opening(status, headers)


def dated(lines: bytes, framing: bytes) -> bytes:
    """A complete head: the opening's lines, further complete ones, the date, and the empty line."""
    return b"%s%sdate: %s\r\n\r\n" % (lines, framing, http_date())


class Answer:
    """The way back of one request. Implements `Reply`; header names are in lower case.

    Args:
        connection: What it is written to.
        head: The request's.
    """

    __slots__ = ("_bare", "_connection", "_left", "_modern", "_phase", "keep", "on_gone")

    def __init__(self, connection: Requests, head: Head) -> None:
        self._connection = connection
        self._bare = head.method == "HEAD"
        self._modern = head.version == "1.1"
        self._phase = _FRESH
        self._left = 0  # to write of a declared length, or how the length is told
        self.keep = head.keep_alive
        self.on_gone: Callable[[], object] | None = None

    @property
    def begun(self) -> bool:
        """Whether something of it has been written."""
        return self._phase != _FRESH

    @property
    def over(self) -> bool:
        """Whether it has ended, or has no one to go to any more."""
        return self._phase == _OVER

    def send(self, status: int, headers: Headers, *body: bytes) -> None:
        """Send a whole answer; adds `content-length`."""
        if self._phase != _FRESH:
            return
        lines, _, closes = opening(status, headers)
        framing = b"content-length: %d\r\n" % sum(map(len, body)) if status not in _BODILESS else b""
        if closes or not self._reusable():
            self.keep = False
            framing += _CLOSE
        head = dated(lines, framing)
        self._phase = _OVER
        if self._bare or status in _BODILESS:
            self._connection.write(head)
        else:
            self._connection.write_all((head, *body))
        self._connection.answered(self)

    def start(self, status: int, headers: Headers) -> None:
        """Send the head of an answer; its length is what a `content-length` field declares, if any does."""
        if self._phase != _FRESH:
            return
        lines, declared, closes = opening(status, headers)
        framing = b""
        if status in _BODILESS:
            self._left = 0
            self._bare = True
        elif declared >= 0:
            self._left = declared
            framing = b"content-length: %d\r\n" % self._left
        elif self._modern:
            self._left = _CHUNKED
            framing = b"transfer-encoding: chunked\r\n"
        else:
            self._left = _TO_THE_END
            self.keep = False
        if closes or not self._reusable():
            self.keep = False
            framing += _CLOSE
        head = dated(lines, framing)
        self._phase = _BEGUN
        self._connection.write(head)

    def write(self, data: bytes) -> None:
        """Send a piece of it."""
        if self._phase != _BEGUN or self._bare or not data:
            return
        left = self._left
        if left == _CHUNKED:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        elif left >= 0:
            if len(data) > left:
                self._connection.broken(self, "longer than its content-length")
                return
            self._left = left - len(data)
        self._connection.write(data)

    def end(self) -> None:
        """It is complete."""
        if self._phase != _BEGUN:
            return
        if self._left > 0 and not self._bare:
            self._connection.broken(self, "shorter than its content-length")
            return
        self._phase = _OVER
        if self._left == _CHUNKED and not self._bare:
            self._connection.write(b"0\r\n\r\n")
        self._connection.answered(self)

    def cut(self) -> None:
        """End it with its connection; who answers is told that the client has gone."""
        if self._phase != _OVER:
            self._connection.transport.abort()

    @property
    def full(self) -> bool:
        """Whether the client is slower than what has been written."""
        return self._phase != _OVER and self._connection.full

    async def room(self) -> None:
        """Return when the client has caught up, or has gone."""
        while self.full:
            await self._connection.room()

    def refuse(self, status: int, body: bytes = b"") -> None:
        """Answer in place of who would have, if it is not too late, and close.

        Args:
            status: Of the refusal.
            body: JSON, or nothing.
        """
        self.keep = False
        if self._phase == _FRESH:
            self.send(status, _REFUSED if body else (), body)
        elif self._phase == _BEGUN:
            self._connection.break_off(self)

    def fail(self) -> None:
        """Who answers has failed: a short 500, if it is not too late for one."""
        if self._phase == _FRESH:
            self.send(500, (_JSON,), FAILED)
        elif self._phase == _BEGUN:
            self._connection.break_off(self)

    @property
    def framed(self) -> bool:
        """Whether an end that comes too early can be told from the end."""
        return self._left != _TO_THE_END

    def leave(self) -> None:
        """The client has gone: nothing more is written, and who answers is told."""
        if self._phase != _OVER:
            self._phase = _OVER
            if self.on_gone is not None:
                self.on_gone()

    def _reusable(self) -> bool:
        if self.keep and self._connection.draining:
            self.keep = False
        return self.keep
