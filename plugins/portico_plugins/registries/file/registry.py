"""Keeps records in a folder of TOML files that people and git may change as well.

What makes a write is its line in the audit trail (`trail.py`); the files follow. A change made in the files
becomes a write by the author `file`. Everything is done by one thread, under a lock that all processes share.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from portico.api import Author, Change, Clock, Entry, Log, Record, RegistryDown
from portico_plugins.registries.file.folder import Edit, Folder, sync
from portico_plugins.registries.file.trail import Trail
from portico_plugins.registries.writing import Key, check, decide, ordered, same, wanted

_T = TypeVar("_T")

FILE: Final = Author("file", "file")
"""Who changes records by changing files."""

STATE: Final = ".portico"
"""The folder of what is not for git."""

_POLL: Final = 0.2
_LOOK: Final = 0.5
"""Seconds between looks at all files; longer where a look takes more than a twentieth of it."""

_SETTLED: Final = 0.25
"""Seconds for which nothing may have changed before changes count, so that a `git pull` is one of them."""

_UNSETTLED: Final = 5.0
"""Seconds after which changes count although others still go on."""

_PATIENCE: Final = 20.0


class FileRegistry:
    """Records of all processes that use the folder.

    Args:
        root: The folder; it is made when it is needed.
        clock: Tells when changes are made.
        log: Told of files that are wrong.
    """

    def __init__(self, root: Path, clock: Clock, log: Log) -> None:
        self._root = root
        self._state = root / STATE
        self._clock = clock
        self._log = log
        self._trail = Trail(self._state / "audit.jsonl")
        self._folder = Folder(root, self._state / "new")
        self._applied = self._state / "applied"
        self._begun = False
        self._told: dict[Path, str] = {}
        self._waiting = ""
        self._next_look = 0.0
        self._thread = ThreadPoolExecutor(1, "portico-registry")
        self._changed = asyncio.Condition()

    async def close(self) -> None:
        """Let what has begun end."""
        await asyncio.to_thread(self._thread.shutdown)

    async def load(self) -> tuple[int, Sequence[Record]]:
        """See `Registry.load`."""
        return await self._do(self._load)

    async def write(self, changes: Sequence[Change], author: Author, *, expected: int | None = None) -> int:
        """See `Registry.write`."""
        check(changes)
        return await self._do(lambda: self._write(changes, author, expected))

    async def history(
        self, kind: str | None = None, name: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> Sequence[Entry]:
        """See `Registry.history`."""

        def found() -> list[Entry]:
            with self._locked():
                entries = self._trail.backwards()
                matching = (each for each in entries if wanted(each, kind, name, before))
                return list(itertools.islice(matching, limit))

        return await self._do(found)

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Callable[[], Awaitable[int]]]:
        """See `Registry.watch`."""
        known = self._trail.revision

        async def following() -> int:
            nonlocal known
            while self._trail.revision == known:
                try:
                    async with asyncio.timeout(_POLL), self._changed:
                        await self._changed.wait_for(lambda: self._trail.revision != known)
                except TimeoutError:
                    await self._do(self._glance)
            known = self._trail.revision
            return known

        yield following

    async def _do(self, work: Callable[[], _T]) -> _T:
        before = self._trail.revision
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            raise RegistryDown(self._said(error)) from error
        finally:
            if self._trail.revision != before:
                async with self._changed:
                    self._changed.notify_all()

    # --- in the thread ---------------------------------------------------------------------------------

    def _load(self) -> tuple[int, list[Record]]:
        with self._locked():
            self._take_files()
        data = msgspec.json.encode(ordered(self._trail.records))
        return self._trail.revision, msgspec.json.decode(data, type=list[Record])

    def _write(self, changes: Sequence[Change], author: Author, expected: int | None) -> int:
        with self._locked() as writable:
            if not writable:
                raise RegistryDown(f"{self._root} cannot be written to")
            self._take_files({(change.kind, change.name) for change in changes}, strict=True)
            entries = self._decided(changes, author, expected)
            if entries:
                moves = self._folder.stage(entries)
                self._trail.append(entries)
                try:
                    self._folder.move(moves)
                    self._mark()
                except OSError as error:  # it is made, and whoever comes next makes up for the files
                    self._log.error("registry.behind", error=self._said(error))
            return self._trail.revision

    def _decided(self, changes: Sequence[Change], author: Author, expected: int | None = None) -> list[Entry]:
        records, revision = self._trail.records, self._trail.revision
        return decide(records, revision, changes, author, expected, self._clock.time())

    def _glance(self) -> None:
        """Take up what others have written, and every now and then what the files say."""
        edits: Sequence[Edit] = ()
        if time.monotonic() >= self._next_look:
            edits = self._look()
        due = bool(self._due(edits))
        if due or self._trail.moved():
            with self._locked():
                self._take_files(look=due)
        elif edits:
            self._next_look = time.monotonic() + _POLL

    def _look(self) -> list[Edit]:
        begun = time.monotonic()
        edits = self._folder.edits(self._trail.records)
        ended = time.monotonic()
        self._next_look = ended + max(_LOOK, 20 * (ended - begun))
        for path, problem in self._folder.wrong.items():
            if self._told.get(path) != problem:
                self._log.warning("registry.file_left_out", path=str(path), problem=problem)
        self._told = self._folder.wrong
        return edits

    def _take_files(self, touched: Collection[Key] = (), *, look: bool = False, strict: bool = False) -> None:
        """Have files and records agree.

        Args:
            touched: Records that are about to be changed: what their files say counts at once.
            look: At all files, whether it is time for that or not.
            strict: Fail when it cannot be kept; otherwise the records stay what they are.
        """
        try:
            applied = self._marked()
            behind = applied < self._trail.revision
            if look or behind or not self._begun or time.monotonic() >= self._next_look:
                edits = self._look()
            else:
                edits = self._folder.edits_of(self._trail.records, touched)
            if behind:
                edits = self._made_up_for(edits, applied)
            changes = [edit.change for edit in self._due(edits, touched)]
            entries = self._decided(changes, FILE)
            if entries:
                self._trail.append(entries)
                self._mark()
            self._begun = True
            self._waiting = ""
        except OSError as error:
            if strict:
                raise
            if self._waiting != self._said(error):
                self._waiting = self._said(error)
                self._log.warning("registry.edits_wait", error=self._said(error))

    def _due(self, edits: Sequence[Edit], touched: Collection[Key] = ()) -> Sequence[Edit]:
        now = time.time()
        ages = [now - edit.at for edit in edits]
        # A file system whose clock is ahead cannot tell how long it is.
        settled = all(age >= _SETTLED or age < -1 for age in ages) or any(age > _UNSETTLED for age in ages)
        if settled or not self._begun:
            return edits
        return [
            edit
            for edit in edits
            if edit.change.config is not None and (edit.change.kind, edit.change.name) in touched
        ]

    def _made_up_for(self, edits: Sequence[Edit], applied: int) -> list[Edit]:
        """Write the files that a process did not come to; gives the edits that are somebody's."""
        earlier: dict[Key, list[Entry]] = {}
        for entry in self._trail.backwards():
            if entry.revision <= applied:
                break
            earlier.setdefault((entry.kind, entry.name), []).append(entry)
        behind = [edit for edit in edits if self._is_earlier(edit.change, earlier)]
        keys = {(edit.change.kind, edit.change.name) for edit in behind}
        keys |= {
            key
            for key, entries in earlier.items()
            if entries[0].after is not None and entries[-1].before is None and not self._folder.has(key)
        }
        self._folder.move(self._folder.stage([earlier[key][0] for key in sorted(keys)]))
        self._mark()
        return [edit for edit in edits if edit not in behind]

    def _is_earlier(self, change: Change, earlier: dict[Key, list[Entry]]) -> bool:
        """Whether a file is what it was before one of these writes."""
        return any(
            entry.before is None if change.config is None else entry.before and same(entry.before, change)
            for entry in earlier.get((change.kind, change.name), ())
        )

    def _marked(self) -> int:
        """Which write the files have come to."""
        try:
            return int(self._applied.read_bytes())
        except (FileNotFoundError, ValueError):
            return 0

    def _mark(self) -> None:
        """Note that the files are what the trail says."""
        file = os.open(self._applied, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.pwrite(file, b"%20d\n" % self._trail.revision, 0)  # in place, so that it is never empty
        finally:
            os.close(file)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[bool]:
        """Hold the lock, and know what the others wrote; gives whether the folder can be written to."""
        writable = self._make()
        file = os.open(self._state / "lock", (os.O_RDWR | os.O_CREAT) if writable else os.O_RDONLY, 0o600)
        try:
            self._wait(file)
            if self._trail.catch_up() and writable:
                self._log.warning("registry.unfinished", path=str(self._trail.path))
                self._trail.cut()
            yield writable
        finally:
            os.close(file)

    def _make(self) -> bool:
        if self._begun and not self._trail.path.exists():
            raise RegistryDown(f"{self._trail.path} is gone")
        try:
            for folder in (self._root, self._state, self._state / "new"):
                folder.mkdir(mode=0o700, parents=folder is self._root, exist_ok=True)
            if not self._state.resolve().is_relative_to(self._root.resolve()):
                raise RegistryDown(f"{self._state} is a link that leads outside of the registry's folder")
            if not self._trail.path.exists():
                (self._state / ".gitignore").write_text("*\n")
                self._trail.path.touch(0o600)
                sync(self._state)
                sync(self._root)
            return os.access(self._trail.path, os.W_OK)
        except OSError:
            if self._trail.path.exists():
                return False
            raise

    def _wait(self, file: int) -> None:
        until = time.monotonic() + _PATIENCE
        for pause in itertools.chain((0.001,) * 20, itertools.repeat(0.005)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise RegistryDown(f"another process has held {self._state / 'lock'} for long") from None
                time.sleep(pause)
            else:
                return

    def _said(self, error: OSError) -> str:
        return f"{error.filename or self._root}: {error.strerror or error}"
