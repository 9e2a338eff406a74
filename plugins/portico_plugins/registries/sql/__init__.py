"""Keeps records in an SQL database: SQLite with nothing to set up, PostgreSQL, MariaDB or MySQL.

What is imported here is little, and SQLAlchemy is not among it: only a gateway that has such a registry pays
for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import attrs

from portico.api import (
    Factory,
    Host,
    Registry,
    RegistryFactory,
    Schema,
    Secret,
    at_least,
    doc,
    hookimpl,
    positive,
)
from portico_plugins.registries.sql.address import Address, address_of, missing_driver

gateway_api = (1, 0)


def _usable(_: Any, __: Any, url: Secret | None) -> None:
    if url is not None and (missing := missing_driver(address_of(url.reveal()).dialect)):
        raise ValueError(missing)


@attrs.frozen
class SqlConfig:
    """Config of the `sql` registry."""

    url: Secret | None = attrs.field(
        default=None,
        validator=_usable,
        metadata=doc(
            "`postgresql://USER:PASSWORD@HOST/DATABASE`, `mariadb://...`, `mysql://...`, or "
            "`sqlite:///FILE`. By default a SQLite file in `gateway.state`, named like the registry.",
            example="postgresql://portico@db.internal/portico",
        ),
    )
    password: Secret | None = attrs.field(
        default=None,
        metadata=doc("The password, where it is not part of `url`.", example="${file:/run/secrets/db}"),
    )
    tls: Literal["off", "require", "verify"] | None = attrs.field(
        default=None,
        metadata=doc(
            "TLS to the database: none, any certificate, or one that is verified. By default what `sslmode` "
            "in `url` says, else whatever the server offers (PostgreSQL) or none (MariaDB, MySQL)."
        ),
    )
    ca: Path | None = attrs.field(
        default=None,
        metadata=doc("Certificates (PEM) that `verify` trusts; by default those of the system."),
    )
    pool: int = attrs.field(
        default=3, validator=at_least(1), metadata=doc("The most connections of a worker, but for one more.")
    )
    timeout: float = attrs.field(
        default=3.0,
        validator=positive,
        metadata=doc("Seconds after which the database counts as away; large writes get more."),
    )
    poll: float = attrs.field(
        default=0.4,
        validator=positive,
        metadata=doc(
            "Seconds between two looks at whether another gateway has changed something. PostgreSQL says so "
            "by itself, and is asked ten times less often."
        ),
    )


def _address(config: SqlConfig, name: str, base: Path, state: Path) -> Address:
    """Where the database is."""
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
    config=SqlConfig,
    create=sql_registry,
    posture="hardened",
    schema=sql_schema,
)


@hookimpl
def gateway_registries() -> Sequence[RegistryFactory]:
    """This plugin's registry."""
    return (SQL,)
