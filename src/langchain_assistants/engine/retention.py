"""Deletes threads that have been idle for longer than `Settings.thread_ttl`."""

from __future__ import annotations

import logging

from sqlalchemy import exists, func, or_, select

from langchain_assistants.engine.deletion import HIDDEN, delete_thread
from langchain_assistants.storage.database import (
    Database,
    Row,
    Statement,
    Transaction,
    first,
    param,
)
from langchain_assistants.storage.tables import (
    ACTIVE,
    WAITING,
    messages,
    runs,
    threads,
)

logger = logging.getLogger(__name__)

_LOOKED_AT = 100
"""Threads that one sweep looks at; the next one goes on behind them."""

_newest_message = (
    select(messages.c.created_at)
    .where(messages.c.thread_id == threads.c.id)
    .order_by(messages.c.seq.desc())
    .limit(1)
    .scalar_subquery()
)
_newest_run = (
    select(func.coalesce(runs.c.ended_at, runs.c.created_at))
    .where(runs.c.thread_id == threads.c.id)
    .order_by(runs.c.seq.desc())
    .limit(1)
    .scalar_subquery()
)
_looked_at = select(
    threads.c.seq,
    threads.c.id,
    threads.c.created_at,
    _newest_message.label("newest_message"),
    _newest_run.label("newest_run"),
    exists()
    .where(runs.c.thread_id == threads.c.id, or_(ACTIVE, WAITING))
    .label("has_active_run"),
).where(threads.c.tenant != HIDDEN)
_NEXT = Statement(
    _looked_at.where(threads.c.seq > param("after"))
    .order_by(threads.c.seq)
    .limit(_LOOKED_AT)
)
_ONE = Statement(_looked_at.where(threads.c.id == param("id")))


class Retention:
    """Looks through the threads, some at each sweep, and begins anew at the end.

    Args:
        database: Where the threads are.
        ttl: Seconds from a thread's newest message or run to its deletion.
    """

    def __init__(self, database: Database, ttl: float) -> None:
        """Begin with the oldest thread."""
        self._database = database
        self._ttl = ttl
        self._after = 0

    async def sweep(self, now: float) -> None:
        """Look at the next threads, and delete each idle one in its own transaction."""
        oldest = now - self._ttl
        rows = await self._database.read(_next(self._after))
        self._after = rows[-1]["seq"] if len(rows) == _LOOKED_AT else 0
        for row in rows:
            if _is_idle(row, oldest) and await self._database.write(
                _delete_idle(row["id"], oldest)
            ):
                logger.info("idle_thread_deleted", extra={"thread_id": row["id"]})


def _next(after: int) -> Transaction[list[Row]]:
    return (yield _NEXT(after=after))


def _is_idle(row: Row, oldest: float) -> bool:
    times = (row["created_at"], row["newest_message"], row["newest_run"])
    active_at = max(time for time in times if time is not None)
    return not row["has_active_run"] and active_at <= oldest


def _delete_idle(thread_id: str, oldest: float) -> Transaction[bool]:
    """Delete a thread if nobody has used or deleted it meanwhile."""
    row = first((yield _ONE(id=thread_id)))
    if row is None or not _is_idle(row, oldest):
        return False
    yield from delete_thread(thread_id)
    return True
