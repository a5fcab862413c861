"""What a search finds, and the whole rows of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, or_, select

from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    from_json,
    param,
    to_json,
)
from langchain_assistants.storage.functions import strings_of
from langchain_assistants.storage.tables import chunks, files, vector_store_files

_asked = strings_of(param("ids")).table_valued("value")
_all = (
    select(chunks, files.c.filename, vector_store_files.c.attributes)
    .join(
        vector_store_files,
        and_(
            vector_store_files.c.vector_store_id == chunks.c.vector_store_id,
            vector_store_files.c.file_id == chunks.c.file_id,
        ),
    )
    .join(files, files.c.id == chunks.c.file_id)
    .where(or_(files.c.expires_at.is_(None), files.c.expires_at > param("now")))
)
_BY_ID = Statement(_all.where(chunks.c.id.in_(select(_asked.c.value))))
_BY_PLACE = Statement(
    _all.where(
        chunks.c.vector_store_id == param("store_id"),
        chunks.c.file_id == param("file_id"),
        chunks.c.idx == param("idx"),
    )
)


@dataclass(frozen=True, slots=True)
class FoundChunk:
    """A piece of a file that answers a query.

    Attributes:
        score: How well, 0 to 1; of chunks of all stores alike.
        vector_store_id: The store it was found in.
        file_id: The file.
        filename: The file's name.
        attributes: Those that the file has in the store.
        index: The chunk's place in the file, from 0.
        page: The page it begins on, from 1; None without pages.
        start: Where it begins in the file's text, in characters.
        end: Where it ends.
        text: The text itself.
    """

    score: float
    vector_store_id: str
    file_id: str
    filename: str
    attributes: dict[str, Any]
    index: int
    page: int | None
    start: int
    end: int
    text: str = field(repr=False)


def found_chunks(scores: dict[int, float], now: float) -> Transaction[list[FoundChunk]]:
    """Return the chunks with these ids, best first; those that are there."""
    rows = yield _BY_ID(ids=to_json(list(scores)), now=now)
    by_id = {row["id"]: row for row in rows}
    return [_found(by_id[id], scores[id]) for id in _by_score(scores) if id in by_id]


def found_chunk(
    store_id: str, file_id: str, index: int, score: float, now: float
) -> Transaction[FoundChunk | None]:
    """Return one chunk of a file in a store, if it is there."""
    rows = yield _BY_PLACE(store_id=store_id, file_id=file_id, idx=index, now=now)
    return _found(rows[0], score) if rows else None


def _by_score(scores: dict[int, float]) -> Iterable[int]:
    return sorted(scores, key=lambda id: (-scores[id], id))


def _found(row: Row, score: float) -> FoundChunk:
    return FoundChunk(
        score=score,
        vector_store_id=row["vector_store_id"],
        file_id=row["file_id"],
        filename=row["filename"],
        attributes=from_json(row["attributes"]) or {},
        index=row["idx"],
        page=row["page"],
        start=row["start"],
        end=row["end"],
        text=row["text"],
    )
