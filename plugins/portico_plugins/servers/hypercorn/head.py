"""The head of an HTTP/1.1 request on the fast lane: what h11 and `strict` accept, and no more.

llhttp (under httptools) is laxer than a gateway at the edge may be, so a head is held against one strict
pattern first. llhttp then cuts it into fields and, with all its leniencies off, has to agree.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

import attrs
import httptools

from portico.api import Scope

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""How an HTTP/2 connection begins."""

LONGEST: Final = 64 * 1024
"""Bytes of a request's head that are collected before it is refused, on either lane."""

METHODS: Final = {
    method: method.decode()
    for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE")
}
"""The methods there are (RFC 9110 and 5789); any other is answered 501, CONNECT 405."""

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_FIELD: Final = _TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+"
_LINE: Final = rb"([A-Z]+) ([\x21-\x7e]++) HTTP/1\.([01])\r\n"
_TRIM: Final = re.compile(_LINE + rb"(?:" + _FIELD + rb"(?<![\t ])\r\n)*+\r\n")
_PADDED: Final = re.compile(_LINE + rb"(?:" + _FIELD + rb"\r\n)*+\r\n")
_ANY: Final = re.compile(
    rb"(" + _TOKEN + rb"+) [\x21-\x7e]++ HTTP/([0-9]\.[0-9])\r\n(?:" + _FIELD + rb"\r\n)*+\r\n"
)
_CODING: Final = re.compile(rb"(?i)\ntransfer-encoding:[ \t]*([^\r]*?)[ \t]*\r")
_SINGLE: Final = (b"host", b"content-length", b"transfer-encoding")
_ASGI: Final = {"spec_version": "2.1", "version": "3.0"}
_LONGEST_LENGTH: Final = 20  # digits


class Malformed(Exception):
    """Not a request we answer.

    Args:
        status: What to answer instead.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@attrs.define(eq=False)
class Head:
    """A request line and its fields.

    Attributes:
        method: In upper case.
        target: As it was sent.
        version: "1.1" or "1.0".
        fields: Names in lower case, values without the white space around them; `upgrade` left out.
        upgrade: Whether the client asks for WebSocket, in all the words that takes (RFC 6455, 4.2.1).
        length: Of the body; 0 for none, -1 for a chunked one.
        keep_alive: Whether the client wants to use the connection again.
        expects: Whether it waits for `100 Continue` before it sends the body.
    """

    method: str
    target: bytes
    version: str
    fields: list[tuple[bytes, bytes]]
    length: int
    keep_alive: bool
    expects: bool
    upgrade: bool = False


class _Fields:
    """What llhttp calls."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))


def parse(head: bytes) -> Head:
    """Take a head apart.

    Args:
        head: From the request line to the empty line, both included.

    Raises:
        Malformed: It is refused.
    """
    match = _TRIM.fullmatch(head)
    trim = match is not None
    if match is None:
        match = _PADDED.fullmatch(head)
        if match is None:
            raise Malformed(_status(head))
    name, target, minor = match.groups()
    method = METHODS.get(name)
    if method is None:
        raise Malformed(405 if name == b"CONNECT" else 501)
    sink = _Fields()
    try:
        httptools.HttpRequestParser(sink).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # not taken up
    except httptools.HttpParserError:
        raise Malformed(501 if _foreign_coding(head) else 400) from None
    fields = sink.fields
    if not trim:  # llhttp leaves the white space at the end
        fields = [(name, value.rstrip(b" \t")) for name, value in fields]
    seen = dict(fields)
    if len(seen) != len(fields):
        _check_repeated(fields)
    modern = minor == b"1"
    if modern and b"host" not in seen:
        raise Malformed(400)
    keep_alive = modern and not (b"connection" in seen and b"close" in _tokens(fields, b"connection"))
    expects = modern and b"expect" in seen and b"100-continue" in _tokens(fields, b"expect")
    length = _length(seen, modern)
    upgrade = b"upgrade" in seen and modern and not length and asks_for_websocket(name, fields)
    if b"upgrade" in seen:
        fields = [field for field in fields if field[0] != b"upgrade"]
    return Head(method, target, "1.1" if modern else "1.0", fields, length, keep_alive, expects, upgrade)


def asks_for_websocket(method: bytes, fields: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a request is the handshake of a WebSocket; one that is not quite is an ordinary request.

    Args:
        method: The request's.
        fields: Names in lower case.
    """
    counts = Counter(name for name, _ in fields)
    return (
        method == b"GET"
        and counts[b"sec-websocket-key"] == counts[b"sec-websocket-version"] == counts[b"upgrade"] == 1
        and not counts[b"content-length"]
        and not counts[b"transfer-encoding"]
        and dict(fields)[b"upgrade"].lower() == b"websocket"
        and b"upgrade" in _tokens(fields, b"connection")
    )


def check_begun(part: bytes) -> None:
    """Refuse early what cannot become a head any more.

    Args:
        part: The lines that are new, the last of them perhaps not complete.

    Raises:
        Malformed: A line ends in a bare LF, or is folded.
    """
    if part.count(b"\n") != part.count(b"\r\n") or part[:1] in (b" ", b"\t"):
        raise Malformed(400)


def scope_of(
    head: Head, secure: bool, client: tuple[str, int] | None, server: tuple[str, int] | None
) -> Scope:
    """The ASGI scope of a request."""
    path, _, query = head.target.partition(b"?")
    text = path.decode("ascii")
    return {
        "type": "http",
        "http_version": head.version,
        "asgi": _ASGI,
        "method": head.method,
        "scheme": "https" if secure else "http",
        "path": unquote(text) if "%" in text else text,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": head.fields,
        "client": client,
        "server": server,
        "state": {},
        "extensions": {},
    }


def _status(head: bytes) -> int:
    match = _ANY.fullmatch(head)
    if match is None:
        return 400
    if match[2] not in (b"1.1", b"1.0"):
        # PRI is the HTTP/2 preface: that protocol is not spoken on this connection.
        return 421 if match[1] == b"PRI" else 505
    return 501  # a method in lower case, or with a sign in it


def _foreign_coding(head: bytes) -> bool:
    codings = _CODING.findall(head)
    return len(codings) > 1 or (bool(codings) and codings[0].lower() != b"chunked")


def _check_repeated(fields: list[tuple[bytes, bytes]]) -> None:
    for single in _SINGLE:
        if sum(name == single for name, _ in fields) > 1:
            raise Malformed(501 if single == b"transfer-encoding" else 400)


def _tokens(fields: Sequence[tuple[bytes, bytes]], wanted: bytes) -> set[bytes]:
    values = b",".join(value for name, value in fields if name == wanted)
    return {token.strip() for token in values.lower().split(b",")}


def _length(seen: dict[bytes, bytes], modern: bool) -> int:
    coding = seen.get(b"transfer-encoding")
    length = seen.get(b"content-length")
    if coding is not None:
        if coding.lower() != b"chunked":
            raise Malformed(501)
        if length is not None or not modern:
            raise Malformed(400)
        return -1
    if length is None:
        return 0
    if not length.isdigit() or len(length) > _LONGEST_LENGTH:
        raise Malformed(400)
    return int(length)
