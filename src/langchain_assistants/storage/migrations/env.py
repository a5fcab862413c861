"""Alembic's environment: migrates over the connection it is given."""

from __future__ import annotations

from alembic import context

from langchain_assistants.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
