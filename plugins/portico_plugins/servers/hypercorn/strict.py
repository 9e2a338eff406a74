"""h11 and Hypercorn's HTTP/2, made as strict as a gateway at the edge has to be.

What h11 lets pass and we refuse, for a proxy in front may read it differently (request smuggling): lines
ended by a bare LF, folded header lines, control characters, a length said twice, request trailers, chunk
extensions without end. Upgrades other than to WebSocket are ignored, as RFC 9110 7.8 allows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

import h2.errors
import h2.events
import h2.exceptions
import h11
from h2.settings import SettingCodes, Settings
from hypercorn.events import Closed, Updated
from hypercorn.protocol.h2 import H2Protocol

from portico_plugins.servers.hypercorn.calls import Calls
from portico_plugins.servers.hypercorn.head import METHODS, asks_for_websocket

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LENGTH: Final = re.compile(rb"(?i)\ncontent-length:([^\r\n]*)")
_CHUNK_ALLOWANCE: Final = 16
_CHUNK_EXCESS: Final = 8 * 1024


class StrictConnection(h11.Connection):
    """The server side of one HTTP/1.1 connection; stands in for `H11Protocol.connection`.

    Args:
        longest_head: The most a request line and its headers may have, in bytes.
    """

    def __init__(self, longest_head: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=longest_head)
        self._longest_head = longest_head
        self._before = b""  # the last bytes received before `_latest`
        self._latest = b""
        self._checked = 0
        self._chunked = False
        self._excess = 0

    @property
    def all_read(self) -> bool:
        """Whether the client has sent whole requests, and nothing after them, so far."""
        return self.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED) and not self._receive_buffer

    def receive_data(self, data: bytes) -> None:
        """Take what the socket gave; b"" means that it has ended."""
        self._before = (self._before + self._latest)[-4:]
        self._latest = data
        super().receive_data(data)

    def next_event(self) -> Any:
        """The next event, as `h11.Connection.next_event`.

        Raises:
            h11.RemoteProtocolError: The request is not one we answer; its hint is the status to answer with.
        """
        if self.their_state is h11.IDLE:
            self._check_head(self.trailing_data[0])
        held = len(self._receive_buffer) if self._chunked else 0
        event = super().next_event()
        if isinstance(event, h11.Request):
            return self._admitted(event)
        if self._chunked:
            used = held - len(self._receive_buffer)
            if isinstance(event, h11.Data):
                # Framing may cost a little for each chunk; what is above that is spent from an allowance.
                used -= len(event.data) + (_CHUNK_ALLOWANCE if event.chunk_start else 0)
            self._excess = max(0, self._excess + used)
            if self._excess > _CHUNK_EXCESS:
                self._refuse(431, "too much chunk framing")
            if isinstance(event, h11.EndOfMessage):
                self._check_end(event)
        return event

    def _refuse(self, status: int, reason: str) -> NoReturn:
        self._process_error(self.their_role)  # nothing of what follows is ever looked at
        raise h11.RemoteProtocolError(reason, error_status_hint=status)

    def _check_head(self, unread: bytes) -> None:
        """Look at the lines of the head that are new; `_checked` is where the first of them begins."""
        end = unread.find(b"\r\n\r\n", max(0, self._checked - 2))
        lines = unread[self._checked : end + 4 if end >= 0 else None]
        if (
            lines.count(b"\n") != lines.count(b"\r\n")
            or lines[:1] in (b" ", b"\t")
            or b"\n " in lines
            or b"\n\t" in lines
            or _CONTROL.search(lines) is not None
        ):
            self._refuse(400, "bare LF, folded line or control character in the head")
        if end + 4 > self._longest_head:
            self._refuse(431, "head too long")
        if end >= 0:
            lengths = _LENGTH.findall(unread, 0, end + 2)
            if len(lengths) > 1 or (lengths and b"," in lengths[0]):
                self._refuse(400, "more than one body length")
        self._checked = 0 if end >= 0 else self._checked + lines.rfind(b"\n") + 1

    def _admitted(self, request: h11.Request) -> h11.Request:
        if request.http_version not in (b"1.1", b"1.0"):
            # PRI is the HTTP/2 preface: that protocol is not spoken on this connection.
            self._refuse(421 if request.method == b"PRI" else 505, "unsupported HTTP version")
        if request.method == b"CONNECT":
            self._refuse(405, "not a proxy")
        if request.method not in METHODS:
            self._refuse(501, "unknown method")
        names = {name for name, _ in request.headers}
        self._chunked = b"transfer-encoding" in names
        self._excess = 0
        if self._chunked and (b"content-length" in names or request.http_version == b"1.0"):
            self._refuse(400, "ambiguous body length")
        if b"upgrade" in names:
            # WebSocket is spoken without compression: a small message must not unfold to a huge one.
            dropped = b"upgrade"
            if request.http_version == b"1.1" and asks_for_websocket(request.method, request.headers):
                dropped = b"sec-websocket-extensions"
            kept = [(name, value) for name, value in request.headers if name != dropped]
            return h11.Request(
                method=request.method, target=request.target, headers=kept, http_version=request.http_version
            )
        return request

    def _check_end(self, event: h11.EndOfMessage) -> None:
        received = self._before + self._latest
        consumed = received[: len(received) - len(self._receive_buffer)]
        self._chunked = False
        if list(event.headers) or not consumed.endswith(b"\r\n\r\n"):
            self._refuse(400, "trailers or bare LF after the body")


def check_h11() -> None:
    """Fail if the installed h11 is not one `StrictConnection` makes strict.

    Raises:
        RuntimeError: h11's insides have changed.
    """
    chunked = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    for request in (
        b"GET / HTTP/1.1\nhost: a\n\n",
        chunked + b"0\r\n\n",
        chunked + b"1;" + b"x" * 9000 + b"\r\n",
    ):
        connection = StrictConnection(65536)
        connection.receive_data(request)
        try:
            while connection.next_event() not in (h11.NEED_DATA, h11.PAUSED):
                pass
        except h11.RemoteProtocolError:
            continue
        raise RuntimeError("the installed h11 is not supported: it accepts requests that must be refused")


class StrictH2(H2Protocol):
    """Hypercorn's HTTP/2 with its gaps closed: resets that pile up calls, early answers, odd requests."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # WebSocket is not spoken within HTTP/2; browsers that are told so open another connection for it.
        told = {SettingCodes(key): value for key, value in self.connection.local_settings.items()}
        del told[SettingCodes.ENABLE_CONNECT_PROTOCOL]
        self.connection.local_settings = Settings(client=False, initial_values=told)

    async def _handle_events(self, events: Sequence[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                # The body of a request that has been answered (413, 403): take no more of it.
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._reset(event.stream_id, h2.errors.ErrorCodes.NO_ERROR)
            else:
                await super()._handle_events([event])
                if isinstance(event, h2.events.StreamReset):
                    await self.send(Updated(idle=self.idle))
        await self._flush()

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        method = path = b""
        for name, value in request.headers:
            if name == b":method":
                method = value
            elif name == b":path":
                path = value
        if method == b"CONNECT" or not method.isascii() or not path.isascii() or path[:1] != b"/":
            self._reset(request.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
        elif isinstance(self.task_group, Calls) and self.task_group.full:
            # The calls of streams that were opened and reset at once have not ended yet: a flood.
            self.connection.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            await self._flush()
            await self.send(Closed())
        else:
            await super()._create_stream(request)

    async def _close_stream(self, stream_id: int) -> None:
        buffer = self.stream_buffers.get(stream_id)
        await super()._close_stream(stream_id)
        if buffer is None or self.closed:
            return
        if not buffer.complete:
            # The application failed in the middle of its answer: the client must not take it for whole.
            self._reset(stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
            await buffer.close()
        elif stream_id in self.stream_buffers:
            # The sending task is held up by a slow client; a GOAWAY now must not overtake the stream's end.
            with suppress(h2.exceptions.ProtocolError):
                self.connection.end_stream(stream_id)
        await self._flush()

    def _reset(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        with suppress(h2.exceptions.ProtocolError):  # already closed by either side
            self.connection.reset_stream(stream_id, code)

    async def say_goodbye(self) -> None:
        """Send GOAWAY on a connection without open streams: it will not answer any more."""
        with suppress(h2.exceptions.ProtocolError):
            self.connection.close_connection()
        await self._flush()
