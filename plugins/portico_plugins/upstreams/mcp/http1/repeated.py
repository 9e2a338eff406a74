"""Answers whose heads repeat: a server says the same again and again, but for the length of the body.

What differs from a head that was taken apart before in nothing but the digits of its content-length, and
comes with its whole body and nothing else, means the same.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
_FINE: Final = (b"HTTP/1.1 200 ", b"HTTP/1.0 200 ")
_LONGEST: Final = 2048


@attrs.frozen(eq=False)
class Repeated:
    """The head of an answer that came whole, and what it means.

    Attributes:
        before: Its bytes up to the digits of its content-length.
        after: Those behind them.
        digits: How many digits there were.
        status: The HTTP status.
        headers: The fields that matter.
    """

    before: bytes
    after: bytes
    digits: int
    status: int
    headers: dict[bytes, bytes]

    def body(self, data: bytes) -> bytes | None:
        """The body of an answer with the same head, if this is one whole answer and no more."""
        before = self.before
        if not data.startswith(before):
            return None
        begin = len(before)
        end = data.find(b"\r", begin, begin + self.digits + 1)
        digits = data[begin:end] if end > 0 else b""
        if not digits.isdigit() or not data.startswith(self.after, end):
            return None
        start = end + len(self.after)
        return data[start:] if len(data) - start == int(digits) else None


def repeated(data: bytes, status: int, headers: dict[bytes, bytes]) -> Repeated | None:
    """What to remember of an answer that came in one piece; None where there is nothing to be gained.

    Args:
        data: Its bytes, head and body.
        status: The HTTP status.
        headers: The fields that matter.
    """
    end = data.find(b"\r\n\r\n", 0, _LONGEST)
    if status != 200 or end < 0 or b"transfer-encoding" in headers:
        return None
    match = _LENGTH.search(data, 0, end + 4)
    if match is None or not data.startswith(_FINE) or len(data) - end - 4 != int(match[1]):
        return None  # not of the final answer's head, for one
    return Repeated(data[: match.start(1)], data[match.end(1) : end + 4], len(match[1]), status, headers)
