"""Who owns which task and context of which agent, in a small SQLite database that all workers share."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal

Kind = Literal["task", "context"]
Key = tuple[Kind, str]

_SWEEP_EVERY: Final = 256  # claims

_TRIES: Final = 250
_PAUSE: Final = 0.02  # seconds; on the ledger's own thread

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS owned (
    upstream TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, used REAL NOT NULL,
    PRIMARY KEY (upstream, kind, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS owned_used ON owned (used);
CREATE INDEX IF NOT EXISTS owned_owner ON owned (upstream, kind, owner);
"""


class Ledger:
    """The database. Its methods block, and are not to be called by two threads at once.

    Args:
        file: Where it is; made, with its folder, when it is opened. None for one in memory.
        upstream: The agent's name.
        most: How many ids are kept, of all agents together; those not used for the longest go first.
        keep: Seconds for which an id is kept that nobody uses.
    """

    def __init__(self, file: Path | None, upstream: str, most: int, keep: float) -> None:
        self._file = file
        self._upstream = upstream
        self._most = most
        self._keep = keep
        self._claims = 0
        self._database: sqlite3.Connection | None = None

    def claim(self, owner: str, keys: Iterable[Key], now: float) -> dict[Key, str]:
        """Write an owner to ids that have none; gives the owner that each has then."""
        wanted = list(keys)
        database = self._opened()
        with database:
            database.executemany(
                "INSERT INTO owned VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET used = excluded.used",
                [(self._upstream, kind, ident, owner, now) for kind, ident in wanted],
            )
            self._claims += 1
            if self._claims % _SWEEP_EVERY == 1:
                self._sweep(database, now)
            return self._owners(database, wanted)

    def look(self, keys: Iterable[Key], now: float) -> dict[Key, str]:
        """The owners of those ids that have one, which are in use from now on."""
        database = self._opened()
        with database:
            found = self._owners(database, keys)
            database.executemany(
                "UPDATE owned SET used = ? WHERE upstream = ? AND kind = ? AND id = ?",
                [(now, self._upstream, kind, ident) for kind, ident in found],
            )
        return found

    def count(self, owner: str) -> int:
        """How many tasks somebody has."""
        counted = self._opened().execute(
            "SELECT count(*) FROM owned WHERE upstream = ? AND kind = 'task' AND owner = ?",
            (self._upstream, owner),
        )
        return int(counted.fetchone()[0])

    def close(self) -> None:
        """Close it."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _owners(self, database: sqlite3.Connection, keys: Iterable[Key]) -> dict[Key, str]:
        found: dict[Key, str] = {}
        for kind, ident in keys:
            row = database.execute(
                "SELECT owner FROM owned WHERE upstream = ? AND kind = ? AND id = ?",
                (self._upstream, kind, ident),
            ).fetchone()
            if row is not None:
                found[kind, ident] = str(row[0])
        return found

    def _sweep(self, database: sqlite3.Connection, now: float) -> None:
        database.execute("DELETE FROM owned WHERE used < ?", (now - self._keep,))
        count = int(database.execute("SELECT count(*) FROM owned").fetchone()[0])
        if count > self._most:
            database.execute(
                "DELETE FROM owned WHERE (upstream, kind, id) IN"
                " (SELECT upstream, kind, id FROM owned ORDER BY used LIMIT ?)",
                (count - self._most,),
            )

    @property
    def opened(self) -> bool:
        """Whether it is open."""
        return self._database is not None

    def in_memory(self) -> Ledger:
        """One like it that leaves nothing behind."""
        return Ledger(None, self._upstream, self._most, self._keep)

    def open(self) -> None:
        """Open it; every other method needs that.

        Raises:
            OSError: Its file cannot be had.
            sqlite3.Error: That is no database, or of no use.
        """
        where = ":memory:"
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file.touch(mode=0o600)
            where = str(self._file)
        database = sqlite3.connect(where, timeout=5.0, check_same_thread=False)
        try:
            if self._file is not None:
                _patiently(lambda: database.execute("PRAGMA journal_mode = WAL"))
                database.execute("PRAGMA synchronous = OFF")  # what a power cut takes, clients begin anew
            _patiently(lambda: database.executescript(_SCHEMA))
        except BaseException:
            database.close()
            raise
        self._database = database

    def _opened(self) -> sqlite3.Connection:
        assert self._database is not None
        return self._database


def _patiently(step: Callable[[], object]) -> None:
    """Do what another worker may be doing at this moment; SQLite's own timeout does not cover it."""
    for left in range(_TRIES, -1, -1):
        try:
            step()
            return
        except sqlite3.OperationalError as error:
            if not left or error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            time.sleep(_PAUSE)
