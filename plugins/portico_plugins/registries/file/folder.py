"""The folder of files: what differs in it from the records that are known, and new files for records."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from portico.api import KINDS_MANAGED, Change, ConfigError, Entry, Record
from portico_plugins.registries.file.names import SUFFIX, digested, name_of, stem_of
from portico_plugins.registries.file.text import read, written
from portico_plugins.registries.writing import Key, same

_LARGEST: Final = 16 << 20
_FRESH: Final = 100_000_000
"""Nanoseconds within which a file can change without its times telling."""

Place = tuple[str, str]
"""Where a file is: the folder's name, and the stem of its own."""


@attrs.frozen
class Edit:
    """A file that is not what its record is.

    Attributes:
        change: What it wants.
        at: When it was written, or went away; seconds since 1970, by the file system.
    """

    change: Change
    at: float


@attrs.define
class Seen:
    """A file, as it was read last.

    Attributes:
        signature: Tells whether it has changed since.
        at: When it was changed; seconds since 1970.
        key: Whose it is; None when nobody knows.
        wants: What it says; None when it cannot be read.
        agreed: The record it was found to be equal to.
    """

    signature: tuple[int, ...]
    at: float
    key: Key | None
    wants: Change | None
    agreed: Record | None = None


class Folder:
    """The files. What it knows of them is only to spare reading them again.

    Args:
        root: Where the folders of the kinds are.
        staging: Where new files are written first.

    Attributes:
        wrong: What is wrong with files, by their paths: those that are left out.
    """

    def __init__(self, root: Path, staging: Path) -> None:
        self._root = root
        self._staging = staging
        self._seen: dict[Place, Seen] = {}
        self._places: dict[Key, Place] = {}
        self._unclear: set[str] = set()
        """Folders in which a file may be of any record that seems to have none."""
        self.wrong: dict[Path, str] = {}

    # --- reading ---------------------------------------------------------------------------------------

    def edits(self, records: Mapping[Key, Record]) -> list[Edit]:
        """What the files want that the records are not.

        A file that cannot be read leaves its record as it is. So does one whose folder cannot be.

        Raises:
            OSError: The folder of all cannot be read.
        """
        self._root.stat()
        self.wrong = {}
        kinds = {stem_of(kind): kind for kind in (*KINDS_MANAGED, *(kind for kind, _ in records))}
        before, self._seen = self._seen, {}
        self._unclear = set()
        for folder, kind in kinds.items():
            try:
                for stem, found in self._files(folder):
                    known = before.get((folder, stem))
                    if known is None or known.signature != _signature(found):
                        known = self._read(kind, (folder, stem), found, records, known)
                    if known is not None:
                        self._seen[folder, stem] = known
            except FileNotFoundError:
                pass
            except OSError as error:
                self.wrong[self._root / folder] = error.strerror or str(error)
                self._unclear.add(folder)
        return [*self._differing(records), *self._missing(records)]

    def edits_of(self, records: Mapping[Key, Record], keys: Iterable[Key]) -> list[Edit]:
        """What the files of a few records want: as `edits`, and quick however many others there are."""
        found = []
        for kind, name in keys:
            place = self._places.get((kind, name)) or (stem_of(kind), stem_of(name))
            try:
                known = self._seen.get(place)
                now = self._path(place).stat()
                if known is None or known.signature != _signature(now):
                    known = self._read(kind, place, now, records, known)
            except FileNotFoundError:
                known = None
            if known is None and (kind, name) in records and place[0] not in self._unclear:
                found.append(Edit(Change(kind, name, None), self._left(kind)))
            elif known is not None and known.key == (kind, name):
                self._seen[place], self._places[kind, name] = known, place
                found += self._differs(known, records)
        return found

    def has(self, key: Key) -> bool:
        """Whether a record has a file, as far as was seen."""
        return key in self._places

    def _differing(self, records: Mapping[Key, Record]) -> Iterator[Edit]:
        places: dict[Key, Place] = {}
        for place, seen in self._seen.items():
            if seen.key is None:
                continue
            other = places.get(seen.key)
            if other is None:
                places[seen.key] = place
                continue
            first, second = sorted((place, other), key=lambda each: self._own_first(each, seen.key))
            places[seen.key] = first
            said = f"it is of the same record as {self._path(first).name}, which holds"
            self.wrong[self._path(second)] = said
        self._places = places
        for place in places.values():
            yield from self._differs(self._seen[place], records)

    def _differs(self, seen: Seen, records: Mapping[Key, Record]) -> Iterator[Edit]:
        record = records.get(seen.key) if seen.key is not None else None
        if seen.wants is None or (record is not None and record is seen.agreed):
            return
        if record is not None and same(record, seen.wants):
            seen.agreed = record
            return
        yield Edit(seen.wants, seen.at)

    def _own_first(self, place: Place, key: Key | None) -> tuple[bool, bool, Place]:
        own = key is not None and stem_of(key[1]) == place[1]
        return (key is None or self._places.get(key) != place, not own, place)

    def _missing(self, records: Mapping[Key, Record]) -> Iterator[Edit]:
        for (folder, _), seen in self._seen.items():
            if seen.wants is None and (seen.key is None or seen.key not in records):
                self._unclear.add(folder)
        for kind, name in records:
            if (kind, name) not in self._places and stem_of(kind) not in self._unclear:
                yield Edit(Change(kind, name, None), self._left(kind))

    def _left(self, kind: str) -> float:
        """When a file that is missing may have gone; seconds since 1970."""
        try:
            return (self._root / stem_of(kind)).stat().st_ctime
        except FileNotFoundError:
            return self._root.stat().st_ctime

    def _files(self, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        self._inside(self._root / folder)
        with os.scandir(self._root / folder) as entries:
            for entry in entries:
                if not entry.name.endswith(SUFFIX) or entry.name.startswith("."):
                    continue
                try:
                    if entry.is_symlink():
                        self._inside(Path(entry.path))
                    found = entry.stat()
                except FileNotFoundError:
                    continue  # it has just gone
                except OSError as error:
                    self.wrong[Path(entry.path)] = error.strerror or str(error)
                    found = entry.stat(follow_symlinks=False)
                yield entry.name.removesuffix(SUFFIX), found

    def _inside(self, path: Path) -> None:
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise PermissionError(1, "a link that leads outside of the registry's folder")

    def _read(
        self,
        kind: str,
        place: Place,
        found: os.stat_result,
        records: Mapping[Key, Record],
        before: Seen | None,
    ) -> Seen | None:
        path, stem = self._path(place), place[1]
        name = name_of(stem)
        seen = Seen(_signature(found), found.st_ctime, None, None)
        if path not in self.wrong:
            try:
                data = _content(path, found)
                record = records.get((kind, name)) if name is not None else None
                if record is not None and data == written(record, stem):
                    seen.wants = Change(kind, record.name, record.config, record.about)
                else:
                    seen.wants = read(data, kind, stem)
                seen.key = (kind, seen.wants.name)
            except FileNotFoundError:
                return None
            except ConfigError as error:
                self.wrong[path] = "; ".join(": ".join(filter(None, each)) for each in error.problems)
            except OSError as error:
                self.wrong[path] = error.strerror or str(error)
        if seen.wants is None:
            seen.key = before.key if before is not None else _owner(kind, stem, records)
        if seen.wants is None or time.time_ns() - found.st_ctime_ns < _FRESH:
            seen.signature = ()  # to be read again
        return seen

    def _path(self, place: Place) -> Path:
        return self._root / place[0] / f"{place[1]}{SUFFIX}"

    # --- writing ---------------------------------------------------------------------------------------

    def stage(self, entries: Sequence[Entry]) -> list[tuple[Path, Path | None]]:
        """Write the new files, to where they do not count yet.

        Returns:
            For each entry the path of its file and of what it is to be replaced with, None: taken away.

        Raises:
            OSError: They cannot be written.
            ConfigError: TOML cannot hold one.
        """
        moves: list[tuple[Path, Path | None]] = []
        taken: set[Place] = set()
        for number, entry in enumerate(entries):
            place = self._place(entry.kind, entry.name, taken)
            path = self._path(place)
            if entry.after is None:
                moves.append((path, None))
                continue
            beside = self._staging / str(number)
            mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
            _write(beside, written(entry.after, place[1]), mode)
            self._inside(path.parent)
            if not path.parent.is_dir():
                path.parent.mkdir(mode=0o700)
                sync(self._root)
            moves.append((path, beside))
        return moves

    def _place(self, kind: str, name: str, taken: set[Place]) -> Place:
        known = self._places.get((kind, name))
        if known is not None:
            return known
        place = (stem_of(kind), stem_of(name))
        if place in taken or os.path.lexists(self._path(place)):
            # Somebody else's: a file system that ignores case, or a file with another name in it.
            place = (place[0], digested(name))
        taken.add(place)
        return place

    def move(self, moves: Sequence[tuple[Path, Path | None]]) -> None:
        """Put the new files in place, and see that they stay there.

        Raises:
            OSError: They cannot be put.
        """
        for path, beside in moves:
            if beside is None:
                path.unlink(missing_ok=True)
            else:
                beside.replace(path)
        for folder in {path.parent for path, _ in moves}:
            if folder.exists():
                sync(folder)


def sync(folder: Path) -> None:
    """See that what was made, renamed or taken away in a folder stays so."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _write(path: Path, data: bytes, mode: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fchmod(file, mode)
        os.fsync(file)
    finally:
        os.close(file)


def _content(path: Path, found: os.stat_result) -> bytes:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(22, "not a file")
    if found.st_size > _LARGEST:
        raise OSError(27, f"more than {_LARGEST} bytes")
    return path.read_bytes()


def _signature(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _owner(kind: str, stem: str, records: Mapping[Key, Record]) -> Key | None:
    """Whose file it seems to be, by its name alone."""
    if "~" in stem:
        for each, name in records:
            if each == kind and stem in (stem_of(name), digested(name)):
                return (kind, name)
    own = name_of(stem)
    return (kind, own) if own is not None else None
