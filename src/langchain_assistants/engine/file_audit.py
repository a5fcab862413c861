"""Compares the rows of files with their contents on the disk; it mends nothing.

A process that dies between the two leaves a content without a row: a content is stored
before its row, and deleted after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from anyio.to_thread import run_sync
from sqlalchemy import exists, select

from langchain_assistants.storage.blobs import Blobs
from langchain_assistants.storage.database import (
    Database,
    Row,
    Statement,
    Transaction,
    param,
    to_json,
)
from langchain_assistants.storage.functions import strings_of
from langchain_assistants.storage.tables import files, upload_parts

_AT_ONCE = 500
_MAY_BE_IN_USE = 3_600.0
"""Seconds: a younger content may get its row yet, from a process that lives."""

_asked = strings_of(param("names")).table_valued("value")
_UNKNOWN = Statement(
    select(_asked.c.value).where(
        ~exists().where(files.c.id == _asked.c.value),
        ~exists().where(upload_parts.c.id == _asked.c.value),
    )
)
_NEXT = Statement(
    select(files.c.seq, files.c.id)
    .where(files.c.seq > param("after"))
    .order_by(files.c.seq)
    .limit(_AT_ONCE)
)


async def contents_without_file(database: Database, blobs: Blobs) -> list[str]:
    """Return the names of old contents that no row names."""
    found: list[str] = []
    names = blobs.names(older_than=_MAY_BE_IN_USE)
    while some := await run_sync(_some, names):
        found += await database.read(_unknown(some))
    return found


async def files_without_content(database: Database, blobs: Blobs) -> list[str]:
    """Return the ids of files whose content is not there."""
    found: list[str] = []
    after = 0
    while some := await database.read(_next(after)):
        after = some[-1]["seq"]
        missing = await run_sync(_missing, [row["id"] for row in some], blobs)
        # Unless they have been deleted meanwhile.
        gone = set(await database.read(_unknown(missing))) if missing else set()
        found += [name for name in missing if name not in gone]
    return found


def _some(names: Iterator[str]) -> list[str]:
    return list(islice(names, _AT_ONCE))


def _missing(ids: Sequence[str], blobs: Blobs) -> list[str]:
    return [name for name in ids if not blobs.has(name)]


def _unknown(names: Sequence[str]) -> Transaction[list[str]]:
    rows = yield _UNKNOWN(names=to_json(list(names)))
    return [row["value"] for row in rows]


def _next(after: int) -> Transaction[list[Row]]:
    return (yield _NEXT(after=after))
