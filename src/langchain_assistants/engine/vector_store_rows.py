"""Rows of vector stores: how they are stored, used, counted and expire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import case, delete, func, insert, null, select, update

from langchain_assistants.engine.listing import Listing
from langchain_assistants.engine.resource import required_row
from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.retrieval import index
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    from_json,
    param,
    to_json,
)
from langchain_assistants.storage.functions import strings_of
from langchain_assistants.storage.tables import (
    NOT_EXPIRED,
    vector_store_file_batches,
    vector_store_files,
)
from langchain_assistants.storage.tables import vector_stores as table
from langchain_assistants.types.vector_stores import (
    FileCounts,
    VectorStore,
    VectorStoreExpiration,
)

PREFIX = "vs_"
KIND = "vector store"

# How often it is written down that somebody searches a store.
_TOUCH_SECONDS = 60.0
_SECONDS_A_DAY = 86_400.0

_asked = strings_of(param("ids")).table_valued("value")
_used = {
    "last_active_at": param("now"),
    "expires_at": case(
        (table.c.expires_days.is_(None), null()),
        else_=param("now") + table.c.expires_days * _SECONDS_A_DAY,
    ),
}

_INSERT = Statement(
    insert(table).values({c.name: param(c.name) for c in table.c if c.name != "seq"})
)
_BY_ID = Statement(
    select(table).where(table.c.id == param("id"), table.c.tenant == param("tenant"))
)
_UPDATE = Statement(
    update(table)
    .where(table.c.id == param("id"))
    .values(
        {
            name: param(name)
            for name in (
                "name",
                "metadata",
                "expires_days",
                "expires_at",
                "last_active_at",
            )
        }
    )
)
_TOUCH = Statement(update(table).where(table.c.id == param("id")).values(_used))
_CHANGE = Statement(
    update(table)
    .where(table.c.id == param("id"))
    .values(_used | {"version": table.c.version + 1})
)
_COUNTS = Statement(
    select(
        vector_store_files.c.vector_store_id.label("id"),
        vector_store_files.c.status,
        func.count().label("files"),
        func.sum(vector_store_files.c.usage_bytes).label("usage_bytes"),
    )
    .where(vector_store_files.c.vector_store_id.in_(select(_asked.c.value)))
    .group_by(vector_store_files.c.vector_store_id, vector_store_files.c.status)
)
_DELETE_FILES = Statement(
    delete(vector_store_files).where(
        vector_store_files.c.vector_store_id == param("id")
    )
)
_DELETE_BATCHES = Statement(
    delete(vector_store_file_batches).where(
        vector_store_file_batches.c.vector_store_id == param("id")
    )
)
_DELETE = Statement(delete(table).where(table.c.id == param("id")))
_EXPIRED = Statement(
    select(table.c.id)
    .where(NOT_EXPIRED, table.c.expires_at <= param("now"))
    .limit(param("limit"))
)
_EXPIRE = Statement(update(table).where(table.c.id == param("id")).values(expired=1))
ALL = Listing.of(table.c.seq, table.c.tenant == param("tenant"))


def new_store_columns(
    body: Mapping[str, Any], *, id: str, tenant: str, now: float
) -> dict[str, Any]:
    """Return the columns of a vector store from a checked body."""
    days = (body.get("expires_after") or {}).get("days")
    return {
        "id": id,
        "tenant": tenant,
        "version": 1,
        "created_at": now,
        "last_active_at": now,
        "expires_days": days,
        "expires_at": _expires_at(days, now),
        "expired": 0,
        "name": body.get("name") or "",
        "description": body.get("description"),
        "metadata": to_json(body.get("metadata") or {}),
        "embedding_model": None,
        "embedding_dimensions": None,
        "fts_number": None,
    }


def insert_store(columns: Mapping[str, Any]) -> Transaction[None]:
    """Insert a vector store without files."""
    yield _INSERT(**columns)


def store_row(store_id: str, tenant: str) -> Transaction[Row]:
    """Read a vector store's row.

    Raises:
        NotFoundError: There is none with this id.
    """
    return (yield from required_row(_BY_ID, KIND, store_id, tenant=tenant))


def living_store_row(store_id: str, tenant: str, now: float) -> Transaction[Row]:
    """Read the row of a vector store that can be used.

    Raises:
        NotFoundError: There is none with this id.
        InvalidRequestError: It has expired.
    """
    row = yield from store_row(store_id, tenant)
    if has_expired(row, now):
        raise InvalidRequestError(
            f"Vector store '{store_id}' has expired. Create another one of the same "
            "files."
        )
    return row


def refuse_other_vectors(row: Row, embedding_model: str | None) -> None:
    """Refuse to index files into a store whose vectors another model has made.

    Raises:
        InvalidRequestError: This engine's embedding model is not the store's.
    """
    if row["embedding_model"] not in (None, embedding_model):
        raise InvalidRequestError(
            f"Vector store '{row['id']}' holds vectors of {row['embedding_model']}, "
            "which cannot be compared with others. Open the engine with these "
            "embeddings=, or create another vector store."
        )


def has_expired(row: Row, now: float) -> bool:
    """Tell whether a vector store has expired, swept up or not."""
    expires_at = row["expires_at"]
    return bool(row["expired"]) or (expires_at is not None and expires_at <= now)


def update_store(row: Row, body: Mapping[str, Any], now: float) -> Transaction[None]:
    """Replace the given fields; that is a use of the store.

    A store that has expired stays so, whatever its new policy.
    """
    days, expires_at = row["expires_days"], row["expires_at"]
    metadata, name = row["metadata"], row["name"]
    if "metadata" in body:
        metadata = to_json(body["metadata"] or {})
    if "name" in body:
        name = body["name"] or ""
    if "expires_after" in body:
        days = (body["expires_after"] or {}).get("days")
    if has_expired(row, now):
        yield _EXPIRE(id=row["id"])
        now = row["last_active_at"]
    else:
        expires_at = _expires_at(days, now)
    yield _UPDATE(
        id=row["id"],
        name=name,
        metadata=metadata,
        expires_days=days,
        expires_at=expires_at,
        last_active_at=now,
    )


def is_worth_a_touch(row: Row, now: float) -> bool:
    """Tell whether to write down that a store is used now."""
    return bool(now - row["last_active_at"] >= _TOUCH_SECONDS)


def touch_store(store_id: str, now: float) -> Transaction[None]:
    """Write down that a store is used: it lives on."""
    yield _TOUCH(id=store_id, now=now)


def change_store(store_id: str, now: float) -> Transaction[None]:
    """Write down that the files of a store are about to change."""
    yield _CHANGE(id=store_id, now=now)


def delete_store(store_id: str) -> Transaction[None]:
    """Delete a vector store and what is indexed in it; its files stay."""
    yield from index.drop(store_id)
    yield _DELETE_FILES(id=store_id)
    yield _DELETE_BATCHES(id=store_id)
    yield _DELETE(id=store_id)


def expired_stores(now: float, limit: int) -> Transaction[list[str]]:
    """Return the ids of some stores whose time is over."""
    rows = yield _EXPIRED(now=now, limit=limit)
    return [row["id"] for row in rows]


def expire_stores(now: float, limit: int) -> Transaction[list[str]]:
    """Expire some stores whose time is over, for good; return their ids."""
    ids = yield from expired_stores(now, limit)
    for store_id in ids:
        yield _EXPIRE(id=store_id)
    return ids


class Counted:
    """A row of a vector store that has also `file_counts` and `usage_bytes`."""

    def __init__(self, row: Row) -> None:
        """Begin at zero."""
        self._row = row
        self._counts: dict[str, Any] = {"file_counts": FileCounts(), "usage_bytes": 0}

    def add(self, counted: Row) -> None:
        """Add the files of one status."""
        add_count(self["file_counts"], counted)
        self._counts["usage_bytes"] += counted["usage_bytes"]

    def __getitem__(self, name: str, /) -> Any:
        """Return a column, or a count."""
        return self._counts[name] if name in self._counts else self._row[name]


def counted(rows: Sequence[Row]) -> Transaction[list[Counted]]:
    """Return vector stores with the counts of their files: one query for all."""
    stores = {row["id"]: Counted(row) for row in rows}
    for found in (yield _COUNTS(ids=to_json(list(stores)))):
        stores[found["id"]].add(found)
    return list(stores.values())


def add_count(counts: FileCounts, row: Row) -> None:
    """Add the number of `files` that have a `status`."""
    setattr(counts, row["status"], row["files"])
    counts.total += row["files"]


def _expires_at(days: int | None, now: float) -> float | None:
    return None if days is None else now + days * _SECONDS_A_DAY


def to_store(row: Row, now: float) -> VectorStore:
    """Return the wire's object for a counted row."""
    counts, days, expires_at = (
        row["file_counts"],
        row["expires_days"],
        row["expires_at"],
    )
    return VectorStore(
        id=row["id"],
        created_at=int(row["created_at"]),
        name=row["name"],
        description=row["description"],
        usage_bytes=row["usage_bytes"],
        file_counts=counts,
        status="expired"
        if has_expired(row, now)
        else "in_progress"
        if counts.in_progress
        else "completed",
        expires_after=None if days is None else VectorStoreExpiration(days=days),
        expires_at=None if expires_at is None else int(expires_at),
        last_active_at=int(row["last_active_at"]),
        metadata=from_json(row["metadata"]),
    )
