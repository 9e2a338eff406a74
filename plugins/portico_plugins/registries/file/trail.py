"""The audit trail, which is also what a write is kept by: one line for each, whole or not there.

Files of records are made from it. A write is made once its line is on the disk; what is missing of its files
then is made up for by whoever comes next.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import msgspec

from portico.api import Author, Entry, Record, RegistryDown
from portico_plugins.registries.writing import Key, put_in

_BLOCK: Final = 1 << 16


@attrs.frozen
class Changed:
    """One record changed by a write; see `Entry`."""

    kind: str
    name: str
    version: int
    before: Record | None
    after: Record | None


@attrs.frozen
class Line:
    """One write; see `Entry`."""

    revision: int
    at: float
    author: Author
    changed: tuple[Changed, ...]

    def entries(self) -> list[Entry]:
        """What it changed."""
        return [
            Entry(self.revision, self.at, self.author, *(getattr(each, name) for name in _NAMES))
            for each in self.changed
        ]


_NAMES: Final = ("kind", "name", "version", "before", "after")
_DECODER: Final = msgspec.json.Decoder(Line)


class Trail:
    """One file of lines. All but `moved` is done by whoever holds the lock.

    Args:
        path: Where it is.

    Attributes:
        revision: Of the last line that was read.
        records: What they were then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.revision = 0
        self.records: dict[Key, Record] = {}
        self._known = (0, 0)
        """The file's inode, and how much of it has been read."""

    def moved(self) -> bool:
        """Whether there is more in the file than was read.

        Raises:
            OSError: It is gone.
        """
        if self._known == (0, 0):
            return self.path.exists()
        found = self.path.stat()
        return (found.st_ino, found.st_size) != self._known

    def catch_up(self) -> bool:
        """Read what others wrote; whether there was an unfinished line at the end.

        Raises:
            OSError: It cannot be read.
            RegistryDown: A line in its middle is none.
        """
        with self._opened(os.O_RDONLY) as file:
            found = os.fstat(file)
            inode, offset = self._known
            if inode != found.st_ino or offset > found.st_size:
                offset, self.revision, self.records = 0, 0, {}
            os.lseek(file, offset, os.SEEK_SET)
            data = _all(file)
            *lines, rest = data.split(b"\n")
            for number, line in enumerate(lines):
                try:
                    self._take(_DECODER.decode(line))
                except msgspec.DecodeError as error:
                    if rest or number < len(lines) - 1:
                        raise RegistryDown(f"{self.path}: byte {offset}: {error}") from None
                    rest = line + b"\n"
                    break
                offset += len(line) + 1
            self._known = (found.st_ino, offset)
            return bool(rest)

    def cut(self) -> None:
        """Take away the unfinished line: whoever wrote it was not told that it is kept.

        Raises:
            OSError: It cannot be.
        """
        with self._opened(os.O_WRONLY) as file:
            os.ftruncate(file, self._known[1])
            os.fsync(file)

    def append(self, entries: Sequence[Entry]) -> None:
        """Keep a write.

        Args:
            entries: All of one revision.

        Raises:
            OSError: It is not kept.
        """
        first = entries[0]
        changed = tuple(Changed(*(getattr(each, name) for name in _NAMES)) for each in entries)
        line = Line(first.revision, first.at, first.author, changed)
        data = memoryview(msgspec.json.encode(line) + b"\n")
        with self._opened(os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
            inode, size = os.fstat(file).st_ino, self._known[1]
            try:
                written = 0
                while written < len(data):
                    written += os.write(file, data[written:])
                os.fsync(file)
            except BaseException:
                os.ftruncate(file, size)
                raise
        self._take(_DECODER.decode(data[:-1]))
        self._known = (inode, size + len(data))

    def _take(self, line: Line) -> None:
        put_in(self.records, line.entries())
        self.revision = line.revision

    def backwards(self) -> Iterator[Entry]:
        """Every entry, the newest first.

        Raises:
            OSError: It cannot be read.
        """
        with self._opened(os.O_RDONLY) as file:
            left = min(self._known[1], os.fstat(file).st_size)
            rest = b""
            while left:
                size = min(_BLOCK, left)
                left -= size
                lines = (os.pread(file, size, left) + rest).split(b"\n")
                rest = lines[0]
                for line in reversed(lines[1:] if left else lines):
                    if line:
                        yield from reversed(_DECODER.decode(line).entries())

    @contextlib.contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        file = os.open(self.path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            yield file
        finally:
            os.close(file)


def _all(file: int) -> bytes:
    pieces = []
    while piece := os.read(file, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)
