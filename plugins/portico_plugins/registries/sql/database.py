"""One database: work is done in it in bounded time, and whatever way it is away is said in one way."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from portico.api import Log, RegistryDown
from portico_plugins.registries.sql.address import Address
from portico_plugins.registries.sql.engine import WRITING, make_engine

T = TypeVar("T")

AWAY: Final = "the database cannot be reached"
REFUSES: Final = "the database refuses"
"""What is said of a database that is there, and says no."""

_CLOSING: Final = 2.0
"""Seconds that connections have for ending well."""


class Database:
    """Opened by entering it; it connects when it is first used.

    Args:
        address: Where it is.
        ca: What a verified certificate is signed with.
        pool: The most connections.
        timeout: Seconds after which it counts as away.
        log: Is told in full how it is away; the errors, which strangers may get to see, say that in a note.
    """

    def __init__(
        self, address: Address, ca: Path | None, pool: int, timeout: float, log: Log | None = None
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.engine = make_engine(address, ca, pool, timeout)
        self._log = log
        self._said = ""
        self._running: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=self.timeout)
        closing = asyncio.create_task(self.engine.dispose())
        self._keep(closing)
        await asyncio.wait([closing], timeout=_CLOSING)
        for task in self._running:  # what is left waits for a peer that says nothing
            task.cancel()

    async def run(self, work: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
        """Do something in it, in its own task: whoever waits may leave, and it comes to its end all the same.

        Args:
            work: What to do.
            seconds: That it may take; the usual ones by default.

        Raises:
            RegistryDown: The database is away, or took too long.
        """
        seconds = seconds if seconds is not None else self.timeout
        task = asyncio.ensure_future(self._translated(work))
        self._keep(task)
        limit = asyncio.get_running_loop().call_later(seconds, task.cancel)
        task.add_done_callback(lambda _: limit.cancel())
        # Not a moment longer: cleaning up may take as long as it likes, with nobody waiting for it.
        done, _ = await asyncio.wait([task], timeout=seconds)
        if not done or task.cancelled():
            raise self.down("the database does not answer", f"not within {seconds:g} s")
        result = task.result()
        self._said = ""
        return result

    def later(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do something that nobody waits for."""
        task = asyncio.ensure_future(self._translated(work))
        self._keep(task)
        limit = asyncio.get_running_loop().call_later(self.timeout, task.cancel)
        task.add_done_callback(lambda _: limit.cancel())

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._running.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # has been looked at, also when nobody waits any more

    async def _translated(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        except Exception as error:
            said = _how_away(error)
            if said is None:
                raise
            raise self.down(said, _in_full(error)) from None

    def down(self, said: str, full: str) -> RegistryDown:
        """The error that says how it is away; the log gets to know once."""
        secret = self.address.password.reveal() if self.address.password is not None else ""
        full = full.replace(secret, "***") if secret else full
        if self._log is not None and full != self._said:
            self._log.warning("registry.database", database=self.address.shown, problem=said, error=full)
            self._said = full
        down = RegistryDown(said)
        down.add_note(f"{self.address.shown}: {full}")
        return down

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the database, however long it looks."""
        options = {} if self.address.dialect == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self.engine.connect())
            yield await connection.execution_options(**options)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose changes are made when it is left, unless it is left with an error."""
        async with self.engine.connect() as connection:
            await connection.execution_options(**WRITING)
            async with connection.begin():
                yield connection


def _how_away(error: Exception) -> str | None:
    """What to say of an error that means that the database is away; None for any other."""
    if isinstance(error, RegistryDown):
        return None
    if isinstance(error, DBAPIError):
        if error.orig is not None and isinstance(error.orig.__cause__, OSError):
            return AWAY
        # These two are faults of ours, or of somebody who changes the tables by hand.
        return None if isinstance(error, IntegrityError | DataError) else REFUSES
    if isinstance(error, SQLAlchemyError):
        return None if isinstance(error, StatementError) else "the database cannot be used"
    if isinstance(error, OSError | EOFError | sqlite3.Error):
        return AWAY
    return REFUSES if type(error).__module__.startswith("asyncpg") else None


def _in_full(error: Exception) -> str:
    """Without the statement and what was in it."""
    first: BaseException = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = [f"{type(each).__name__}: {each}" for each in (first, first.__cause__) if each is not None]
    return ", from ".join(each.partition("\n")[0] for each in said)
