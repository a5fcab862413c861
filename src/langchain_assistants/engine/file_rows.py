"""Rows of files: how they are stored, found and deleted; their contents are blobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, exists, insert, or_, select

from langchain_assistants.engine.listing import Listing
from langchain_assistants.errors import NotFoundError
from langchain_assistants.retrieval import index
from langchain_assistants.storage.blobs import Stored
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
    param,
    to_json,
)
from langchain_assistants.storage.functions import strings_of
from langchain_assistants.storage.tables import files as table
from langchain_assistants.storage.tables import vector_store_files, vector_stores
from langchain_assistants.types.files import File

PREFIX = "file-"
KIND = "file"

_DAY = 86_400
_BATCH_FILES_LIVE = 30 * _DAY

_is_there = or_(table.c.expires_at.is_(None), table.c.expires_at > param("now"))
_owned = (table.c.tenant == param("tenant"), _is_there)
_asked = strings_of(param("ids")).table_valued("value")

_INSERT = Statement(
    insert(table).values({c.name: param(c.name) for c in table.c if c.name != "seq"})
)
_BY_ID = Statement(select(table).where(table.c.id == param("id"), *_owned))
_ABSENT = Statement(
    select(_asked.c.value).where(~exists().where(table.c.id == _asked.c.value, *_owned))
)
_FILES = Statement(
    select(table).join(_asked, table.c.id == _asked.c.value).where(*_owned)
)
_STORES = Statement(
    select(vector_store_files.c.vector_store_id).where(
        vector_store_files.c.file_id == param("id")
    )
)
_STORES_CHANGED = Statement(
    vector_stores.update()
    .where(
        vector_stores.c.id.in_(
            select(vector_store_files.c.vector_store_id).where(
                vector_store_files.c.file_id == param("id")
            )
        )
    )
    .values(version=vector_stores.c.version + 1)
)
_DETACH = Statement(
    delete(vector_store_files).where(vector_store_files.c.file_id == param("id"))
)
_DELETE = Statement(delete(table).where(table.c.id == param("id")))
_EXPIRED = Statement(
    select(table.c.id)
    .where(table.c.expires_at <= param("now"))
    .order_by(table.c.expires_at)
    .limit(param("limit"))
)
ALL = Listing.of(table.c.seq, *_owned)
OF_PURPOSE = Listing.of(table.c.seq, *_owned, table.c.purpose == param("purpose"))


def new_file_columns(
    body: Mapping[str, Any],
    stored: Stored,
    *,
    id: str,
    tenant: str,
    filename: str,
    mime_type: str | None,
    now: float,
) -> dict[str, Any]:
    """Return the columns of a file from a checked body and its stored content."""
    expires_after = body.get("expires_after")
    lifetime: float | None = None
    if expires_after is not None:
        lifetime = expires_after["seconds"]
    elif body["purpose"] == "batch":
        lifetime = _BATCH_FILES_LIVE
    return {
        "id": id,
        "tenant": tenant,
        "created_at": now,
        "expires_at": None if lifetime is None else now + lifetime,
        "bytes": stored.bytes,
        "filename": filename,
        "purpose": body["purpose"],
        "mime_type": mime_type,
        "sha256": stored.sha256,
    }


def insert_file(columns: Mapping[str, Any]) -> Transaction[Row]:
    """Insert a file whose content is stored already."""
    yield _INSERT(**columns)
    return columns


def file_row(file_id: str, tenant: str, now: float) -> Transaction[Row]:
    """Read a file's row.

    Raises:
        NotFoundError: There is none with this id, or it has expired.
    """
    row = first((yield _BY_ID(id=file_id, tenant=tenant, now=now)))
    if row is None:
        raise NotFoundError.for_id(KIND, file_id)
    return row


def require_files(ids: Iterable[str], tenant: str, now: float) -> Transaction[None]:
    """Check that all of these files are there.

    Raises:
        NotFoundError: It names the first that is not.
    """
    asked = list(ids)
    rows = yield _ABSENT(ids=to_json(asked), tenant=tenant, now=now)
    if rows:
        raise NotFoundError.for_id(KIND, rows[0]["value"])


def file_rows(
    ids: Iterable[str], tenant: str, now: float
) -> Transaction[dict[str, Row]]:
    """Return the rows of those of these files that are there, by id."""
    rows = yield _FILES(ids=to_json(list(ids)), tenant=tenant, now=now)
    return {row["id"]: row for row in rows}


def filenames(
    ids: Iterable[str], tenant: str, now: float
) -> Transaction[dict[str, str]]:
    """Return the names of those of these files that are there, by id."""
    rows = yield from file_rows(ids, tenant, now)
    return {file_id: row["filename"] for file_id, row in rows.items()}


def delete_file(file_id: str) -> Transaction[None]:
    """Delete a file, and take it out of every vector store."""
    for row in (yield _STORES(id=file_id)):
        yield from index.remove_file(row["vector_store_id"], file_id)
    yield _STORES_CHANGED(id=file_id)
    yield _DETACH(id=file_id)
    yield _DELETE(id=file_id)


def expired_files(now: float, limit: int) -> Transaction[list[str]]:
    """Return the ids of some files that have expired."""
    rows = yield _EXPIRED(now=now, limit=limit)
    return [row["id"] for row in rows]


def delete_expired_files(now: float, limit: int) -> Transaction[list[str]]:
    """Delete some files that have expired; return their ids."""
    ids = yield from expired_files(now, limit)
    for file_id in ids:
        yield from delete_file(file_id)
    return ids


def to_file(row: Row) -> File:
    """Return the wire's object for a row."""
    expires_at = row["expires_at"]
    return File(
        id=row["id"],
        created_at=int(row["created_at"]),
        expires_at=None if expires_at is None else int(expires_at),
        bytes=row["bytes"],
        filename=row["filename"],
        purpose=row["purpose"],
    )
