"""What goes over a tunnel: channels of MCP messages on one WebSocket, in binary frames.

A frame is one byte that says what it is, four bytes of channel number (big endian), and the rest. The ideas
are yamux's (https://github.com/hashicorp/yamux/blob/master/spec.md): a credit for each channel, so that one
whose reader is slow stops its own writer and nobody else, pings, and a word before going away. Messages are
cut into pieces, so that a long one does not stand in the way of others.
"""

from __future__ import annotations

import enum
import struct
from typing import Final, Protocol

from portico.api import PorticoError

PROTOCOL: Final = "portico-tunnel.v1"
"""The WebSocket subprotocol."""

PIECE: Final = 32 * 1024
"""Bytes of a message in one frame, at most."""

WINDOW: Final = 1024 * 1024
"""Bytes that may be under way on one channel before its reader has taken any."""

LONGEST: Final = PIECE + 5
"""Bytes of a frame, at most."""

_HEAD: Final = struct.Struct(">BI")
_CREDIT: Final = struct.Struct(">I")


class Kind(enum.IntEnum):
    """What a frame is.

    The gateway opens channels: `OPEN` carries a JSON object. `MORE` is a piece of a message, `LAST` its last
    one. `CREDIT` gives a number of bytes back. `CLOSE` ends a channel and says why. `LEAVE` asks for channels
    to be opened elsewhere from now on.
    """

    OPEN = 1
    MORE = 2
    LAST = 3
    CREDIT = 4
    CLOSE = 5
    PING = 6
    PONG = 7
    LEAVE = 8


class Code(enum.IntEnum):
    """What a tunnel's WebSocket is closed with (RFC 6455 7.4): its own codes are of the private range."""

    DONE = 1000
    AWAY = 1001
    BROKEN = 1002
    REFUSED = 1008
    TOO_BIG = 1009
    REPLACED = 4001
    SECRET_REMOVED = 4002
    UPSTREAM_REMOVED = 4003


class Violation(PorticoError):
    """The other side does what the protocol does not have.

    Args:
        what: In a word.
        code: What to close with.
    """

    def __init__(self, what: str, code: Code = Code.BROKEN) -> None:
        super().__init__(what)
        self.code = code


class Socket(Protocol):
    """A WebSocket of either side."""

    async def send(self, data: bytes) -> None:
        """Send a binary message; waits while the other side is slow.

        Raises:
            OSError: It is closed.
        """
        ...

    async def receive(self) -> bytes | None:
        """The next binary message; None when it is closed.

        Raises:
            Violation: What came is none, or longer than `LONGEST`.
        """
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close it."""
        ...


def frame(kind: Kind, channel: int = 0, payload: bytes | memoryview = b"") -> bytes:
    """The bytes of a frame."""
    return _HEAD.pack(kind, channel) + payload


def credit(channel: int, count: int) -> bytes:
    """The frame that gives so many bytes back."""
    return frame(Kind.CREDIT, channel, _CREDIT.pack(count))


def parsed(data: bytes) -> tuple[Kind, int, memoryview]:
    """What a frame is, its channel, and the rest.

    Raises:
        Violation: It is none.
    """
    if len(data) > LONGEST:
        raise Violation("frame_too_long", Code.TOO_BIG)
    if len(data) < _HEAD.size:
        raise Violation("short_frame")
    number, channel = _HEAD.unpack_from(data)
    try:
        kind = Kind(number)
    except ValueError:
        raise Violation("unknown_frame") from None
    return kind, channel, memoryview(data)[_HEAD.size :]


def count_of(payload: memoryview) -> int:
    """The number in a `CREDIT` frame.

    Raises:
        Violation: There is none.
    """
    if len(payload) != _CREDIT.size:
        raise Violation("malformed_credit")
    count: int = _CREDIT.unpack(payload)[0]
    return count
