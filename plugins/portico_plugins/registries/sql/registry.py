"""The registry: what it reads and writes, each in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, delete, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portico.api import Author, Change, Clock, Entry, Record, RegistryDown
from portico_plugins.registries.sql.database import REFUSES, Database
from portico_plugins.registries.sql.rows import entry_of, of_entries, of_record, record_of
from portico_plugins.registries.sql.schema import SqlSchema
from portico_plugins.registries.sql.tables import AUDIT, RECORDS, REVISION
from portico_plugins.registries.sql.watching import CHANNEL, Watch
from portico_plugins.registries.writing import Key, check, decide, ordered

T = TypeVar("T")

_AT_ONCE: Final = 200
"""Keys in one statement."""

_PER_SECOND: Final = 50
"""Changes for which a write has a second more."""

_SCHEMA: Final = 20.0
"""Seconds for the first thing that is done, before which the schema may have to be made."""

_REVISION: Final = select(REVISION.c.revision).where(REVISION.c.id == 1)


class SqlRegistry:
    """Records in a database.

    Args:
        database: The database.
        clock: Tells when changes are made.
        poll: Seconds between two looks at the revision.
    """

    def __init__(self, database: Database, clock: Clock, poll: float) -> None:
        self._database = database
        self._clock = clock
        self._poll = poll
        self._schema = SqlSchema(database)
        self._ready = False
        self._first = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._watches: set[Watch] = set()

    async def load(self) -> tuple[int, Sequence[Record]]:
        """See `Registry.load`."""

        async def work() -> tuple[int, Sequence[Record]]:
            async with self._database.reading() as connection:
                revision = (await connection.execute(_REVISION)).scalar_one()
                rows = (await connection.execute(select(RECORDS))).all()
            records = (record_of(row) for row in rows)
            return revision, ordered({(each.kind, each.name): each for each in records})

        return await self._run(work)

    async def write(self, changes: Sequence[Change], author: Author, *, expected: int | None = None) -> int:
        """See `Registry.write`."""
        check(changes)

        async def work() -> int:
            async with self._writing, self._database.writing() as connection:
                return await self._write(connection, changes, author, expected)

        revision = await self._run(work, self._database.timeout + len(changes) / _PER_SECOND)
        for watch in self._watches:
            watch.look()
        return revision

    async def _write(
        self, connection: AsyncConnection, changes: Sequence[Change], author: Author, expected: int | None
    ) -> int:
        if self._database.address.dialect == "postgresql":
            await connection.execute(_limits(self._database.timeout))
        revision: int = (await connection.execute(_REVISION.with_for_update())).scalar_one()
        current: dict[Key, Record] = {}
        for keys in _batches([(change.kind, change.name) for change in changes]):
            rows = await connection.execute(select(RECORDS).where(_is_one_of(keys)))
            current |= {(each.kind, each.name): each for each in map(record_of, rows)}
        entries = decide(current, revision, changes, author, expected, self._clock.time())
        if not entries:
            return revision
        for keys in _batches([(each.kind, each.name) for each in entries if each.before is not None]):
            await connection.execute(delete(RECORDS).where(_is_one_of(keys)))
        kept = [of_record(each.after) for each in entries if each.after is not None]
        if kept:
            await connection.execute(insert(RECORDS), kept)
        await connection.execute(insert(AUDIT), of_entries(entries))
        await connection.execute(update(REVISION).where(REVISION.c.id == 1).values(revision=revision + 1))
        if self._database.address.dialect == "postgresql":
            await connection.execute(select(func.pg_notify(CHANNEL, str(revision + 1))))
        return revision + 1

    async def history(
        self, kind: str | None = None, name: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> Sequence[Entry]:
        """See `Registry.history`."""
        query = select(AUDIT).order_by(AUDIT.c.revision.desc(), AUDIT.c.place.desc()).limit(limit)
        if kind is not None:
            query = query.where(AUDIT.c.kind == kind)
        if name is not None:
            query = query.where(AUDIT.c.name == name)
        if before is not None:
            query = query.where(AUDIT.c.revision < before)

        async def work() -> Sequence[Entry]:
            async with self._database.engine.connect() as connection:
                return [entry_of(row) for row in await connection.execute(query)]

        return await self._run(work)

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Callable[[], Awaitable[int]]]:
        """See `Registry.watch`."""
        watch = Watch(self._database, self._revision, self._poll)
        self._watches.add(watch)
        try:
            await watch.start()
            yield watch.following
        finally:
            self._watches.discard(watch)
            await watch.stop()

    async def _revision(self) -> int:
        async def work() -> int:
            async with self._database.engine.connect() as connection:
                revision: int = (await connection.execute(_REVISION)).scalar_one()
                return revision

        return await self._run(work)

    async def _run(self, work: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
        if not self._ready:
            # A schema that has to be made there and then, perhaps after others have, takes its time.
            seconds_ = _SCHEMA if self._database.address.dialect == "sqlite" else None
            await self._database.run(self._prepare, seconds_)
        try:
            return await self._database.run(work, seconds)
        except RegistryDown as down:
            self._ready = self._ready and str(down) != REFUSES  # its tables may be gone, or be others
            raise

    async def _prepare(self) -> None:
        async with self._first:
            if not self._ready:
                await self._schema.ensure()
                self._ready = True


def _batches(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    return (keys[at : at + _AT_ONCE] for at in range(0, len(keys), _AT_ONCE))


def _is_one_of(keys: Sequence[Key]) -> ColumnElement[bool]:
    return tuple_(RECORDS.c.kind, RECORDS.c.name).in_(keys)


def _limits(seconds: float) -> Any:
    """One who stands still in the middle of a write must not keep others from writing.

    Of this transaction only, so that it holds behind PgBouncer, too.
    """
    wait = f"{round(seconds * 1000)}ms"
    return select(
        func.set_config("lock_timeout", wait, True),
        func.set_config("idle_in_transaction_session_timeout", wait, True),
    )
