"""Two readings of the same bytes: the fast lane's, and h11's with `strict` around it, which is the oracle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import attrs
import h11

from portico.api import Admission, Reply, Scope
from portico_plugins.servers.hypercorn.head import Head, Malformed
from portico_plugins.servers.hypercorn.incoming import Incoming
from portico_plugins.servers.hypercorn.known import Known, known_from
from portico_plugins.servers.hypercorn.strict import StrictConnection

LONGEST_HEAD = 1024

FRAGMENTS: Sequence[bytes] = (
    b"GET / HTTP/1.1\r\n", b"POST /mcp HTTP/1.1\r\n", b"HEAD /a?b=%20 HTTP/1.0\r\n", b"PRI * HTTP/2.0\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n", b"BREW / HTTP/1.1\r\n", b"GET http://a/ HTTP/1.1\r\n",
    b"GET / HTTP/1.2\r\n", b"OPTIONS * HTTP/1.1\r\n", b"GET ", b"POST", b" / ", b"HTTP/1.1", b"Host: a\r\n",
    b"host:b\r\n", b"Host: \r\n", b"Content-Length: 3\r\n", b"Content-Length: 3, 3\r\n",
    b"content-length:0\r\n", b"Content-Length: +3\r\n", b"Content-Length: 3 \r\n",
    b"Content-Length : 3\r\n", b"Content-Length: 1_0\r\n", b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: Chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding:\tchunked \r\n", b"Transfer-Encoding: \x0bchunked\r\n", b"Connection: close\r\n",
    b"Connection: keep-alive, CLOSE\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"X: a\r\n b\r\n", b"X: a\x00b\r\n",
    b"X: a\x01b\r\n", b"X:\xff\r\n", b"X:  padded \t \r\n", b"X_Y: z\r\n", b"X Y: z\r\n", b": z\r\n",
    b"X\r\n", b"X: " + b"y" * 600 + b"\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b":", b";",
    b"abc", b"0", b"0\r\n\r\n", b"0\r\n", b"3\r\nabc\r\n", b"3;e=1\r\nabc\r\n", b"3 \r\nabc\r\n",
    b"3\nabc\r\n", b"03\r\nabc\r\n", b"A\r\n0123456789\r\n", b"a;" + b"x" * 400 + b"\r\n", b"-1\r\n",
    b"0x3\r\nabc\r\n", b"3\r\nabcd\r\n", b"0\r\nTrailer: 1\r\n\r\n", b"0\r\n\n", b"\x80", b"\x16\x03\x01",
    b"fffffffffffffffff\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 03\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
)  # fmt: skip
"""What requests, good and bad, are made of."""


@attrs.frozen
class Reading:
    """What somebody made of some bytes.

    Attributes:
        requests: The whole requests before the first that was refused.
        refused: The status of the refusal; None: more bytes may come.
    """

    requests: list[tuple[object, ...]]
    refused: int | None


def by_fast_lane(pieces: Iterable[bytes]) -> Reading:
    """The fast lane's reading; heads that come again are recognised, as on a connection."""
    incoming = Incoming(LONGEST_HEAD)
    seen: list[Known] = []
    requests: list[tuple[object, ...]] = []
    begun: tuple[object, ...] | None = None
    keep = True
    last = False
    body = b""
    try:
        for piece in pieces:
            incoming.feed(piece)
            while keep:
                if begun is None:
                    head = _head(incoming, seen)
                    if head is None:
                        break
                    begun = (head.method, head.target, head.version, head.fields, head.keep_alive)
                    last, body = not head.keep_alive, b""
                body += incoming.take() if not incoming.complete else b""
                if not incoming.complete:
                    break
                requests.append((*begun, body))
                begun, keep = None, not last
    except Malformed as malformed:
        return Reading(requests, malformed.status)
    return Reading(requests, None)


def _head(incoming: Incoming, seen: list[Known]) -> Head | None:
    for known in seen:
        if incoming.again(known):
            fields = [
                (name, b"%d" % incoming.declared if name == b"content-length" else value)
                for name, value in known.head.fields
            ]
            return attrs.evolve(known.head, fields=fields)
    head = incoming.head()
    if head is not None:
        found = known_from(incoming.raw, head, Admission({}, _nobody, body_bytes=1 << 62))
        seen[:0] = [found] if found is not None else []
        fields = [(name, _plain(name, value)) for name, value in head.fields]
        return attrs.evolve(head, fields=fields)
    return None


def _nobody(scope: Scope, body: bytes, reply: Reply) -> None:
    """Nobody answers here."""


def _plain(name: bytes, value: bytes) -> bytes:
    """A length without the zeros in front of it, which is all that may differ where a head comes again."""
    return b"%d" % int(value) if name == b"content-length" and value.isdigit() else value


def by_h11(pieces: Iterable[bytes]) -> Reading:
    """The oracle's."""
    connection = StrictConnection(LONGEST_HEAD)
    requests: list[tuple[object, ...]] = []
    begun: tuple[object, ...] = ()
    body = b""
    try:
        for piece in filter(None, pieces):
            connection.receive_data(piece)
            while True:
                event = connection.next_event()
                if isinstance(event, h11.Request):
                    begun, body = _described(event), b""
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    requests.append((*begun, body))
                    connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                    connection.send(h11.EndOfMessage())
                    if connection.our_state is not h11.DONE:
                        return Reading(requests, None)
                    connection.start_next_cycle()
                else:
                    break
    except h11.RemoteProtocolError as error:
        return Reading(requests, error.error_status_hint)
    return Reading(requests, None)


def _described(request: h11.Request) -> tuple[object, ...]:
    tokens = {
        token.strip()
        for name, value in request.headers
        if name == b"connection"
        for token in value.lower().split(b",")
    }
    keep = request.http_version == b"1.1" and b"close" not in tokens
    return (
        request.method.decode(),
        request.target,
        request.http_version.decode(),
        [(name, _plain(name, value)) for name, value in request.headers],
        keep,
    )


def disagreement(pieces: Sequence[bytes]) -> str:
    """What is wrong with the fast lane's reading, in words; "" if nothing is."""
    oracle, fast = by_h11(pieces), by_fast_lane(pieces)
    count = len(fast.requests)
    if fast.requests != oracle.requests[:count]:
        return f"accepted {fast.requests!r}, the oracle {oracle!r}"
    if fast.refused is None and count != len(oracle.requests):
        return f"waits after {count} requests, the oracle {oracle!r}"
    # Either may wait for the end of a line before it judges it; the end must not make a difference then.
    ended = by_fast_lane([*pieces, b"\r\n\r\n"])
    if oracle.refused is not None and (len(ended.requests) != count or ended.refused is None):
        return f"does not refuse what the oracle does: {oracle!r}, {ended!r}"
    whole = by_fast_lane([b"".join(pieces) + b"\r\n\r\n"])
    if whole.requests != ended.requests or (whole.refused is None) != (ended.refused is None):
        return f"depends on the cut: {ended!r}, whole {whole!r}"
    return ""


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The bytes in pieces."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)] or [b""]
