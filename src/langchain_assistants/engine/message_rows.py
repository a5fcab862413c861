"""Rows of messages: how they are stored, appended and read; no rule about runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete, exists, insert, select, update

from langchain_assistants.engine.ids import NewId
from langchain_assistants.engine.listing import Listing
from langchain_assistants.errors import InvalidRequestError, NotFoundError
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
from langchain_assistants.storage.tables import messages as table
from langchain_assistants.storage.tables import threads
from langchain_assistants.types.messages import (
    Message,
    MessageIncompleteDetails,
    stored_content,
)
from langchain_assistants.types.v1 import with_attachments

PREFIX = "msg_"
KIND = "message"

_INSERT = Statement(insert(table).values({c.name: param(c.name) for c in table.c}))
_OWNED = select(table).join(threads, threads.c.id == table.c.thread_id)
_BY_ID = Statement(
    _OWNED.where(table.c.id == param("id"), threads.c.tenant == param("tenant"))
)
_THREAD = Statement(
    select(threads.c.id, threads.c.last_seq).where(
        threads.c.id == param("id"), threads.c.tenant == param("tenant")
    )
)
_MOVE_END = Statement(
    update(threads)
    .where(threads.c.id == param("id"))
    .values(last_seq=param("last_seq"))
)
_UPDATE = Statement(
    update(table).where(table.c.id == param("id")).values(metadata=param("metadata"))
)
_SHOW_MODEL = Statement(
    update(table)
    .where(table.c.id == param("id"))
    .values(model_content=param("model_content"))
)
_DELETE = Statement(delete(table).where(table.c.id == param("id")))
_DELETE_ALL = Statement(delete(table).where(table.c.thread_id == param("thread_id")))
OF_THREAD = Listing.of(table.c.seq, table.c.thread_id == param("thread_id"))
OF_RUN = Listing.of(
    table.c.seq,
    table.c.thread_id == param("thread_id"),
    table.c.run_id == param("run_id"),
)

_WRITTEN = Statement(
    select(table)
    .where(
        table.c.thread_id == param("thread_id"),
        table.c.seq > param("cursor"),
        table.c.run_id == param("run_id"),
    )
    .order_by(table.c.seq)
)


_asked = strings_of(param("source_ids")).table_valued("value")
_in_thread = table.c.thread_id == param("thread_id")
_TAKEN = Statement(
    # One look into an index for each id: asked for the messages that have one of the
    # ids, SQLite would read the whole thread.
    select(_asked.c.value).where(
        exists().where(_in_thread, table.c.source_id == _asked.c.value)
        | exists().where(_in_thread, table.c.id == _asked.c.value)
    )
)


class NewMessage(NamedTuple):
    """A message that a transaction is about to insert; JSON is encoded already."""

    id: str
    role: str
    content: str
    attachments: str | None = None
    metadata: str | None = None
    status: str = "completed"
    assistant_id: str | None = None
    run_id: str | None = None
    incomplete_reason: str | None = None
    created_at: float | None = None
    ended_at: float | None = None
    source_id: str | None = None


def new_messages(
    bodies: Iterable[Mapping[str, Any]], new_id: NewId
) -> list[NewMessage]:
    """Prepare messages from checked request bodies."""
    bodies = map(with_attachments, bodies)
    return [
        NewMessage(
            id=new_id(PREFIX),
            role=body["role"],
            content=to_json(stored_content(body["content"])),
            attachments=_some(body.get("attachments")),
            metadata=_some(body.get("metadata")),
        )
        for body in bodies
    ]


def _some(value: object) -> str | None:
    return to_json(value) if value else None


def insert_messages(
    thread_id: str, last_seq: int, messages: Sequence[NewMessage], now: float
) -> Transaction[int]:
    """Insert messages after the thread's last one; return the new last number."""
    for number, message in enumerate(messages, start=last_seq + 1):
        values: dict[str, Any] = message._asdict()
        values["created_at"] = now if message.created_at is None else message.created_at
        yield _INSERT(thread_id=thread_id, seq=number, model_content=None, **values)
    return last_seq + len(messages)


