"""The audit trail says by which request something was changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0003"
down_revision = "0002"

_COLUMN = "request"


def _there(op: Operations) -> bool:
    return any(each["name"] == _COLUMN for each in sa.inspect(op.get_bind()).get_columns("portico_audit"))


def upgrade(op: Operations) -> None:
    """Add the column; what was changed before says nothing there."""
    if not _there(op):
        op.add_column("portico_audit", sa.Column(_COLUMN, sa.String(64), nullable=True))


def downgrade(op: Operations) -> None:
    """Drop it, and what it says."""
    if _there(op):
        op.drop_column("portico_audit", _COLUMN)
