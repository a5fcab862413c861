"""Forks are found by the thread they came from, when that is deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    where = sa.text("parent_id IS NOT NULL")
    op.create_index(
        "ix_threads_parent_id",
        "threads",
        ["parent_id"],
        sqlite_where=where,
        postgresql_where=where,
    )
