"""The tables of the database, as SQLAlchemy Core metadata.

Migrations are written out by hand in `migrations/`; a test keeps the two equal.
Times are seconds since the epoch (REAL), JSON is text.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ACTIVE = text(
    "head = 1 AND status IN ('queued', 'in_progress', 'requires_action', 'cancelling')"
)
"""A run that holds its thread; runs waiting behind it have `head = 0`.

Written as text, here and in queries: a partial index serves only literal conditions.
"""
WAITING = text("head = 0 AND status = 'queued'")
"""A run that waits for its thread (`on_active_run="queue"`)."""

assistants = Table(
    "assistants",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("name", Text),
    Column("description", Text),
    Column("model", Text, nullable=False),
    Column("instructions", Text),
    Column("tools", Text, nullable=False),
    Column("tool_resources", Text),
    Column("metadata", Text, nullable=False),
    Column("temperature", Float),
    Column("top_p", Float),
    Column("response_format", Text),
    Column("reasoning_effort", Text),
    # What get_or_create compares: a digest of everything but ids and times.
    Column("digest", Text, nullable=False),
    Index("ix_assistants_id", "id", unique=True),
    Index("ix_assistants_tenant_seq", "tenant", "seq"),
    Index("ix_assistants_tenant_digest", "tenant", "digest"),
    sqlite_autoincrement=True,
)

threads = Table(
    "threads",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    # '' for a deleted thread of which forks still read tool calls, and for its runs.
    Column("tenant", Text, nullable=False),
    Column("key", Text),
    # A fork has copies of its parent's messages up to parent_seq, and reads the tool
    # calls there of the parent's runs up to parent_run.
    Column("parent_id", Text),
    Column("parent_seq", Integer),
    Column("last_seq", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("tool_resources", Text),
    Column("context", Text),
    # What a summarising middleware made of the oldest messages, and how far it reaches.
    Column("summary", Text),
    Column("parent_run", Integer),
    Index("ix_threads_id", "id", unique=True),
    Index("ix_threads_tenant_seq", "tenant", "seq"),
    Index(
        "ix_threads_tenant_key",
        "tenant",
        "key",
        unique=True,
        sqlite_where=text("key IS NOT NULL"),
        postgresql_where=text("key IS NOT NULL"),
    ),
    Index(
        "ix_threads_parent_id",
        "parent_id",
        sqlite_where=text("parent_id IS NOT NULL"),
        postgresql_where=text("parent_id IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

messages = Table(
    "messages",
    metadata,
    Column("thread_id", Text, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("content", Text, nullable=False),
    # Set when middleware showed the model another text than the user wrote (PII).
    Column("model_content", Text),
    Column("attachments", Text),
    Column("metadata", Text),
    Column("assistant_id", Text),
    Column("run_id", Text),
    Column("incomplete_reason", Text),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    # The id it has where it was taken from: another graph's state, or a thread that
    # was forked. Nothing is taken twice.
    Column("source_id", Text),
    Index("ix_messages_id", "id", unique=True),
    Index(
        "ix_messages_attachments",
        "thread_id",
        "seq",
        sqlite_where=text("attachments IS NOT NULL"),
        postgresql_where=text("attachments IS NOT NULL"),
    ),
    Index(
        "ix_messages_source",
        "thread_id",
        "source_id",
        unique=True,
        sqlite_where=text("source_id IS NOT NULL"),
        postgresql_where=text("source_id IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

runs = Table(
    "runs",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    Column("assistant_id", Text, nullable=False),
    Column("assistant_version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("head", Integer, nullable=False),
    # The newest message the run answers; messages it writes come after it.
    Column("cursor", Integer, nullable=False),
    # Messages of a run that waits: they join the thread when the run starts.
    Column("waiting_messages", Text),
    # The effective settings: model, instructions, tools, sampling, budgets, ...
    Column("settings", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("required_action", Text),
    Column("last_error", Text),
    Column("incomplete_reason", Text),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", Text),
    Column("lease_until", Float),
    Column("run_after", Float),
    # Names of the tools that only some process can execute (recovery looks at them).
    Column("required_tools", Text),
    Column("expires_after", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    # Where in a caller's LangGraph graph the run was started: the graph's thread, the
    # node, and the task, which keeps its id when it is executed again after a crash.
    Column("graph_thread", Text),
    Column("graph_node", Text),
    Column("graph_task", Text),
    # How long an interpreter executed its code.
    Column("interpreter_seconds", Float),
    Index("ix_runs_id", "id", unique=True),
    Index(
        "ix_runs_graph_task",
        "graph_task",
        sqlite_where=text("graph_task IS NOT NULL"),
        postgresql_where=text("graph_task IS NOT NULL"),
    ),
    Index("ix_runs_thread_id_seq", "thread_id", "seq"),
    Index(
        "ix_runs_active",
        "thread_id",
        unique=True,
        sqlite_where=ACTIVE,
        postgresql_where=ACTIVE,
    ),
    Index(
        "ix_runs_waiting",
        # `head` is constant here; without it SQLite prefers the index of all runs.
        "thread_id",
        "head",
        "seq",
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    ),
    sqlite_autoincrement=True,
)

interpreter_sessions = Table(
    "interpreter_sessions",
    metadata,
    Column("thread_id", Text, primary_key=True),
    # The provider's name, and the id by which it finds the session again.
    Column("provider", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    # The files in it by path: ids of those they are copies of, or have become.
    Column("files", Text, nullable=False),
    sqlite_with_rowid=False,
)

run_steps = Table(
    "run_steps",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("thread_id", Text, nullable=False),
    # The model answer the step belongs to, counted from 0 within the run.
    Column("turn", Integer, nullable=False),
    # The thread's newest message when the step was made: where history puts its calls.
    Column("position", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("last_error", Text),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("metadata", Text),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    Index("ix_run_steps_id", "id", unique=True),
    Index(
        "ix_run_steps_tool_calls",
        "thread_id",
        "position",
        sqlite_where=text("type = 'tool_calls'"),
        postgresql_where=text("type = 'tool_calls'"),
    ),
    sqlite_with_rowid=False,
)

tool_outputs = Table(
    "tool_outputs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("tool_call_id", Text, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("output", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

run_checkpoints = Table(
    "run_checkpoints",
    metadata,
    Column("thread_id", Text, primary_key=True),
    Column("namespace", Text, primary_key=True),
    # '' for the latest one, its id when every checkpoint is kept.
    Column("slot", Text, primary_key=True),
    Column("id", Text, nullable=False),
    Column("parent_id", Text),
    Column("type", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("metadata", LargeBinary, nullable=False),
    Column("writes", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# The contents of files and parts are blobs under their ids; see `blobs`.
files = Table(
    "files",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("bytes", Integer, nullable=False),
    Column("filename", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("mime_type", Text),
    Column("sha256", Text, nullable=False),
    Index("ix_files_id", "id", unique=True),
    Index("ix_files_tenant_seq", "tenant", "seq"),
    Index("ix_files_tenant_purpose_seq", "tenant", "purpose", "seq"),
    # Finds files of equal content: one of them is read, the others copied.
    Index("ix_files_sha256", "sha256"),
    Index(
        "ix_files_expires_at",
        "expires_at",
        sqlite_where=text("expires_at IS NOT NULL"),
        postgresql_where=text("expires_at IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

PENDING = text("status = 'pending'")
"""An upload that takes parts."""

uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("status", Text, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("filename", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("mime_type", Text, nullable=False),
    # Seconds from the file's creation to its expiry.
    Column("file_expires_after", Integer),
    Index(
        "ix_uploads_pending",
        "expires_at",
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    ),
    sqlite_with_rowid=False,
)

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("upload_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("created_at", Float, nullable=False),
    Column("bytes", Integer, nullable=False),
    Index("ix_upload_parts_id", "id", unique=True),
    sqlite_with_rowid=False,
)

NOT_EXPIRED = text("expired = 0 AND expires_at IS NOT NULL")
"""A vector store that will expire if nobody uses it."""

vector_stores = Table(
    "vector_stores",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    # Grows with each change of its files: what is kept in memory of it is then old.
    Column("version", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("last_active_at", Float, nullable=False),
    Column("expires_days", Integer),
    Column("expires_at", Float),
    # 1 once it has expired, for good.
    Column("expired", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("metadata", Text, nullable=False),
    # What made the vectors of its chunks: two models never mix.
    Column("embedding_model", Text),
    Column("embedding_dimensions", Integer),
    # Names its full-text index, vs_fts_<number>; NULL before anything is in it.
    Column("fts_number", Integer),
    Index("ix_vector_stores_id", "id", unique=True),
    Index("ix_vector_stores_tenant_seq", "tenant", "seq"),
    Index(
        "ix_vector_stores_expires_at",
        "expires_at",
        sqlite_where=NOT_EXPIRED,
        postgresql_where=NOT_EXPIRED,
    ),
    sqlite_autoincrement=True,
)

TO_INDEX = text("status = 'in_progress'")
"""A file in a vector store that is being indexed, or waits for it."""

vector_store_files = Table(
    "vector_store_files",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("vector_store_id", Text, nullable=False),
    Column("file_id", Text, nullable=False),
    # The batch it was attached with last.
    Column("batch_id", Text),
    Column("created_at", Float, nullable=False),
    Column("status", Text, nullable=False),
    Column("last_error", Text),
    Column("attributes", Text, nullable=False),
    Column("chunking_strategy", Text, nullable=False),
    Column("usage_bytes", Integer, nullable=False),
    # Who indexes it, as with runs; each claim has a name of its own, `worker`.
    Column("attempt", Integer, nullable=False),
    Column("lease_until", Float),
    Column("worker", Text),
    Index(
        "ix_vector_store_files_to_index",
        "seq",
        sqlite_where=TO_INDEX,
        postgresql_where=TO_INDEX,
    ),
    Index(
        "ix_vector_store_files_file",
        "vector_store_id",
        "file_id",
        unique=True,
    ),
    Index("ix_vector_store_files_file_id", "file_id"),
    Index("ix_vector_store_files_seq", "vector_store_id", "seq"),
    # Covers the counts of a store, and the sum of what its files use.
    Index(
        "ix_vector_store_files_status",
        "vector_store_id",
        "status",
        "seq",
        "usage_bytes",
    ),
    Index(
        "ix_vector_store_files_batch",
        "batch_id",
        "status",
        "seq",
        sqlite_where=text("batch_id IS NOT NULL"),
        postgresql_where=text("batch_id IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

vector_store_file_batches = Table(
    "vector_store_file_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("vector_store_id", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    # 1 if some of its files were still to be indexed when it was cancelled.
    Column("cancelled", Integer, nullable=False),
    Index("ix_vector_store_file_batches_store", "vector_store_id"),
    sqlite_with_rowid=False,
)

# What is searched: pieces of the text that was read from a file. Beside them each
# store has a full-text index of its own: a table vs_fts_<fts_number>; see `retrieval`.
chunks = Table(
    "chunks",
    metadata,
    # Never used again: what is kept in memory of a chunk stays true.
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("vector_store_id", Text, nullable=False),
    Column("file_id", Text, nullable=False),
    # Counted from 0 within the file.
    Column("idx", Integer, nullable=False),
    Column("page", Integer),
    # Where in the file's text it is, in characters.
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Index("ix_chunks_file", "vector_store_id", "file_id", "idx", unique=True),
    sqlite_autoincrement=True,
)

# A table of its own: who reads texts does not drag the vectors along.
chunk_vectors = Table(
    "chunk_vectors",
    metadata,
    Column("chunk_id", Integer, primary_key=True),
    # Of length 1, as little-endian integers of 16 bits; see `retrieval.vectors`.
    Column("vector", LargeBinary, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("name", Text),
    # SHA-256 of the key; the key itself is not stored.
    Column("digest", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
    Index("ix_api_keys_id", "id", unique=True),
    Index("ix_api_keys_digest", "digest", unique=True),
    sqlite_autoincrement=True,
)
