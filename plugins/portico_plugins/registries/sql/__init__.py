"""Keeps records in an SQL database: SQLite with nothing to set up, PostgreSQL, MariaDB or MySQL.

What is imported here is little, and SQLAlchemy is not among it: only a gateway that has such a registry pays
for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from portico.api import (
    Factory,
    Host,
    Later,
    Registry,
    RegistryFactory,
    Schema,
    hookimpl,
)

if TYPE_CHECKING:
    from portico_plugins.registries.sql.address import Address
    from portico_plugins.registries.sql.config import SqlConfig

gateway_api = (1, 0)


def settings() -> type[SqlConfig]:
    """The keys of its table, imported where there is one."""
    from portico_plugins.registries.sql.config import SqlConfig

    return SqlConfig


def _address(config: SqlConfig, name: str, base: Path, state: Path) -> Address:
    """Where the database is."""
    import attrs

    from portico_plugins.registries.sql.address import Address, address_of

    if config.url is None:
        return Address("sqlite", path=state / f"{name}.db")
    address = address_of(config.url.reveal())
    if address.path is not None:
        return attrs.evolve(address, path=base / address.path)
    return attrs.evolve(address, password=config.password or address.password, tls=config.tls or address.tls)


@asynccontextmanager
async def sql_registry(config: SqlConfig, host: Host) -> AsyncIterator[Registry]:
    """Open a registry, whether its database is there or not."""
    from portico_plugins.registries.sql.database import Database
    from portico_plugins.registries.sql.registry import SqlRegistry

    address = _address(config, host.name, host.base, host.state)
    async with Database(address, config.ca, config.pool, config.timeout, host.log) as database:
        yield SqlRegistry(database, host.clock, config.poll)


@asynccontextmanager
async def sql_schema(config: SqlConfig, name: str, base: Path, state: Path) -> AsyncIterator[Schema]:
    """Open what `gateway db` changes."""
    from portico_plugins.registries.sql.database import Database
    from portico_plugins.registries.sql.schema import SqlSchema

    async with Database(_address(config, name, base, state), config.ca, 1, config.timeout) as database:
        yield SqlSchema(database)


SQL = Factory(
    name="sql",
    summary="Keeps records in SQLite, PostgreSQL, MariaDB or MySQL, for any number of gateways.",
    config=Later(settings),
    create=sql_registry,
    posture="hardened",
    schema=sql_schema,
)


@hookimpl
def gateway_registries() -> Sequence[RegistryFactory]:
    """This plugin's registry."""
    return (SQL,)