def not_taken_yet(
    thread_id: str, messages: Sequence[NewMessage]
) -> Transaction[list[NewMessage]]:
    """Leave out the messages that the thread has taken before, or wrote itself."""
    wanted = [m.source_id for m in messages if m.source_id is not None]
    if not wanted:
        return list(messages)
    rows = yield _TAKEN(thread_id=thread_id, source_ids=to_json(wanted))
    taken = {row["value"] for row in rows}
    return [m for m in messages if m.source_id not in taken]


def append_messages(
    thread_id: str, last_seq: int, messages: Sequence[NewMessage], now: float
) -> Transaction[int]:
    """Insert messages and move the thread's end to the last of them."""
    end = yield from insert_messages(thread_id, last_seq, messages, now)
    if end != last_seq:
        yield _MOVE_END(id=thread_id, last_seq=end)
    return end


def delete_messages(thread_id: str) -> Transaction[None]:
    """Delete every message of a thread."""
    yield _DELETE_ALL(thread_id=thread_id)


def show_model(
    message_id: str, content: Sequence[Mapping[str, Any]]
) -> Transaction[None]:
    """Keep what middleware showed the model in place of a user's message (PII)."""
    yield _SHOW_MODEL(id=message_id, model_content=to_json(content))


def set_metadata(
    message_id: str, metadata: Mapping[str, str] | None
) -> Transaction[None]:
    """Replace a message's metadata."""
    yield _UPDATE(id=message_id, metadata=_some(metadata))


def delete_message(message_id: str) -> Transaction[None]:
    """Delete one message."""
    yield _DELETE(id=message_id)


def message_row(message_id: str, tenant: str) -> Transaction[Row]:
    """Read a message's row.

    Raises:
        NotFoundError: There is none with this id.
    """
    row = first((yield _BY_ID(id=message_id, tenant=tenant)))
    if row is None:
        raise NotFoundError.for_id(KIND, message_id)
    return row


def thread_end(thread_id: str, tenant: str) -> Transaction[int]:
    """Return the number of a thread's newest message, 0 of an empty thread.

    Raises:
        NotFoundError: There is no thread with this id.
    """
    row = first((yield _THREAD(id=thread_id, tenant=tenant)))
    if row is None:
        raise NotFoundError.for_id("thread", thread_id)
    return int(row["last_seq"])


def written_messages(run: Row) -> Transaction[list[Message]]:
    """Read what a run has written, oldest first."""
    rows = yield _WRITTEN(
        thread_id=run["thread_id"], cursor=run["cursor"], run_id=run["id"]
    )
    return [to_message(row) for row in rows]


def to_message(row: Row) -> Message:
    """Return the wire's object for a row."""
    status, ended_at = row["status"], row["ended_at"]
    reason = row["incomplete_reason"]
    ended = None if ended_at is None else int(ended_at)
    return Message(
        id=row["id"],
        created_at=int(row["created_at"]),
        thread_id=row["thread_id"],
        status=status,
        incomplete_details=reason and MessageIncompleteDetails(reason=reason),
        completed_at=ended if status == "completed" else None,
        incomplete_at=ended if status == "incomplete" else None,
        role=row["role"],
        content=from_json(row["content"]),
        assistant_id=row["assistant_id"],
        run_id=row["run_id"],
        attachments=from_json(row["attachments"]) or [],
        metadata=from_json(row["metadata"]) or {},
    )


def check_room(
    thread_id: str, end: int, added: Sequence[NewMessage], limit: int | None
) -> None:
    """Refuse messages beyond `Settings.max_messages_per_thread`.

    Raises:
        InvalidRequestError: The thread would hold more than its limit.
    """
    if limit is not None and end + len(added) > limit:
        raise InvalidRequestError(
            f"Thread {thread_id} is full: it holds {end} messages and the limit is "
            f"{limit} (Settings.max_messages_per_thread).",
            code="invalid_value",
            param="messages",
        )
