"""Every registry there is, for the suites all of them are held to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from portico.api import Registry, Secret
from portico.testing import make_host
from portico_plugins.registries.memory import MEMORY, MemoryConfig
from portico_plugins.registries.sql import SQL, SqlConfig, sql_schema
from tests.databases import shared

Open = Callable[[], AbstractAsyncContextManager[Registry]]
"""Opens the same records, each time it is called, in a registry of its own."""


def _memory(_: Path) -> Open:
    return lambda: MEMORY.create(MemoryConfig(), make_host("main", "registries"))


def _sqlite(folder: Path) -> Open:
    return lambda: SQL.create(SqlConfig(), make_host("main", "registries", base=folder))


def _served(kind: str) -> Callable[[Path], Open]:
    def kept(_: Path) -> Open:
        try:
            url = shared(kind).fresh()
        except LookupError as missing:
            pytest.skip(str(missing))
        upgraded = False

        @asynccontextmanager
        async def opened() -> AsyncIterator[Registry]:
            nonlocal upgraded
            config = SqlConfig(url=Secret(url))
            if not upgraded:
                async with sql_schema(config, "main", Path(), Path()) as schema:
                    await schema.upgrade()
                upgraded = True
            async with SQL.create(config, make_host("main", "registries")) as registry:
                yield registry

        return opened

    return kept


KEPT_IN: dict[str, Callable[[Path], Open]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _served("postgresql"),
    "mariadb": _served("mariadb"),
}
"""By name: what gives, for an empty directory, a way to open records that are empty at first."""
