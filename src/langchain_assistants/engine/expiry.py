"""Ends what has expired: deletes files, ends uploads and vector stores."""

from __future__ import annotations

import logging
from typing import NamedTuple

from langchain_assistants.engine.file_rows import delete_expired_files, expired_files
from langchain_assistants.engine.upload_rows import expire_uploads, expired_uploads
from langchain_assistants.engine.vector_store_rows import (
    expire_stores,
    expired_stores,
)
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.storage.database import Transaction

logger = logging.getLogger(__name__)

_AT_ONCE = 100
"""Objects of each kind that one sweep ends: whoever else writes does not wait long."""


class _Ended(NamedTuple):
    """What a sweep has ended.

    Attributes:
        blobs: Names of the contents that nobody needs any more.
        file_ids: Files that were deleted.
        store_ids: Vector stores that have expired.
    """

    blobs: list[str]
    file_ids: list[str]
    store_ids: list[str]


async def sweep_expired(workplace: Workplace, now: float) -> None:
    """End some of what has expired; whoever asks for it finds it expired already."""
    if not await workplace.database.read(_is_anything_expired(now)):
        return
    ended = await workplace.database.write(_end_expired(now))
    await workplace.blobs.delete(ended.blobs)
    for file_id in ended.file_ids:
        logger.info("expired_file_deleted", extra={"file_id": file_id})
    for store_id in ended.store_ids:
        logger.info("vector_store_expired", extra={"vector_store_id": store_id})


def _is_anything_expired(now: float) -> Transaction[bool]:
    files = yield from expired_files(now, 1)
    uploads = yield from expired_uploads(now, 1)
    return bool(files or uploads or (yield from expired_stores(now, 1)))


def _end_expired(now: float) -> Transaction[_Ended]:
    file_ids = yield from delete_expired_files(now, _AT_ONCE)
    part_ids = yield from expire_uploads(now, _AT_ONCE)
    store_ids = yield from expire_stores(now, _AT_ONCE)
    return _Ended(file_ids + part_ids, file_ids, store_ids)
