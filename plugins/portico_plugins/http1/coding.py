"""Bodies that are compressed although nobody asked (RFC 9110 section 8.4.1), unpacked as they come."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

_GZIP: Final = frozenset({b"gzip", b"x-gzip"})
_PIECE: Final = 64 * 1024
"""The most bytes that are unpacked at a time, whatever has come."""
_TAKEN: Final = 16 * 1024
"""Bytes taken at a time: what is left of them is copied for each piece."""
_MOST_MEMBERS: Final = 1000
"""How many gzip members one body may have: the smallest are of nothing, and cost more than they weigh."""


class Garbled(ValueError):
    """It cannot be unpacked."""


class Unpacker:
    """Unpacks one body.

    Args:
        coding: `gzip` or `deflate`.
    """

    def __init__(self, coding: bytes) -> None:
        self._gzip = coding in _GZIP
        self._zip = zlib.decompressobj(zlib.MAX_WBITS | 16) if self._gzip else None
        self._begin = b""
        self._members = 1

    @classmethod
    def of(cls, coding: bytes) -> Unpacker | None:
        """What unpacks a content coding; None for several at once, and for others than gzip and deflate."""
        coding = coding.lower()
        return cls(coding) if coding in _GZIP or coding == b"deflate" else None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes of the next bytes, in pieces of 64 KiB at most, so that whoever takes them can stop.

        Raises:
            Garbled: They are not what they should be.
        """
        if self._zip is None:
            data = self._begin = self._begin + data
            if len(data) < 2:
                return
            # A zlib header is what RFC 9110 says; some servers have always sent the bare data.
            wrapped = data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
            self._zip = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        for at in range(0, len(data), _TAKEN):
            yield from self._unpacked(data[at : at + _TAKEN])

    def _unpacked(self, data: bytes) -> Iterator[bytes]:
        unzip, out = self._zip, b""
        # A piece may be full when all input is taken, and more of it still to come.
        while unzip is not None and (data or (len(out) == _PIECE and not unzip.eof)):
            if unzip.eof:
                if not self._gzip or self._members == _MOST_MEMBERS:
                    raise Garbled("more than a body")
                self._members += 1
                unzip = self._zip = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                out = unzip.decompress(data, _PIECE)
            except zlib.error as error:
                raise Garbled(str(error)) from None
            data = unzip.unconsumed_tail or unzip.unused_data
            self._begin = b"."
            if out:
                yield out

    @property
    def finished(self) -> bool:
        """Whether what has come is all there is; nothing at all is."""
        return not self._begin or (self._zip is not None and self._zip.eof)
