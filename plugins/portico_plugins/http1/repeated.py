"""Answers whose heads repeat, taken without the parser when they come whole."""

from __future__ import annotations

from typing import Final

import attrs

from portico.api import RepeatedHead

_FINE: Final = (b"HTTP/1.1 200 ", b"HTTP/1.0 200 ")
_LONGEST: Final = 2048
_CODED: Final = frozenset({b"content-encoding", b"transfer-encoding"})


@attrs.frozen(eq=False)
class Repeated:
    """The head of an answer that came whole, and what it means.

    Attributes:
        shape: Its bytes, but for the length of the body.
        status: The HTTP status.
        headers: The fields that matter.
    """

    shape: RepeatedHead
    status: int
    headers: dict[bytes, bytes]

    def body(self, data: bytes) -> bytes | None:
        """The body of an answer with the same head, if this is one whole answer and no more."""
        found = self.shape.read(data)
        if found is None or len(data) - found[0] != found[1]:
            return None
        return data[found[0] :]


def repeated(data: bytes, status: int, headers: dict[bytes, bytes]) -> Repeated | None:
    """What to remember of an answer that came in one piece; None where there is nothing to be gained.

    Args:
        data: Its bytes, head and body.
        status: The HTTP status.
        headers: The fields that matter.
    """
    end = data.find(b"\r\n\r\n", 0, _LONGEST)
    if status != 200 or end < 0 or not _CODED.isdisjoint(headers) or not data.startswith(_FINE):
        return None
    shape = RepeatedHead.of(data[: end + 4])
    # Of an interim head, for one, what follows is not the body.
    found = shape.read(data) if shape is not None else None
    if shape is None or found is None or len(data) - found[0] != found[1]:
        return None
    return Repeated(shape, status, headers)
