"""Rows that belong to nothing: found, counted and deleted; the engine leaves none.

They come from other programs, from files that were mended by hand, and from faults.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Table,
    Text,
    and_,
    cast,
    delete,
    exists,
    func,
    or_,
    select,
    tuple_,
)

from langchain_assistants.storage.database import Statement, Transaction, param
from langchain_assistants.storage.tables import (
    ACTIVE,
    chunk_vectors,
    chunks,
    files,
    messages,
    run_checkpoints,
    run_steps,
    runs,
    threads,
    tool_outputs,
    upload_parts,
    uploads,
    vector_store_file_batches,
    vector_store_files,
    vector_stores,
)

_AT_ONCE = 500
"""Rows that one transaction deletes: whoever else writes does not wait long."""
_SHOWN = 3


class StrayRows(NamedTuple):
    """How many rows of a table are stray, and whose they were."""

    table: str
    rows: int
    ids: tuple[str, ...]


class _Kind:
    """The statements about the stray rows of one table."""

    def __init__(
        self, table: Table, owner: ColumnElement[str], is_stray: ColumnElement[bool]
    ) -> None:
        """Build them.

        Args:
            table: The table.
            owner: Its column that names what it belongs to.
            is_stray: What makes a row one; it may use `:now`.
        """
        self.name = table.name
        self.count = Statement(
            select(func.count().label("n")).select_from(table).where(is_stray)
        )
        self.owners = Statement(
            select(owner.label("id")).where(is_stray).distinct().limit(_SHOWN)
        )
        key = tuple(table.primary_key)
        some = select(*key).where(is_stray).limit(_AT_ONCE)
        self.delete = Statement(
            delete(table).where(tuple_(*key).in_(some)).returning(key[0])
        )


def _missing_thread(owner: Column[str]) -> ColumnElement[bool]:
    return ~exists().where(threads.c.id == owner)


# Runs come before what hangs on them. A worker that lives may still end its own.
_KINDS = (
    _Kind(messages, messages.c.thread_id, _missing_thread(messages.c.thread_id)),
    _Kind(
        runs,
        runs.c.id,
        and_(
            _missing_thread(runs.c.thread_id),
            or_(runs.c.lease_until.is_(None), runs.c.lease_until <= param("now")),
        ),
    ),
    _Kind(
        run_steps, run_steps.c.run_id, ~exists().where(runs.c.id == run_steps.c.run_id)
    ),
    _Kind(
        tool_outputs,
        tool_outputs.c.run_id,
        ~exists().where(runs.c.id == tool_outputs.c.run_id, runs.c.ended_at.is_(None)),
    ),
    _Kind(
        run_checkpoints,
        run_checkpoints.c.thread_id,
        or_(
            _missing_thread(run_checkpoints.c.thread_id),
            and_(
                run_checkpoints.c.slot == "",
                ~exists().where(
                    runs.c.thread_id == run_checkpoints.c.thread_id, ACTIVE
                ),
            ),
        ),
    ),
    _Kind(
        upload_parts,
        upload_parts.c.upload_id,
        ~exists().where(uploads.c.id == upload_parts.c.upload_id),
    ),
    _Kind(
        vector_store_files,
        vector_store_files.c.vector_store_id,
        or_(
            ~exists().where(vector_stores.c.id == vector_store_files.c.vector_store_id),
            ~exists().where(files.c.id == vector_store_files.c.file_id),
        ),
    ),
    _Kind(
        vector_store_file_batches,
        vector_store_file_batches.c.vector_store_id,
        ~exists().where(
            vector_stores.c.id == vector_store_file_batches.c.vector_store_id
        ),
    ),
    # What a full-text index still has of them no search shows.
    _Kind(
        chunks,
        chunks.c.file_id,
        ~exists().where(
            vector_store_files.c.vector_store_id == chunks.c.vector_store_id,
            vector_store_files.c.file_id == chunks.c.file_id,
        ),
    ),
    _Kind(
        chunk_vectors,
        cast(chunk_vectors.c.chunk_id, Text),
        ~exists().where(chunks.c.id == chunk_vectors.c.chunk_id),
    ),
)


def stray_rows(now: float) -> Transaction[list[StrayRows]]:
    """Return the tables that have stray rows."""
    found = []
    for kind in _KINDS:
        [counted] = yield kind.count(now=now)
        if counted["n"]:
            owners = yield kind.owners(now=now)
            ids = tuple(row["id"] for row in owners)
            found.append(StrayRows(kind.name, counted["n"], ids))
    return found


def delete_some_stray_rows(now: float) -> Transaction[int]:
    """Delete a portion of the stray rows; return how many, 0 when none are left."""
    for kind in _KINDS:
        if deleted := (yield kind.delete(now=now)):
            return len(deleted)
    return 0
