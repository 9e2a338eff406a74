"""Hearing of new revisions: PostgreSQL says so, and the others are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from portico.api import RegistryDown
from portico_plugins.registries.sql.database import Database

CHANNEL: Final = "portico_registry"
"""Where PostgreSQL says it; each database has channels of its own."""

_RARELY: Final = 10
"""How many times less often who says so by itself is asked: only in case that did not get through."""


class Watch:
    """Who watches one registry.

    Args:
        database: Its database.
        revision: Asks for the revision.
        poll: Seconds between two times.
    """

    def __init__(self, database: Database, revision: Callable[[], Awaitable[int]], poll: float) -> None:
        self._database = database
        self._revision = revision
        self._poll = poll
        self._known: int | None = None
        self._look = asyncio.Event()
        self._listening: AsyncConnection | None = None

    async def start(self) -> None:
        """Know where it begins. While the database is away, whatever there will be is news."""
        with suppress(RegistryDown):
            self._known = await self._revision()

    async def stop(self) -> None:
        """Give back what is held."""
        await self._deafen()

    def look(self) -> None:
        """There may be a new one."""
        self._look.set()

    async def following(self) -> int:
        """The next revision.

        Raises:
            RegistryDown: The database is away.
        """
        while True:
            self._look.clear()
            try:
                await self._listen()
                revision = await self._revision()
            except RegistryDown:
                await self._deafen()  # the connection that listens may be dead, too, without a sound
                raise
            if revision != self._known:
                self._known = revision
                return revision
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll * (_RARELY if self._listening is not None else 1)):
                    await self._look.wait()

    async def _listen(self) -> None:
        if self._database.address.dialect == "postgresql" and self._listening is None:
            self._listening = await self._database.run(self._connect)

    async def _connect(self) -> AsyncConnection:
        connection = await self._database.engine.connect()
        try:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            driver.add_termination_listener(self._lost)
            await driver.add_listener(CHANNEL, self._heard)
        except BaseException:
            await _end(connection)
            raise
        return connection

    def _heard(self, *_: object) -> None:
        self.look()

    def _lost(self, *_: object) -> None:
        lost, self._listening = self._listening, None
        if lost is not None:
            self._database.later(lambda: _end(lost))
            self.look()  # whoever waits asks now, and then listens anew

    async def _deafen(self) -> None:
        held, self._listening = self._listening, None
        if held is not None:
            with suppress(RegistryDown):
                await self._database.run(lambda: _end(held))


async def _end(connection: AsyncConnection) -> None:
    """Give up a connection, and not to those that are used again: it listens."""
    await connection.invalidate()
    await connection.close()
