"""Forks of threads, where messages were taken from, where in a graph runs started."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_messages_source", "messages", ["thread_id", "source_id"], "source_id", True),
    ("ix_runs_graph_task", "runs", ["graph_task"], "graph_task", False),
)


def upgrade() -> None:
    """Add the columns and what finds them."""
    op.add_column("threads", sa.Column("parent_run", sa.Integer(), nullable=True))
    op.add_column("messages", sa.Column("source_id", sa.Text(), nullable=True))
    for name in ("graph_thread", "graph_node", "graph_task"):
        op.add_column("runs", sa.Column(name, sa.Text(), nullable=True))
    for index, table, columns, given, unique in _INDEXES:
        where = sa.text(f"{given} IS NOT NULL")
        op.create_index(
            index,
            table,
            columns,
            unique=unique,
            sqlite_where=where,
            postgresql_where=where,
        )
