"""One HTTP/1.1 connection: a request at a time, its answer taken apart as it comes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, cast

import httptools

from .answer import Answer, Broken, HttpError, Unusable
from .coding import Garbled, Unpacker
from .repeated import Repeated, repeated

_MOST_HEAD: Final = 64 * 1024
"""Bytes a head may have, with the interim ones before it."""
_BIG: Final = 64 * 1024
_FRESH: Final = 0.02
"""Seconds of rest after which a connection is looked at before it is used: in less, the loop would know."""
_KEPT: Final = frozenset(
    {b"content-type", b"content-length", b"content-encoding", b"transfer-encoding", b"mcp-session-id"}
)
_ALSO: Final = frozenset(
    {b"cache-control", b"etag", b"last-modified", b"link", b"location", b"retry-after"}
    | {b"content-disposition"}
)
"""Of these, repetition makes a list and is no fault."""
_VERSIONS: Final = frozenset({"1.1", "1.0"})
_NO_BODY: Final = frozenset({204, 304})


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        sock: Its socket, connected.
        free: Called when it can take another request.
        gone: Called when it is closed.

    Attributes:
        lost: It takes no more requests.
        idle_since: When it became free, on the loop's clock.
    """

    __slots__ = (
        "_answer", "_big", "_bodiless", "_fault", "_fed", "_free", "_gone", "_headed", "_headers", "_interim",
        "_keep", "_over", "_parser", "_repeated", "_sock", "_surplus", "_transport", "_until_close",
        "_untouched", "idle_since", "lost",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        free: Callable[[Connection], None],
        gone: Callable[[Connection], None],
    ) -> None:
        self._sock = sock
        self._free = free
        self._gone = gone
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None
        self._headers: dict[bytes, bytes] = {}
        self._big = self._bodiless = False
        self._repeated: Repeated | None = None
        self._reset()
        self.lost = False
        self.idle_since = 0.0

    def _reset(self) -> None:
        self._fed = 0
        self._fault = ""
        self._headed = self._interim = self._over = self._keep = self._surplus = self._until_close = False
        self._untouched = True  # nothing of the answer has come

    # --- for the pool ------------------------------------------------------------------------------

    def send(self, request: bytes, answer: Answer) -> None:
        """Send a request; what comes back goes to `answer`. The connection must be free."""
        self._reset()
        self._big = len(request) > _BIG
        self._bodiless = request.startswith(b"HEAD ")
        self._answer = answer
        answer.source = self
        self._transport.write(request)

    def usable(self, now: float) -> bool:
        """Whether it can take a request: it is open, as far as this side can tell."""
        if self.lost or self._transport.is_closing():
            return False
        if now - self.idle_since > _FRESH:
            try:
                self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            except OSError:
                pass
            self.abort()  # the server has closed it, or said something unasked
            return False
        return True

    def abort(self) -> None:
        """Close it at once."""
        self.lost = True
        self._transport.abort()

    def pause(self) -> None:
        """Receive nothing for now."""
        if not self.lost:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Receive again."""
        if not self.lost:
            self._transport.resume_reading()

    # --- from the transport ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._answer is None or self._parser is None:
            self.abort()  # nobody asked
            return
        first, self._untouched = self._untouched, False
        if first and self._repeated is not None and self._again(self._answer, data, self._repeated):
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fault = self._fault or "not_http"
            self._keep = False
        if self._over:
            if first and self._keep and not (self._surplus or self._fault or self._answer.stream):
                self._repeated = repeated(data, self._answer.status, self._headers)
            self._settle()
        elif self._fault:
            self._fail(Unusable(self._fault))
        elif not self._headed:
            self._fed += len(data)
            if self._fed > _MOST_HEAD:
                self._fail(Unusable("head_too_large"))

    def _again(self, answer: Answer, data: bytes, known: Repeated) -> bool:
        """Take a whole answer like the last, without the parser, which is between two; or say it is none."""
        body = known.body(data)
        if body is None or len(body) > answer.cap:
            return False
        self._headed = self._over = self._keep = True
        answer.head(known.status, known.headers, False)
        answer.piece(body)
        self._settle()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self.lost = True
        self._parser = None
        self._gone(self)
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if self._until_close and exc is None:
            answer.end()
        else:
            # With TLS 1.3, a server says only now that it does not take our certificate.
            reason = "tls_failed" if isinstance(exc, ssl.SSLError) else "connection_lost"
            answer.fail(Broken(self._headed, reason))

    def _settle(self) -> None:
        """The answer is complete."""
        answer, self._answer = self._answer, None
        keep = self._keep and not self._surplus and not self._fault and not self._transport.is_closing()
        if keep and self._big and self._transport.get_write_buffer_size():
            keep = False  # answered before it was asked in full
        if keep:
            self._free(self)
        else:
            self.abort()
        if answer is not None:
            answer.end()

    def _fail(self, error: HttpError) -> None:
        answer, self._answer = self._answer, None
        self.abort()
        if answer is not None:
            answer.fail(error)

    # --- from the parser --------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A head begins; after a complete answer, one that nobody asked for."""
        if self._over:
            self._surplus = True
        self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header that matters."""
        if self._headed:
            return  # of a trailer
        self._fed += len(name) + len(value)
        if self._fed > _MOST_HEAD:
            self._fault = "head_too_large"
        name = name.lower()
        if name in _KEPT:
            if name in self._headers:
                self._fault = "not_http"
            self._headers[name] = value.strip()
        elif name in _ALSO:
            known = self._headers.get(name)
            self._headers[name] = value.strip() if known is None else b"%b, %b" % (known, value.strip())

    def on_headers_complete(self) -> None:
        """The head is complete: judge it."""
        parser, answer, headers = self._parser, self._answer, self._headers
        if parser is None or answer is None or self._over or self._fault:
            return
        status = parser.get_status_code()
        if status < 200:
            self._interim = True
            if status == 101:  # nobody asked to switch protocols
                self._fault = "not_http"
            return
        self._headed = True
        if parser.get_http_version() not in _VERSIONS:
            self._fault = "not_http"
        unpacker = None
        coding = headers.get(b"content-encoding", b"identity")
        if coding.lower() != b"identity":
            unpacker = Unpacker.of(coding)
            if unpacker is None:
                self._fault = "encoded_body"
        if b"transfer-encoding" in headers:
            # A final coding other than `chunked`, or one below it, is as good as an encoded body.
            if headers[b"transfer-encoding"].lower() != b"chunked" or b"content-length" in headers:
                self._fault = "not_http"
        elif b"content-length" not in headers:
            self._until_close = status not in _NO_BODY
        kind = headers.get(b"content-type", b"")
        stream = status == 200 and kind.partition(b";")[0].strip().lower() in answer.streams
        if not (stream or self._bodiless or status in _NO_BODY) and _length(headers) > answer.cap:
            self._fault = self._fault or "message_too_large"  # known before a byte of it has come
        if not self._fault:
            answer.head(status, headers, stream and not self._bodiless, unpacker)
            self._over = self._bodiless  # whatever length it says; the parser would wait for that

    def on_body(self, data: bytes) -> None:
        """Pass on a piece of the body."""
        if self._answer is None or self._over or self._fault:
            return
        try:
            if not self._answer.piece(data):
                self._fault = "message_too_large"
        except Garbled:
            self._fault = "bad_compression"

    def on_message_complete(self) -> None:
        """The answer is complete, or an interim one is."""
        if self._interim:
            self._interim = False
        elif self._bodiless:
            return
        elif not self._fault and self._parser is not None:
            self._over = True
            self._keep = self._parser.should_keep_alive()


def _length(headers: dict[bytes, bytes]) -> int:
    """The length that a head says, as far as the parser has let it pass; 0 for none."""
    said = headers.get(b"content-length", b"")
    return int(said) if said.isdigit() else 0
