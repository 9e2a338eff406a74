"""Server-Sent Events without I/O: an incremental parser and the bytes of one event.

Source: the WHATWG HTML standard, section 9.2 (event streams).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

_BOM: Final = b"\xef\xbb\xbf"
_PLAIN: Final = b"data: "
_NAMED: Final = b"event: message\ndata: "


class SseError(ValueError):
    """The stream is not acceptable: an event is larger than allowed, or not UTF-8."""


class SseTooLarge(SseError):
    """An event is larger than allowed."""


class SseEvent(msgspec.Struct, frozen=True):
    """One dispatched event.

    Attributes:
        event: The event type; "message" when the stream did not say.
        data: The data lines, joined by newlines. Empty for an event that only carried an id or a retry time
            (a browser would not dispatch it; MCP's priming event is one).
        id: The event's own id, or None.
        retry: Reconnection time in milliseconds that came with it, or None.
    """

    event: str
    data: str
    id: str | None = None
    retry: int | None = None


class SseParser:
    """Takes a stream apart, whatever the slices it comes in.

    Args:
        max_bytes: The most one event may take, its field names included.
    """

    def __init__(self, max_bytes: int = 16 * 1024 * 1024) -> None:
        self._max = max_bytes
        self._rest = bytearray()
        self._scanned = 0
        self._size = 0
        self._started = False
        self._skip_lf = False
        self._clean = False  # between two events: nothing is held of the next
        self._reset()

    def _reset(self) -> None:
        self._event = ""
        self._data: list[bytes] = []
        self._id: str | None = None
        self._retry: int | None = None
        self._size = 0
        self._begun = False  # a line of the next event has been read

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that these bytes complete.

        Raises:
            SseError: An event exceeds the cap or is not UTF-8. The parser is then of no further use.
        """
        events: list[SseEvent] = []
        if b"\r" not in data:
            # Nearly every slice is whole events of one data line: those are cut out, not read line by line.
            start = 0
            if not self._clean:
                start = data.find(b"\n\n") + 2
                if start >= 2:
                    self._feed(data[:start], events)
            end = data.rfind(b"\n\n")
            if self._clean and end >= start:
                for block in data[start:end].split(b"\n\n"):
                    self._block(block, events)
                start = end + 2
            data = data[start:] if start >= 2 else data
        if data:
            self._feed(data, events)
        return events

    def _block(self, block: bytes, events: list[SseEvent]) -> None:
        """Take the lines of one event."""
        name = _PLAIN if block.startswith(_PLAIN) else _NAMED if block.startswith(_NAMED) else None
        if name is None or b"\n" in (text := block[len(name) :]) or len(block) > self._max:
            self._feed(block + b"\n\n", events)
        else:
            events.append(SseEvent("message", _text(text)))

    def _feed(self, data: bytes, events: list[SseEvent]) -> None:
        """Take bytes line by line."""
        rest = self._rest
        rest += data
        if not self._started:
            if len(rest) < len(_BOM) and _BOM.startswith(bytes(rest)):
                return
            if rest.startswith(_BOM):
                del rest[: len(_BOM)]
            self._started = True
        start = 0
        position = self._scanned
        while True:
            if self._skip_lf and start < len(rest):
                self._skip_lf = False
                if rest[start] == 0x0A:
                    start += 1
                    position = max(position, start)
            end = self._line_end(position)
            if end < 0:
                break
            if rest[end] == 0x0D:
                self._skip_lf = True  # its LF may only come with the next slice
            if end == start:
                self._dispatch(events)
            else:
                self._line(bytes(rest[start:end]))
            start = position = end + 1
        del rest[:start]
        self._scanned = len(rest)
        if self._size + len(rest) > self._max:
            raise SseTooLarge("an event is larger than allowed")
        self._clean = not (rest or self._skip_lf or self._begun)

    def _line_end(self, start: int) -> int:
        lf = self._rest.find(b"\n", start)
        cr = self._rest.find(b"\r", start, lf if lf >= 0 else len(self._rest))
        return cr if cr >= 0 else lf

    def _line(self, line: bytes) -> None:
        self._begun = True
        if line.startswith(b":"):
            return
        self._size += len(line)
        if self._size > self._max:
            raise SseTooLarge("an event is larger than allowed")
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = _text(value)
        elif name == b"id":
            if b"\0" not in value:
                self._id = _text(value)
        elif name == b"retry" and value.isdigit() and len(value) < 10:
            self._retry = int(value)

    def _dispatch(self, events: list[SseEvent]) -> None:
        if self._data or self._id is not None or self._retry is not None:
            data = _text(b"\n".join(self._data))
            events.append(SseEvent(self._event or "message", data, self._id, self._retry))
        self._reset()


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise SseError("the stream is not UTF-8") from None


def sse_event(data: bytes, id: str | None = None, event: str = "message", retry: int | None = None) -> bytes:  # noqa: A002
    """The bytes of one event.

    Args:
        data: UTF-8 text; line breaks in it become several data lines.
        id: An event id without line breaks, or None.
        event: The event type; "message" is the default of the format and is left out.
        retry: Reconnection time in milliseconds, or None.
    """
    parts: list[bytes] = []
    if event != "message":
        parts.append(b"event: %s\n" % event.encode())
    if id is not None:
        parts.append(b"id: %s\n" % id.encode())
    if retry is not None:
        parts.append(b"retry: %d\n" % retry)
    if b"\n" in data or b"\r" in data:
        lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        parts += [b"data: %s\n" % line for line in lines]
    else:
        parts.append(b"data: %s\n" % data)
    parts.append(b"\n")
    return b"".join(parts)


def sse_events(frames: Sequence[bytes]) -> bytes:
    """The bytes of many events that have data only.

    Args:
        frames: Of each event, UTF-8 text.
    """
    body = b"data: %b\n\n" % b"\n\ndata: ".join(frames)
    if body.count(b"\n") != 2 * len(frames) or b"\r" in body:
        return b"".join([sse_event(frame) for frame in frames])
    return body


def sse_numbered(events: Sequence[tuple[int, bytes]], ident: str) -> bytes:
    """The bytes of many events that have data, and `ident` and a number for an id.

    Args:
        events: Of each, the number and UTF-8 text.
        ident: What the ids begin with; no line breaks.
    """
    name = ident.encode()
    body = b"".join([b"id: %b-%d\ndata: %b\n\n" % (name, number, frame) for number, frame in events])
    if body.count(b"\n") != 3 * len(events) or b"\r" in body:
        return b"".join([sse_event(frame, id=f"{ident}-{number}") for number, frame in events])
    return body
