"""Rows of uploads and their parts, whose bytes are blobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select, update

from langchain_assistants.engine.resource import required_row
from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    param,
)
from langchain_assistants.storage.tables import PENDING, upload_parts
from langchain_assistants.storage.tables import uploads as table
from langchain_assistants.types.files import File
from langchain_assistants.types.uploads import Upload

PREFIX = "upload_"
PART_PREFIX = "part_"
KIND = "upload"

_of_upload = upload_parts.c.upload_id == param("upload_id")
_INSERT = Statement(insert(table).values({c.name: param(c.name) for c in table.c}))
_BY_ID = Statement(
    select(table).where(table.c.id == param("id"), table.c.tenant == param("tenant"))
)
_END = Statement(
    update(table)
    .where(table.c.id == param("id"))
    .values(status=param("status"))
    .returning(*table.c)
)
_EXPIRED = Statement(
    select(table.c.id)
    .where(PENDING, table.c.expires_at <= param("now"))
    .limit(param("limit"))
)
_INSERT_PART = Statement(
    insert(upload_parts).values({c.name: param(c.name) for c in upload_parts.c})
)
_PARTS = Statement(select(upload_parts).where(_of_upload))
_DELETE_PARTS = Statement(
    delete(upload_parts).where(_of_upload).returning(upload_parts.c.id)
)


def insert_upload(columns: Mapping[str, Any]) -> Transaction[Row]:
    """Insert an upload."""
    yield _INSERT(**columns)
    return columns


def pending_upload(upload_id: str, tenant: str, now: float) -> Transaction[Row]:
    """Read the row of an upload that takes parts.

    Raises:
        NotFoundError: There is none with this id.
        InvalidRequestError: It has ended.
    """
    row = yield from required_row(_BY_ID, KIND, upload_id, tenant=tenant)
    has_ended = row["status"] != "pending"
    if has_ended or row["expires_at"] <= now:
        status = row["status"] if has_ended else "expired"
        raise InvalidRequestError(
            f"Upload {upload_id} is {status}; create another one."
        )
    return row


def insert_part(
    part_id: str, upload_id: str, size: int, now: float
) -> Transaction[None]:
    """Insert a part whose bytes are stored already."""
    yield _INSERT_PART(id=part_id, upload_id=upload_id, bytes=size, created_at=now)


def parts_of(upload_id: str) -> Transaction[list[Row]]:
    """Read the parts of an upload."""
    return (yield _PARTS(upload_id=upload_id))


def end_upload(upload_id: str, status: str) -> Transaction[tuple[Row, list[str]]]:
    """End an upload and delete its parts; return it, and their ids."""
    [row] = yield _END(id=upload_id, status=status)
    parts = yield _DELETE_PARTS(upload_id=upload_id)
    return row, [part["id"] for part in parts]


def expired_uploads(now: float, limit: int) -> Transaction[list[str]]:
    """Return the ids of some pending uploads whose time is over."""
    rows = yield _EXPIRED(now=now, limit=limit)
    return [row["id"] for row in rows]


def expire_uploads(now: float, limit: int) -> Transaction[list[str]]:
    """End some uploads whose time is over; return the ids of their parts."""
    part_ids = []
    for upload_id in (yield from expired_uploads(now, limit)):
        _, ids = yield from end_upload(upload_id, "expired")
        part_ids += ids
    return part_ids


def to_upload(row: Row, file: File | None = None) -> Upload:
    """Return the wire's object for a row."""
    return Upload(
        id=row["id"],
        created_at=int(row["created_at"]),
        expires_at=int(row["expires_at"]),
        bytes=row["bytes"],
        filename=row["filename"],
        purpose=row["purpose"],
        status=row["status"],
        file=file,
    )
