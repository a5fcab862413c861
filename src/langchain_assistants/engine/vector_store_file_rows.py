"""Rows of the files in vector stores, and of batches of them.

A file is attached as `in_progress`; see `ingestion_rows` for what becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import delete, func, insert, select, update

from langchain_assistants.engine.file_rows import KIND as FILE_KIND
from langchain_assistants.engine.file_rows import require_files
from langchain_assistants.engine.listing import Listing
from langchain_assistants.engine.vector_store_rows import add_count, change_store
from langchain_assistants.errors import NotFoundError
from langchain_assistants.retrieval import index
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
    from_json,
    param,
    to_json,
)
from langchain_assistants.storage.functions import strings_of
from langchain_assistants.storage.tables import vector_store_file_batches as batches
from langchain_assistants.storage.tables import vector_store_files as table
from langchain_assistants.types.vector_stores import (
    FileCounts,
    VectorStoreFile,
    VectorStoreFileBatch,
)

BATCH_PREFIX = "vsfb_"

_AUTO_CHUNKING = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}

_in_store = table.c.vector_store_id == param("vector_store_id")
_in_batch = table.c.batch_id == param("batch_id")
_asked = strings_of(param("ids")).table_valued("value")
_new = {
    name: param(name)
    for name in (
        "batch_id",
        "attributes",
        "chunking_strategy",
    )
} | {
    "status": "in_progress",
    "last_error": None,
    "usage_bytes": 0,
    "worker": None,
    "attempt": 0,
    "lease_until": None,
}

_INSERT = Statement(
    insert(table).values(
        _new
        | {name: param(name) for name in ("vector_store_id", "file_id", "created_at")}
    )
)
_ATTACH_AGAIN = Statement(
    update(table).where(_in_store, table.c.file_id == param("file_id")).values(_new)
)
_KNOWN = Statement(
    select(table.c.file_id, table.c.batch_id).where(
        _in_store, table.c.file_id.in_(select(_asked.c.value))
    )
)
_ONE = Statement(select(table).where(_in_store, table.c.file_id == param("file_id")))
_SET_ATTRIBUTES = Statement(
    update(table)
    .where(_in_store, table.c.file_id == param("file_id"))
    .values(attributes=param("attributes"))
)
_DETACH = Statement(delete(table).where(_in_store, table.c.file_id == param("file_id")))
_INSERT_BATCH = Statement(
    insert(batches).values({c.name: param(c.name) for c in batches.c})
)
_BATCH = Statement(
    select(batches).where(
        batches.c.id == param("id"),
        batches.c.vector_store_id == param("vector_store_id"),
    )
)
_BATCH_COUNTS = Statement(
    select(table.c.status, func.count().label("files"))
    .where(_in_batch)
    .group_by(table.c.status)
)
_CANCEL_FILES = Statement(
    update(table)
    .where(_in_batch, table.c.status == "in_progress")
    .values(status="cancelled", worker=None, lease_until=None)
    .returning(table.c.file_id)
)
_CANCEL_BATCH = Statement(
    update(batches).where(batches.c.id == param("id")).values(cancelled=1)
)

_Key: TypeAlias = tuple[bool, bool]
"""Of a batch only; of one status only."""
LISTINGS: Mapping[_Key, Listing] = {
    (of_batch, of_status): Listing.of(
        table.c.seq,
        _in_store,
        *([_in_batch] if of_batch else []),
        *([table.c.status == param("status")] if of_status else []),
    )
    for of_batch in (False, True)
    for of_status in (False, True)
}


class CountedBatch(NamedTuple):
    """A row of a batch with the counts of its files."""

    row: Row
    counts: FileCounts


def attach_files(
    store_id: str,
    bodies: Sequence[Mapping[str, Any]],
    *,
    tenant: str,
    now: float,
    batch_id: str | None = None,
) -> Transaction[None]:
    """Attach files to a store; one that is in it already is attached anew.

    Args:
        store_id: The vector store.
        bodies: A `file_id` each, with attributes and chunking strategy if any.
        tenant: Whose the files are.
        now: The time.
        batch_id: The batch that they come with.

    Raises:
        NotFoundError: One of the files does not exist; none is attached.
    """
    by_id = {body["file_id"]: body for body in bodies}
    yield from require_files(by_id, tenant, now)
    rows = yield _KNOWN(vector_store_id=store_id, ids=to_json(list(by_id)))
    known = {row["file_id"]: row["batch_id"] for row in rows}
    for file_id, body in by_id.items():
        columns = {
            "vector_store_id": store_id,
            "file_id": file_id,
            "batch_id": batch_id or known.get(file_id),
            "attributes": to_json(body.get("attributes") or {}),
            "chunking_strategy": to_json(_chunking(body.get("chunking_strategy"))),
        }
        if file_id in known:
            yield from index.remove_file(store_id, file_id)
            yield _ATTACH_AGAIN(**columns)
        else:
            yield _INSERT(created_at=now, **columns)
    yield from change_store(store_id, now)


def _chunking(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Resolve a strategy: responses never say `auto`."""
    sizes = (given or {}).get("static") or _AUTO_CHUNKING
    return {"type": "static", "static": sizes}


