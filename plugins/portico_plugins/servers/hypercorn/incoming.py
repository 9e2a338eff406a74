"""The bytes of one connection, cut into requests: heads and bodies, without any I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from portico_plugins.servers.hypercorn.head import Head, Malformed, check_begun, parse

if TYPE_CHECKING:
    from portico_plugins.servers.hypercorn.known import Known

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?[ \t]*\r\n")
_LONGEST_LINE: Final = 16 * 1024
_ALLOWANCE: Final = 14  # framing may cost a little for each chunk; what is above that adds up
_EXCESS: Final = 8 * 1024


class Incoming:
    """A connection's requests, one after the other.

    `head()` gives the next one; then `take()` its body, until `complete`.

    Args:
        longest_head: The most a request line and its headers may have, in bytes.
    """

    __slots__ = (
        "_at",
        "_checked",
        "_chunked",
        "_excess",
        "_held",
        "_left",
        "_longest_head",
        "complete",
        "raw",
    )

    def __init__(self, longest_head: int) -> None:
        self._longest_head = longest_head
        self.raw = b""  # the head that was read last
        self._held = b""
        self._at = 0  # what is before it has been used
        self._checked = 0  # a head that is not complete: where its last line begins
        self._left = 0  # of the body, or of the chunk; below 0: a chunk's first line comes next
        self._chunked = False  # the body is chunked
        self._excess = 0
        self.complete = True

    @property
    def unread(self) -> int:
        """How many bytes have come that are not used yet."""
        return len(self._held) - self._at

    @property
    def declared(self) -> int:
        """The length of the body that comes, -1 for a chunked one; before any of it is taken."""
        return self._left

    def rest(self) -> bytes:
        """What has come and is not used yet."""
        return self._held[self._at :]

    def feed(self, data: bytes) -> None:
        """Take what the socket gave."""
        if self._at:
            self._held = self._held[self._at :]
            self._checked -= self._at
            self._at = 0
        self._held = self._held + data if self._held else data

    def head(self) -> Head | None:
        """The next request, once its head has come whole.

        Raises:
            Malformed: It is refused; nothing that follows may be looked at.
        """
        held, at = self._held, self._at
        if at == len(held):
            return None
        begun = max(self._checked, at)
        end = held.find(b"\r\n\r\n", max(begun - 2, at))
        if end < 0 or end + 4 - at > self._longest_head:
            self._check(held, begun)
            return None
        self.raw = raw = held[at : end + 4] if at or end + 4 < len(held) else held
        head = parse(raw)
        self._at = end + 4
        self._checked = 0
        self._left = head.length
        self._chunked = head.length < 0
        self._excess = 0
        self.complete = head.length == 0
        return head

    def again(self, known: Known) -> bool:
        """Take the next head, if it is one that was there before but for its content-length."""
        found = known.shape.read(self._held, self._at)
        if found is None or found[1] > known.admission.body_bytes:
            return False  # one that is too long is treated as new: it is going to be refused
        self._at, self._left = found
        self._checked = 0
        self._chunked = False
        self._excess = 0
        self.complete = self._left == 0
        return True

    def _check(self, held: bytes, begun: int) -> None:
        check_begun(held[begun:])
        if len(held) - self._at > self._longest_head:
            raise Malformed(431)
        if not 65 <= held[self._at] <= 90 and not _begins_like_a_request(held[self._at]):
            raise Malformed(400)
        self._checked = begun + held[begun:].rfind(b"\n") + 1

    def whole(self, most: int) -> bytes | None:
        """The whole body at once, if all of it is there, its length was declared, and is `most` at most."""
        held, at, left = self._held, self._at, self._left
        if left < 0 or left > most or self._chunked or len(held) - at < left:
            return None
        self._at = end = at + left
        self._left = 0
        self.complete = True
        return held[at:end]

    def take(self) -> bytes:
        """What has come of the body since the last time; b"" for nothing.

        Raises:
            Malformed: Its chunks are not well-formed.
        """
        if self._chunked:
            return self._take_chunks()
        held, at, left = self._held, self._at, self._left
        there = len(held) - at
        if there <= left:
            self._held, self._at = b"", 0
            data = held[at:] if at else held
            self._left = left - there
            self.complete = there == left
            return data
        self._at = at + left
        self._left = 0
        self.complete = True
        return held[at : at + left]

    def _take_chunks(self) -> bytes:
        pieces: list[bytes] = []
        while not self.complete:
            held, at, left = self._held, self._at, self._left
            there = len(held) - at
            if left > 2:  # the chunk's end belongs to it: two bytes more than its data
                there = min(there, left - 2)
                if not there:
                    break
                pieces.append(held[at : at + there])
                self._at = at + there
                self._left = left - there
            elif left > 0:
                if there and held[at : at + left] != b"\r\n"[2 - left :][:there]:
                    raise Malformed(400)
                there = min(there, left)
                if not there:
                    break
                self._at = at + there
                self._left = left - there or -1
            elif not self._next_chunk():
                break
        if self._at == len(self._held):
            self._held, self._at = b"", 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _next_chunk(self) -> bool:
        """Read a chunk's first line; False if it has not come whole."""
        held, at = self._held, self._at
        match = _SIZE.match(held, at)
        if match is None:
            end = held.find(b"\n", at)
            if end >= 0:
                raise Malformed(400)
            if len(held) - at > _LONGEST_LINE:
                raise Malformed(431)
            if held[at : at + 1] and held[at : at + 1] not in b"0123456789abcdefABCDEF":
                raise Malformed(400)
            return False
        used = match.end() - at
        size = int(match[1], 16)
        if not size:
            last = held[match.end() : match.end() + 2]
            if last != b"\r\n"[: len(last)]:
                raise Malformed(400)  # trailers
            if len(last) < 2:
                return False
            self._at = match.end() + 2
            self.complete = True
        else:
            self._at = match.end()
            self._left = size + 2
        self._excess = max(0, self._excess + used - _ALLOWANCE)
        if self._excess > _EXCESS:
            raise Malformed(431)
        return True


def _begins_like_a_request(first: int) -> bool:
    return first in b"!#$%&'*+.^_`|~-" or 48 <= first <= 57 or 97 <= first <= 122
