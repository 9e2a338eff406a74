"""The tables, as the newest revision of the schema has them."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Dialect, Double, Index, String, Table, Text
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.orm import declared_attr, registry
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from portico_plugins.registries.writing import MAX_NAME

MYSQL: Final = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
"""Options of every table there: what `a` and `A`, `é` and `e` are the same in, they would be for us, too."""


class Name(TypeDecorator[str]):
    """Text that is compared byte by byte.

    MariaDB and MySQL take no notice of spaces at the end, whatever the collation (those that do are
    not the same ones). So no text ends with one there: a full stop follows it, and another full stop.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length + 1)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """As it is kept."""
        ended = dialect.name == "mysql" and value is not None and value.endswith((" ", "."))
        return f"{value}." if ended else value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """As it was given."""
        return value.removesuffix(".") if dialect.name == "mysql" and value is not None else value


# `Any`, because sqlmodel would have types, and means instances of them, too.
_KIND: Final[Any] = Name(32)
_NAME: Final[Any] = Name(MAX_NAME)
_REQUEST: Final[Any] = String(64)
TEXT: Final[Any] = Text().with_variant(LONGTEXT(), "mysql")
"""Text of any length. JSON is kept as text: JSONB has no NUL, and its own idea of numbers."""


class _Base(SQLModel, registry=registry()):
    """Apart from tables others may have made with sqlmodel in this process."""

    @declared_attr.directive
    def __tablename__(cls) -> str:  # noqa: N805  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"portico_{cls.__name__.lower()}"


class Revision(_Base, table=True):
    """The registry's revision, in the one row there is; who writes holds a lock on it."""

    __table_args__ = MYSQL

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    revision: int = Field(sa_type=BigInteger)


class Records(_Base, table=True):
    """A record in each row."""

    __table_args__ = MYSQL

    kind: str = Field(primary_key=True, sa_type=_KIND)
    name: str = Field(primary_key=True, sa_type=_NAME)
    config: str = Field(sa_type=TEXT)
    about: str = Field(sa_type=TEXT)
    version: int = Field(sa_type=BigInteger)
    revision: int = Field(sa_type=BigInteger)
    created: float = Field(sa_type=Double)
    created_by: str = Field(sa_type=TEXT)
    updated: float = Field(sa_type=Double)
    updated_by: str = Field(sa_type=TEXT)
    via: str = Field(sa_type=TEXT)


class Audit(_Base, table=True):
    """One record changed by one write; `place` is its place among those of that write."""

    __table_args__ = (Index("portico_audit_of", "kind", "name", "revision", "place"), MYSQL)

    revision: int = Field(primary_key=True, sa_type=BigInteger)
    place: int = Field(primary_key=True)
    at: float = Field(sa_type=Double)
    subject: str = Field(sa_type=TEXT)
    via: str = Field(sa_type=TEXT)
    peer: str = Field(sa_type=TEXT)
    kind: str = Field(sa_type=_KIND)
    name: str = Field(sa_type=_NAME)
    version: int = Field(sa_type=BigInteger)
    before: str | None = Field(sa_type=TEXT)
    after: str | None = Field(sa_type=TEXT)
    request: str | None = Field(sa_type=_REQUEST)


def _table(row: Any) -> Table:
    found: Table = row.__table__
    return found


REVISION: Final = _table(Revision)
RECORDS: Final = _table(Records)
AUDIT: Final = _table(Audit)