def store_file_row(store_id: str, file_id: str) -> Transaction[Row]:
    """Read the row of a file in a store.

    Raises:
        NotFoundError: It is not in the store.
    """
    row = first((yield _ONE(vector_store_id=store_id, file_id=file_id)))
    if row is None:
        raise NotFoundError(
            f"No {FILE_KIND} found with id '{file_id}' in vector store '{store_id}'."
        )
    return row


def set_attributes(
    store_id: str, file_id: str, attributes: Mapping[str, Any], now: float
) -> Transaction[None]:
    """Replace the attributes of a file in a store."""
    yield _SET_ATTRIBUTES(
        vector_store_id=store_id, file_id=file_id, attributes=to_json(attributes)
    )
    yield from change_store(store_id, now)


def detach_file(store_id: str, file_id: str, now: float) -> Transaction[None]:
    """Take a file out of a store; the file stays."""
    yield from index.remove_file(store_id, file_id)
    yield _DETACH(vector_store_id=store_id, file_id=file_id)
    yield from change_store(store_id, now)


def insert_batch(batch_id: str, store_id: str, now: float) -> Transaction[None]:
    """Insert a batch without files."""
    yield _INSERT_BATCH(
        id=batch_id, vector_store_id=store_id, created_at=now, cancelled=0
    )


def batch_row(batch_id: str, store_id: str) -> Transaction[CountedBatch]:
    """Read the row of a batch of a store, with its counts.

    Raises:
        NotFoundError: The store has none with this id.
    """
    row = first((yield _BATCH(id=batch_id, vector_store_id=store_id)))
    if row is None:
        raise NotFoundError(
            f"No file batch found with id '{batch_id}' in vector store '{store_id}'."
        )
    counts = FileCounts()
    for counted in (yield _BATCH_COUNTS(batch_id=batch_id)):
        add_count(counts, counted)
    return CountedBatch(row, counts)


def cancel_batch(batch_id: str) -> Transaction[None]:
    """Cancel what is still to be indexed of a batch; one that has ended stays."""
    if (yield _CANCEL_FILES(batch_id=batch_id)):
        yield _CANCEL_BATCH(id=batch_id)


def to_store_file(row: Row) -> VectorStoreFile:
    """Return the wire's object for a row."""
    return VectorStoreFile.model_validate(
        {
            "id": row["file_id"],
            "vector_store_id": row["vector_store_id"],
            "created_at": int(row["created_at"]),
            "status": row["status"],
            "usage_bytes": row["usage_bytes"],
            "last_error": from_json(row["last_error"]),
            "attributes": from_json(row["attributes"]),
            "chunking_strategy": from_json(row["chunking_strategy"]),
        }
    )


def to_batch(batch: CountedBatch) -> VectorStoreFileBatch:
    """Return the wire's object for a row.

    As in the original, `completed` means that no file is waited for, failed ones or
    not: the counts tell.
    """
    row, counts = batch
    if row["cancelled"]:
        status = "cancelled"
    else:
        status = "in_progress" if counts.in_progress else "completed"
    return VectorStoreFileBatch.model_validate(
        {
            "id": row["id"],
            "vector_store_id": row["vector_store_id"],
            "created_at": int(row["created_at"]),
            "status": status,
            "file_counts": counts,
        }
    )
