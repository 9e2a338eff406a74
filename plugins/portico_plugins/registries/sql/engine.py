"""A SQLAlchemy engine for each kind of database, with what makes it keep what it has acknowledged."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from portico_plugins.registries.sql.address import Address

_BEGIN = "portico_begin"
WRITING = {_BEGIN: "BEGIN IMMEDIATE"}
"""Execution options of a connection that is going to write; SQLite wants to know beforehand."""

_POOL_LOGGER = "sqlalchemy.pool.impl.AsyncAdaptedQueuePool"
_LOGGED_AS = "portico"

_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = {seconds}"
    # Of MariaDB only: one who stands still in the middle of a write must not keep others from writing.
    " /*M!100300 , idle_write_transaction_timeout = {seconds} */"
)


def make_engine(address: Address, ca: Path | None, pool: int, timeout: float) -> AsyncEngine:
    """An engine that has not connected yet.

    Args:
        address: Where the database is.
        ca: What a verified certificate is signed with.
        pool: The most connections.
        timeout: Seconds after which one is away.
    """
    # A connection that ends badly is an outage, which is told elsewhere, and without a traceback.
    logging.getLogger(f"{_POOL_LOGGER}.{_LOGGED_AS}").setLevel(logging.CRITICAL)
    common: dict[str, Any] = {
        "pool_size": pool,
        "max_overflow": 0,
        "pool_timeout": timeout,
        "hide_parameters": True,
        "pool_logging_name": _LOGGED_AS,
    }
    if address.path is not None:
        return _sqlite(address.path, common, timeout)
    common |= {"pool_pre_ping": True, "isolation_level": "READ COMMITTED"}
    arguments: dict[str, Any]
    if address.dialect == "postgresql":
        driver = "postgresql+asyncpg"
        common["pool_size"] = pool + 1  # one listens all the time
        arguments = {
            "timeout": timeout,
            "server_settings": {"application_name": "portico"},
        }
        if address.tls is not None:
            arguments["ssl"] = _tls(address, ca) or False
    else:
        driver = "mysql+aiomysql"
        arguments = {
            "connect_timeout": timeout,
            "charset": "utf8mb4",
            "init_command": _SESSION.format(seconds=max(1, round(timeout))),
        }
        if address.tls is not None:
            arguments["ssl"] = _tls(address, ca)
    host: str | None = address.host
    if address.host.startswith("/"):
        host = None
        arguments["host" if address.dialect == "postgresql" else "unix_socket"] = address.host
    password = address.password.reveal() if address.password is not None else None
    url = URL.create(driver, address.user or None, password, host, address.port, address.database)
    return create_async_engine(url, connect_args=arguments, **common)


def _tls(address: Address, ca: Path | None) -> ssl.SSLContext | None:
    if address.tls == "off":
        return None
    context = ssl.create_default_context(cafile=ca)
    if address.tls != "verify":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _sqlite(path: Path, common: dict[str, Any], timeout: float) -> AsyncEngine:
    arguments = {"timeout": timeout, "isolation_level": None}  # None: transactions begin where we say so
    url = URL.create("sqlite+aiosqlite", database=str(path))
    engine = create_async_engine(url, connect_args=arguments, **common)

    @event.listens_for(engine.sync_engine, "do_connect")
    def make(*_: object) -> None:
        """Nobody else may read it, or the files that SQLite puts beside it."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")  # in WAL mode the default would lose writes with the power
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    return engine
