"""Where a database is, out of its URL."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from portico.api import Secret, nearest

Dialect = Literal["sqlite", "postgresql", "mysql"]
Tls = Literal["off", "require", "verify"]

_SCHEMES: Final[dict[str, Dialect]] = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
_SSL_MODES: Final[dict[str, Tls | None]] = {
    "disable": "off",
    "allow": None,
    "prefer": None,
    "require": "require",
    "verify-ca": "verify",
    "verify-full": "verify",
}
_DRIVERS: Final[dict[Dialect, tuple[str, str]]] = {
    "postgresql": ("asyncpg", "postgresql"),
    "mysql": ("aiomysql", "mysql"),
}
"""What has to be installed, and the extra that does it."""


@attrs.frozen
class Address:
    """One database.

    Attributes:
        dialect: Which SQL it speaks; MariaDB's is called `mysql`.
        path: The file, of SQLite.
        host: Where it listens; a path: the folder or file of its Unix socket.
        port: None for the usual one.
        user: Who to be there.
        password: Of that user.
        database: Its name there.
        tls: None: as the driver sees fit.
    """

    dialect: Dialect
    path: Path | None = None
    host: str = ""
    port: int | None = None
    user: str = ""
    password: Secret | None = None
    database: str = ""
    tls: Tls | None = None

    @property
    def shown(self) -> str:
        """For logs: without the password."""
        if self.path is not None:
            return f"sqlite:///{self.path}"
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"{self.dialect}://{user}{self.host}{port}/{self.database}"


def address_of(url: str) -> Address:
    """Take a URL apart. What it says of what is wrong never quotes more than the name of a part.

    Raises:
        ValueError: It is no URL of a database.
    """
    scheme, found, rest = url.partition("://")
    scheme = scheme.partition("+")[0].lower()
    dialect = _SCHEMES.get(scheme)
    if dialect is None or not found:
        known = ", ".join(f"{name}://" for name in _SCHEMES)
        raise ValueError(f"expected a URL that begins with one of {known}")
    if dialect == "sqlite":
        path = unquote(rest.partition("?")[0]).removeprefix("/")
        if not path or path == ":memory:":
            raise ValueError("expected a file, sqlite:///FILE; `memory` is a registry of its own")
        return Address("sqlite", path=Path(path).expanduser())
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("the host or port of the URL is not one") from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls = _ssl_mode(options.pop("sslmode", "prefer"))
    for name in ("host", "unix_socket"):
        host = options.pop(name, host)
    if options:
        raise ValueError(
            f"unknown parameter {', '.join(sorted(options))} in the URL; known are sslmode, host, unix_socket"
        )
    database = unquote(parts.path.removeprefix("/"))
    if not host or not database or "/" in database:
        raise ValueError(f"expected {scheme}://USER@HOST/DATABASE")
    password = Secret(unquote(parts.password)) if parts.password is not None else None
    return Address(
        dialect,
        host=host,
        port=port,
        user=unquote(parts.username or ""),
        password=password,
        database=database,
        tls=tls,
    )


def _ssl_mode(said: str) -> Tls | None:
    if said not in _SSL_MODES:
        raise ValueError(f"sslmode in the URL is none of {', '.join(_SSL_MODES)}{nearest(said, _SSL_MODES)}")
    return _SSL_MODES[said]


def missing_driver(dialect: Dialect) -> str:
    """What to install for such databases; "" when it is there."""
    module, extra = _DRIVERS.get(dialect, ("aiosqlite", ""))
    if importlib.util.find_spec(module) is not None:
        return ""
    return f"the driver {module} is not installed: pip install 'portico[{extra}]'"
