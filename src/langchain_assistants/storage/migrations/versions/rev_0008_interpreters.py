"""Interpreter sessions of threads, the time they took, and attachments by thread."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, the column and the index."""
    op.create_table(
        "interpreter_sessions",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("thread_id", name=op.f("pk_interpreter_sessions")),
        sqlite_with_rowid=False,
    )
    op.add_column("runs", sa.Column("interpreter_seconds", sa.Float()))
    attached = sa.text("attachments IS NOT NULL")
    op.create_index(
        "ix_messages_attachments",
        "messages",
        ["thread_id", "seq"],
        sqlite_where=attached,
        postgresql_where=attached,
    )
