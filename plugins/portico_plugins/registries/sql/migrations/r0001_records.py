"""Records, the revision, and the audit trail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects.mysql import LONGTEXT

revision = "0001"
down_revision = None

_TABLE = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text().with_variant(LONGTEXT(), "mysql"), nullable=nullable)


def _name(name: str, length: int, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), primary_key=primary_key, nullable=False)


def _integer(name: str, primary_key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=primary_key, nullable=False, autoincrement=False)


def _seconds(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False)


def upgrade(op: Operations) -> None:
    """From nothing."""
    op.create_table(
        "portico_revision",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        _integer("revision"),
        if_not_exists=True,
        **_TABLE,
    )
    op.create_table(
        "portico_records",
        _name("kind", 33, primary_key=True),
        _name("name", 513, primary_key=True),
        _text("config"),
        _text("about"),
        _integer("version"),
        _integer("revision"),
        _seconds("created"),
        _text("created_by"),
        _seconds("updated"),
        _text("updated_by"),
        _text("via"),
        if_not_exists=True,
        **_TABLE,
    )
    op.create_table(
        "portico_audit",
        _integer("revision", primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        _seconds("at"),
        _text("subject"),
        _text("via"),
        _text("peer"),
        _name("kind", 33),
        _name("name", 513),
        _integer("version"),
        _text("before", nullable=True),
        _text("after", nullable=True),
        if_not_exists=True,
        **_TABLE,
    )
    revisions = sa.table("portico_revision", sa.column("id"), sa.column("revision"))
    if op.get_bind().execute(sa.select(revisions)).first() is None:
        op.execute(revisions.insert().values(id=1, revision=0))


def downgrade(op: Operations) -> None:
    """To nothing; the records are gone."""
    for name in ("portico_audit", "portico_records", "portico_revision"):
        op.drop_table(name, if_exists=True)
