"""The audit trail of one record is found without reading that of all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"

_INDEX = "portico_audit_of"


def _there(op: Operations) -> bool:
    return any(each["name"] == _INDEX for each in sa.inspect(op.get_bind()).get_indexes("portico_audit"))


def upgrade(op: Operations) -> None:
    """Make the index."""
    if not _there(op):
        op.create_index(_INDEX, "portico_audit", ["kind", "name", "revision", "place"])


def downgrade(op: Operations) -> None:
    """Drop it."""
    if _there(op):
        op.drop_index(_INDEX, "portico_audit")
