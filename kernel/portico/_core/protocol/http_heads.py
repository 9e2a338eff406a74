"""HTTP heads that repeat, but for the length of the body; and requests that should have been handshakes."""

from __future__ import annotations

import re
from typing import Final

import attrs

from portico._core.contracts.direct import Scope

_JSON: Final = (b"content-type", b"application/json")
_EXPECTED: Final = b'{"error":"upgrade required","expected":"a WebSocket handshake, over HTTP/1.1"}'
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)


@attrs.frozen(eq=False)
class RepeatedHead:
    """A head that was taken apart once.

    What differs from it in nothing but the digits of its `content-length` means the same.

    Attributes:
        before: Its bytes up to those digits.
        after: Those behind them, the empty line included.
        digits: How many digits there were; more might be more than a head may have in all.
    """

    before: bytes
    after: bytes
    digits: int

    @classmethod
    def of(cls, raw: bytes) -> RepeatedHead | None:
        """What to remember of a head; None where it declares no length.

        Args:
            raw: From its first line to the empty line, both included; with one `content-length` at most.
        """
        match = _LENGTH.search(raw)
        return None if match is None else cls(raw[: match.start(1)], raw[match.end(1) :], len(match[1]))

    def read(self, data: bytes, at: int = 0) -> tuple[int, int] | None:
        """Where the body begins and how long it is, if this head stands there again.

        Args:
            data: Bytes from the peer.
            at: Where the head is to stand in them.
        """
        if not data.startswith(self.before, at):
            return None
        begin = at + len(self.before)
        end = data.find(b"\r", begin, begin + self.digits + 1)
        digits = data[begin:end] if end > 0 else b""
        if not digits.isdigit() or not data.startswith(self.after, end):
            return None
        return end + len(self.after), int(digits)


def upgrade_required(scope: Scope) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes]:
    """Status, fields and body for what should have been a WebSocket handshake (RFC 9110, 15.5.22)."""
    if scope["method"] not in ("GET", "HEAD"):
        return 405, (_JSON, (b"allow", b"GET")), _EXPECTED
    if scope["http_version"] != "1.1":  # which has no such fields (RFC 9113, 8.2.2)
        return 400, (_JSON,), _EXPECTED
    return 426, (_JSON, (b"upgrade", b"websocket"), (b"connection", b"upgrade")), _EXPECTED
