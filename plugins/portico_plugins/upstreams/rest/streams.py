"""Answers that are streams: events, or JSON texts one after the other, collected and shown as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final, Protocol

import msgspec

from portico.api import Clock, Exchange, Json, SseParser
from portico_plugins.failures import of_http, reason_of
from portico_plugins.http1 import Answer, HttpError, Unusable

from .config import RestConfig
from .payloads import EVENTS, SEQUENCES

_SHOWN: Final = 16 * 1024
"""Bytes of an item up to which it is shown whole in a notification of progress."""
_MARGIN: Final = 1.0
"""Seconds before the deadline at which a stream is ended, so that what came of it gets to the client."""
_BOM: Final = b"\xef\xbb\xbf"
_encode = msgspec.json.Encoder().encode


class _Reader(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """The items that these bytes complete, as JSON."""
        ...

    def end(self) -> Iterator[bytes]:
        """What is left at the end of the stream."""
        ...


class _Events:
    """Events: their data, as JSON if it is, with their type and id if they have one."""

    def __init__(self, most: int) -> None:
        self._parser = SseParser(most)

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            events = self._parser.feed(data)
        except ValueError as error:
            raise Unusable("message_too_large" if "larger" in str(error) else "bad_text") from None
        for event in events:
            if not event.data:
                continue
            item: Json = {"event": event.event} if event.event != "message" else {}
            if event.id is not None:
                item["id"] = event.id
            try:
                item["data"] = msgspec.json.decode(event.data)
            except (msgspec.DecodeError, RecursionError):
                item["data"] = event.data
            yield _encode(item)

    def end(self) -> Iterator[bytes]:
        return iter(())  # an event that has not ended is none


class _Texts:
    """JSON texts, each with a separator after it (lines) or before it (RFC 7464)."""

    def __init__(self, most: int, separator: bytes) -> None:
        self._most = most
        self._separator = separator
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        *whole, self._rest = (self._rest + data).split(self._separator)
        yield from self._items(whole)
        if len(self._rest) > self._most:
            raise Unusable("message_too_large")

    def end(self) -> Iterator[bytes]:
        return self._items([self._rest])

    def _items(self, texts: list[bytes]) -> Iterator[bytes]:
        for text in texts:
            text = text.removeprefix(_BOM).strip(b" \t\r\n")
            if not text:
                continue
            try:
                msgspec.json.decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise Unusable("bad_json") from None
            yield text.replace(b"\n", b" ").replace(b"\r", b" ")


class Collector:
    """Takes the stream that a call is answered with.

    Args:
        config: With the limits.
        exchange: The call.
        began: When the call began.
        ends: When it must have ended.
        clock: Time.
        quiet: Whether progress shows no items.

    Attributes:
        broken: Why a stream of which items had come could not be taken to its end; "" where it could.
    """

    def __init__(
        self,
        config: RestConfig,
        exchange: Exchange,
        began: float,
        ends: float,
        clock: Clock,
        *,
        quiet: bool,
    ) -> None:
        self._config = config
        self._exchange = exchange
        self._clock = clock
        self._quiet = quiet
        seconds = max(0.0, min(ends, exchange.deadline) - began)
        self._ends = began + max(seconds - _MARGIN, seconds * 0.9)
        self._items: list[bytes] = []
        self._size = 0
        self.broken = ""

    async def take(self, answer: Answer) -> None:
        """Collect the items, which become the answer's body: `{"items": [...]}`, with `truncated` and why.

        Raises:
            HttpError: The stream was cut off, or what came is no item, before there was one.
            TimeoutError: Nothing came in time.
        """
        self._items, self._size, self.broken = [], 0, ""  # it may be the second answer to a call
        why = ""
        try:
            async with asyncio.timeout(self._ends - self._clock.monotonic()):
                why = await self._collected(answer)
        except TimeoutError:
            if not self._items:
                raise
            why = "deadline"
        except HttpError as error:
            if not self._items:
                raise
            why = self.broken = reason_of(of_http(error, ""))
        end = b',"truncated":%b' % _encode(why) if why else b""
        answer.body = b'{"items":[%b]%b}' % (b",".join(self._items), end)
        answer.headers = {**answer.headers, b"content-type": b"application/json"}

    async def _collected(self, answer: Answer) -> str:
        kind = answer.headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        most = self._config.max_stream_bytes
        reader: _Reader = (
            _Events(most) if kind == EVENTS else _Texts(most, b"\x1e" if kind in SEQUENCES else b"\n")
        )
        async for piece in answer.pieces():
            why = await self._add(reader.feed(piece))
            if why:
                return why
        return await self._add(reader.end())

    async def _add(self, items: Iterator[bytes]) -> str:
        for item in items:
            if len(self._items) >= self._config.max_stream_items:
                return "max_stream_items"
            self._size += len(item) + 1
            if self._size > self._config.max_stream_bytes:
                return "max_stream_bytes"
            self._items.append(item)
            await self._show(item)
        return ""

    async def _show(self, item: bytes) -> None:
        exchange = self._exchange
        if exchange.progress_token is None:
            return
        params: Json = {"progressToken": exchange.progress_token, "progress": len(self._items)}
        if not self._quiet:
            shown = item.decode("utf-8", "replace")
            params["message"] = shown if len(item) <= _SHOWN else f"an item of {len(item)} bytes"
        await exchange.client.notify("notifications/progress", params)


def result_schema(item: Any) -> Json:
    """The schema of what is collected, of one for the items."""
    return {
        "type": "object",
        "properties": {"items": {"type": "array", "items": item}, "truncated": {"type": "string"}},
        "required": ["items"],
    }
