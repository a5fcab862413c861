"""What an engine tells notebooks of its objects when they are displayed."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import TypeVar

from sqlalchemy import func, select

from langchain_assistants.engine.file_rows import file_rows
from langchain_assistants.engine.message_rows import (
    OF_THREAD,
    thread_end,
    to_message,
    written_messages,
)
from langchain_assistants.engine.run_rows import run_row, to_run
from langchain_assistants.engine.step_rows import steps_of, to_draft
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.errors import ConfigurationError, StorageError
from langchain_assistants.storage.database import Statement, Transaction, param
from langchain_assistants.storage.tables import messages
from langchain_assistants.types.records import (
    Conversation,
    Origin,
    RunRecord,
    StoredFile,
)

T = TypeVar("T")

_SHOWN_MESSAGES = 50
_EARLIER = Statement(
    select(func.count().label("number")).where(
        messages.c.thread_id == param("thread_id"), messages.c.seq < param("seq")
    )
)


class EngineOrigin(Origin):
    """Reads from the engine of a tenant's object, blocking; it keeps none alive."""

    def __init__(self, workplace: Workplace, tenant: str) -> None:
        """Read nothing yet."""
        self._workplace = weakref.ref(workplace)
        self._tenant = tenant

    def record(self, run_id: str) -> RunRecord:
        """Read a run with its steps and messages, as of one moment."""
        transaction = run_record(run_id, self._tenant)
        return self._call(lambda place: place.database.read(transaction))

    def conversation(self, thread_id: str) -> Conversation:
        """Read the newest messages of a thread."""
        transaction = _conversation(thread_id, self._tenant)
        return self._call(lambda place: place.database.read(transaction))

    def files(
        self, ids: Collection[str], *, contents_of: Collection[str], most_bytes: int
    ) -> dict[str, StoredFile]:
        """Read files, those that are there."""

        async def read(place: Workplace) -> dict[str, StoredFile]:
            transaction = file_rows(ids, self._tenant, place.clock())
            found = {}
            for file_id, row in (await place.database.read(transaction)).items():
                content = None
                if file_id in contents_of and row["bytes"] <= most_bytes:
                    with suppress(StorageError):  # deleted meanwhile
                        content = await place.blobs.read(file_id)
                found[file_id] = StoredFile(row["filename"], content)
            return found

        return self._call(read)

    def _call(self, read: Callable[[Workplace], Awaitable[T]]) -> T:
        """Read on the engine's loop.

        Raises:
            ConfigurationError: The engine is gone or closed, or this is its own loop.
        """
        workplace = self._living_workplace()
        return workplace.portal.call(lambda: read(workplace))

    def _living_workplace(self) -> Workplace:
        """Return what the engine works with.

        Raises:
            ConfigurationError: The engine is gone.
        """
        workplace = self._workplace()
        if workplace is None:
            raise ConfigurationError("The engine of this object is gone.")
        return workplace


def run_record(run_id: str, tenant: str) -> Transaction[RunRecord]:
    """Read a run with its steps and messages.

    Raises:
        NotFoundError: There is none with this id.
    """
    row = yield from run_row(run_id, tenant)
    steps = yield from steps_of(run_id)
    return RunRecord(
        to_run(row),
        [to_draft(step).to_step(row["assistant_id"]) for step in steps],
        (yield from written_messages(row)),
    )


def _conversation(thread_id: str, tenant: str) -> Transaction[Conversation]:
    yield from thread_end(thread_id, tenant)  # raises where it is another tenant's
    rows, has_more = yield from OF_THREAD.slice(
        order="desc", limit=_SHOWN_MESSAGES, thread_id=thread_id
    )
    earlier = 0
    if has_more:
        (counted,) = yield _EARLIER(thread_id=thread_id, seq=rows[-1]["seq"])
        earlier = int(counted["number"])
    return Conversation([to_message(row) for row in reversed(rows)], earlier)
