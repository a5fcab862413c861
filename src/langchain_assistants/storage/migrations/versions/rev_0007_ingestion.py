"""Who indexes a file in a vector store, which files wait for it, equal contents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the indexes."""
    op.add_column("vector_store_files", sa.Column("worker", sa.Text(), nullable=True))
    op.create_index(
        "ix_vector_store_files_to_index",
        "vector_store_files",
        ["seq"],
        sqlite_where=sa.text("status = 'in_progress'"),
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.create_index("ix_files_sha256", "files", ["sha256"])
