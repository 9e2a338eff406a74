"""The schema: what there is, what is needed, and the way from one to the other."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from portico.api import ConfigError, nearest
from portico_plugins.registries.sql.database import Database
from portico_plugins.registries.sql.engine import WRITING

NEEDED: Final = "0003"
"""The newest revision; known here so that Alembic is imported only where there is something to change."""

VERSIONS: Final = "portico_schema"
"""The table in which Alembic keeps the revision."""

_SECONDS: Final = 600.0
"""That a change may take: tables may be large."""

_LOCK: Final = 0x706F7274
_LOCK_NAME: Final = "CONCAT('portico ', MD5(DATABASE()))"
_WAIT: Final = 60


class SqlSchema:
    """The schema of one database.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self) -> tuple[str, str]:
        """See `Schema.current`."""

        async def look() -> str:
            async with self._database.engine.connect() as connection:
                return await connection.run_sync(_current)

        return await self._database.run(look), NEEDED

    async def upgrade(self, revision: str | None = None) -> None:
        """See `Schema.upgrade`."""
        await self._change(lambda connection: _move(connection, revision or NEEDED, up=True))

    async def downgrade(self, revision: str | None = None) -> None:
        """See `Schema.downgrade`."""
        await self._change(lambda connection: _move(connection, revision, up=False))

    async def ensure(self) -> None:
        """Have what is needed there. SQLite, which has nobody else to see to it, is brought up to it.

        Raises:
            RegistryDown: It is not there, and somebody is to bring it up to it; says how.
        """
        if self._database.address.dialect == "sqlite":
            await self._wal()
        async with self._database.engine.connect() as connection:
            found = await connection.run_sync(_current)
        if found == NEEDED:
            return
        if self._database.address.dialect == "sqlite" and found < NEEDED:
            async with self._database.writing() as connection:  # others that start at once wait here
                await connection.run_sync(lambda each: _move(each, NEEDED, up=True))
            return
        if found > NEEDED:
            said = f"is of a newer version: it has revision {found}, and this one knows {NEEDED}"
        else:
            has = f"revision {found}" if found else "no tables"
            said = f"has {has}, and {NEEDED} is needed: run `gateway db upgrade`"
        raise self._database.down(f"the schema of the database {said}", f"it {said}")

    async def _wal(self) -> None:
        """Readers and the writer of a file do not wait for each other."""
        for attempt in range(50):
            try:
                async with self._database.engine.connect() as connection:
                    driver: Any = (await connection.get_raw_connection()).driver_connection
                    # Not through SQLAlchemy, which would begin a transaction.
                    await (await driver.execute("PRAGMA journal_mode=WAL")).close()
                return
            except sqlite3.OperationalError as error:  # SQLite does not wait when two want this at once
                if "locked" not in str(error) or attempt == 49:
                    raise
                await asyncio.sleep(0.05)

    async def _change(self, change: Callable[[Connection], None]) -> None:
        async def work() -> None:
            if self._database.address.dialect == "sqlite":
                await self._wal()
            async with self._database.engine.connect() as connection, _alone(connection):
                await connection.run_sync(change)

        await self._database.run(work, _SECONDS)


def _current(connection: Connection) -> str:
    if not inspect(connection).has_table(VERSIONS):
        return ""
    return connection.execute(text(f"SELECT version_num FROM {VERSIONS}")).scalar() or ""  # noqa: S608


@asynccontextmanager
async def _alone(connection: AsyncConnection) -> AsyncIterator[None]:
    """A transaction in which nobody else changes the schema."""
    await connection.execution_options(**WRITING)
    mysql = connection.dialect.name == "mysql"
    if mysql:  # where a change of the schema ends a transaction, and with it whatever that has locked
        got = (await connection.execute(text(f"SELECT GET_LOCK({_LOCK_NAME}, {_WAIT})"))).scalar()
        await connection.commit()
        if got != 1:
            raise OSError(f"the schema has been changed by somebody else for {_WAIT} s")
    try:
        async with connection.begin():
            if connection.dialect.name == "postgresql":
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            yield
    finally:
        if mysql:
            await connection.execute(text(f"SELECT RELEASE_LOCK({_LOCK_NAME})"))


def _move(connection: Connection, revision: str | None, *, up: bool) -> None:
    """Go to a revision, one script after the other; None: one down.

    Raises:
        ConfigError: There is no way there.
    """
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext, MigrationStep
    from alembic.script import ScriptDirectory

    folder = Path(__file__).parent / "migrations"
    scripts = ScriptDirectory(folder, version_locations=[folder])
    known = [each.revision for each in scripts.walk_revisions()][::-1]
    found = _current(connection)
    if found and found not in known:
        raise ConfigError([("", f"the schema has revision {found}, of another version of Portico")])
    at = known.index(found) + 1 if found else 0
    if revision is None:
        to = max(at - 1, 0)
    elif revision and revision not in known:
        raise ConfigError([("", f"there is no revision {revision!r}{nearest(revision, known, 'revisions')}")])
    else:
        to = known.index(revision) + 1 if revision else 0
    if (to < at) if up else (to > at):
        way = "above" if up else "below"
        raise ConfigError([("", f"revision {revision or 'none'} is not {way} {found or 'none'}")])
    steps = [
        (MigrationStep.upgrade_from_script if up else MigrationStep.downgrade_from_script)(
            scripts.revision_map, scripts.get_revision(each)
        )
        for each in (known[at:to] if up else known[to:at][::-1])
    ]
    context = MigrationContext.configure(connection, opts={"version_table": VERSIONS, "fn": lambda *_: steps})
    context.run_migrations(op=Operations(context))
