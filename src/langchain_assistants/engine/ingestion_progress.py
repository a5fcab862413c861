"""How far files are on their way into a vector store, told as events.

It looks at the database, for others may index them; bells tell when it is worth it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select

from langchain_assistants.engine.vector_store_file_rows import to_store_file
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    param,
    to_json,
)
from langchain_assistants.storage.functions import strings_of
from langchain_assistants.storage.tables import vector_store_files as table
from langchain_assistants.types.vector_store_events import Followed, VectorStoreEvent

# Other processes ring no bell here.
_LOOK_SECONDS = 0.5
# Files that end at about the same time are told of together: looking is not free.
_TOGETHER_SECONDS = 0.05
_BEYOND_ALL = 2**62

_asked = strings_of(param("ids")).table_valued("value")
_in_store = table.c.vector_store_id == param("store_id")
_in_batch = table.c.batch_id == param("batch_id")
_is_awaited = table.c.status == "in_progress"
_has_ended = or_(
    table.c.seq > param("newest"), table.c.file_id.in_(select(_asked.c.value))
)
_NEWEST = Statement(
    select(func.coalesce(func.max(table.c.seq), 0).label("seq")).where(_in_store)
)
_AWAITED, _AWAITED_OF_BATCH = (
    Statement(select(table.c.file_id).where(_in_store, _is_awaited, *of_batch))
    for of_batch in ((), (_in_batch,))
)
_ENDED, _ENDED_OF_BATCH = (
    Statement(
        select(table)
        .where(_in_store, ~_is_awaited, _has_ended, *of_batch)
        .order_by(table.c.seq)
    )
    for of_batch in ((), (_in_batch,))
)


class _Look(NamedTuple):
    """What there is at one moment.

    Attributes:
        whole: What is followed.
        awaited: The ids of its files that are in progress.
        ended: The rows of those that no longer are, or came and went meanwhile.
        newest: The number of the store's newest file.
    """

    whole: Followed
    awaited: frozenset[str]
    ended: Sequence[Row]
    newest: int


class Progress:
    """Tells what becomes of the files of a vector store, or of a batch.

    Args:
        place: Where they are indexed.
        whole: Reads what is followed; raises where it is no more.
        store_id: The vector store.
        batch_id: Only files of this batch, then also those that have ended before.
    """

    def __init__(
        self,
        place: Workplace,
        whole: Callable[[], Transaction[Followed]],
        *,
        store_id: str,
        batch_id: str | None = None,
    ) -> None:
        """Look at nothing yet."""
        self._place = place
        self._whole = whole
        self._store_id = store_id
        self._batch_id = batch_id
        self._awaited: frozenset[str] = frozenset()
        self._newest = _BEYOND_ALL if batch_id is None else 0

    async def events(self) -> AsyncGenerator[VectorStoreEvent, None]:
        """Yield what is followed, each file that ends, and what is followed at last."""
        look = await self._place.database.read(self._look())
        if look.awaited:
            yield VectorStoreEvent(look.whole)
        while True:
            self._awaited, self._newest = look.awaited, look.newest
            for row in look.ended:
                yield VectorStoreEvent(to_store_file(row))
            if not look.awaited:
                yield VectorStoreEvent(look.whole)
                return
            look = await self._changed()

    async def _changed(self) -> _Look:
        """Wait until one more file has ended, or none is awaited."""
        while True:
            with self._place.indexed.listening(self._store_id) as rung:
                look = await self._place.database.read(self._look())
                if look.ended or not look.awaited:
                    return look
                await asyncio.wait([rung], timeout=_LOOK_SECONDS)
            await asyncio.sleep(_TOGETHER_SECONDS)

    def _look(self) -> Transaction[_Look]:
        whole = yield from self._whole()
        scope: dict[str, Any] = {"store_id": self._store_id}
        [newest] = yield _NEWEST(**scope)
        awaited, ended = _AWAITED, _ENDED
        if self._batch_id is not None:
            awaited, ended = _AWAITED_OF_BATCH, _ENDED_OF_BATCH
            scope["batch_id"] = self._batch_id
        ids = frozenset(row["file_id"] for row in (yield awaited(**scope)))
        gone = to_json([*(self._awaited - ids)])
        rows = yield ended(ids=gone, newest=self._newest, **scope)
        return _Look(whole, ids, rows, newest["seq"])
