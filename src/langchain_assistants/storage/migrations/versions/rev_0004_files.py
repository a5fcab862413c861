"""Files and their uploads in parts, vector stores and the files in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "files",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("mime_type", sa.Text(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_files")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_files_expires_at",
        "files",
        ["expires_at"],
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index("ix_files_id", "files", ["id"], unique=True)
    op.create_index(
        "ix_files_tenant_purpose_seq", "files", ["tenant", "purpose", "seq"]
    )
    op.create_index("ix_files_tenant_seq", "files", ["tenant", "seq"])
    op.create_table(
        "upload_parts",
        sa.Column("upload_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("upload_id", "id", name=op.f("pk_upload_parts")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_upload_parts_id", "upload_parts", ["id"], unique=True)
    op.create_table(
        "uploads",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("mime_type", sa.Text(), nullable=False),
        sa.Column("file_expires_after", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_uploads_pending",
        "uploads",
        ["expires_at"],
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "vector_store_file_batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("vector_store_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vector_store_file_batches")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_vector_store_file_batches_store",
        "vector_store_file_batches",
        ["vector_store_id"],
    )
    op.create_table(
        "vector_store_files",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("vector_store_id", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("chunking_strategy", sa.Text(), nullable=False),
        sa.Column("usage_bytes", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_vector_store_files")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_vector_store_files_batch",
        "vector_store_files",
        ["batch_id", "status", "seq"],
        sqlite_where=sa.text("batch_id IS NOT NULL"),
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    op.create_index(
        "ix_vector_store_files_file",
        "vector_store_files",
        ["vector_store_id", "file_id"],
        unique=True,
    )
    op.create_index("ix_vector_store_files_file_id", "vector_store_files", ["file_id"])
    op.create_index(
        "ix_vector_store_files_seq", "vector_store_files", ["vector_store_id", "seq"]
    )
    op.create_index(
        "ix_vector_store_files_status",
        "vector_store_files",
        ["vector_store_id", "status", "seq", "usage_bytes"],
    )
    op.create_table(
        "vector_stores",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("last_active_at", sa.Float(), nullable=False),
        sa.Column("expires_days", sa.Integer(), nullable=True),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("expired", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("embedding_model", sa.Text(), nullable=True),
        sa.Column("embedding_dimensions", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_vector_stores")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_vector_stores_expires_at",
        "vector_stores",
        ["expires_at"],
        sqlite_where=sa.text("expired = 0 AND expires_at IS NOT NULL"),
        postgresql_where=sa.text("expired = 0 AND expires_at IS NOT NULL"),
    )
    op.create_index("ix_vector_stores_id", "vector_stores", ["id"], unique=True)
    op.create_index("ix_vector_stores_tenant_seq", "vector_stores", ["tenant", "seq"])
