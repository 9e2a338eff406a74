"""Every registry there is, for the suites all of them are held to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from portico._config.strict import structured
from portico.api import Factory, Json, Registry
from portico.testing import make_host
from portico_plugins.registries.file import FILE
from portico_plugins.registries.memory import MEMORY
from portico_plugins.registries.sql import SQL, sql_schema
from portico_plugins.registries.sql.config import SqlConfig
from tests.databases import shared

Open = Callable[[], AbstractAsyncContextManager[Registry]]
"""Opens the same records, each time it is called, in a registry of its own."""

FACTORIES: dict[str, Factory[Any, Registry]] = {"memory": MEMORY, "file": FILE, "sql": SQL}


def _sqlite(folder: Path) -> Json:
    return {"use": "sql", "url": f"sqlite:///{folder / 'main.db'}", "timeout": 20}  # of a busy machine


def upgraded(url: str) -> str:
    """The URL of an empty database, once it has the schema."""

    async def upgrade() -> None:
        async with sql_schema(structured({"url": url}, SqlConfig, Path()), "main", Path(), Path()) as schema:
            await schema.upgrade()

    upgrading = threading.Thread(target=asyncio.run, args=[upgrade()])  # a loop may run in this one
    upgrading.start()
    upgrading.join()
    return url


def _served(kind: str, _: Path) -> Json:
    try:
        url = shared(kind).fresh()
    except LookupError as missing:
        pytest.skip(str(missing))

    return {"use": "sql", "url": upgraded(url), "timeout": 20}


TABLES: dict[str, Callable[[Path], Json]] = {
    "memory": lambda _: {"use": "memory"},
    "file": lambda folder: {"use": "file", "path": str(folder / "registry")},
    "sqlite": _sqlite,
    "postgresql": partial(_served, "postgresql"),
    "mariadb": partial(_served, "mariadb"),
}
"""By name: what gives, for an empty directory, a table of records that are empty at first."""


def opened(table: Json, folder: Path) -> AbstractAsyncContextManager[Registry]:
    """What a table configures, in this process; any process can."""
    factory = FACTORIES[table["use"]]
    config = structured({key: each for key, each in table.items() if key != "use"}, factory.config, folder)
    return factory.create(config, make_host("main", "registries", base=folder))


def _kept(make: Callable[[Path], Json], folder: Path) -> Open:
    return partial(opened, make(folder), folder)


KEPT_IN: dict[str, Callable[[Path], Open]] = {name: partial(_kept, make) for name, make in TABLES.items()}
"""By name: what gives, for an empty directory, a way to open records that are empty at first."""
