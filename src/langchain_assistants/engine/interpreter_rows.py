"""Rows of interpreter sessions, and which files a thread's session should hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import exists, select, text
from sqlalchemy.dialects.sqlite import insert

from langchain_assistants.engine.file_rows import filenames
from langchain_assistants.engine.run_resources import run_resources
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
from langchain_assistants.storage.tables import (
    interpreter_sessions,
    messages,
    threads,
)

_table = interpreter_sessions
_put = insert(_table).values({c.name: param(c.name) for c in _table.c})
_PUT = Statement(
    _put.on_conflict_do_update(
        index_elements=["thread_id"],
        set_={n: _put.excluded[n] for n in ("provider", "session_id", "files")},
    )
)
_BY_THREAD = Statement(select(_table).where(_table.c.thread_id == param("thread_id")))
_ATTACHMENTS = Statement(
    select(messages.c.attachments)
    .where(
        messages.c.thread_id == param("thread_id"),
        # Literal, as in the partial index that serves it.
        text("attachments IS NOT NULL"),
        messages.c.seq <= param("cursor"),
        messages.c.role == "user",
    )
    .order_by(messages.c.seq)
)


_asked = strings_of(param("ids")).table_valued("value")
_MISSING = Statement(
    select(_asked.c.value).where(~exists().where(threads.c.id == _asked.c.value))
)


class StoredSession(NamedTuple):
    """What is known of a thread's session.

    Attributes:
        provider: The name of the provider that has it.
        session_id: By which the provider finds it again.
        files: By path, the id of the file that it is a copy of or has become.
    """

    provider: str
    session_id: str
    files: Mapping[str, str]


def stored_session(thread_id: str) -> Transaction[StoredSession | None]:
    """Read what is known of a thread's session; None before the first."""
    row = first((yield _BY_THREAD(thread_id=thread_id)))
    if row is None:
        return None
    return StoredSession(row["provider"], row["session_id"], from_json(row["files"]))


def missing_threads(ids: Iterable[str]) -> Transaction[set[str]]:
    """Return those of these threads that are no more."""
    rows = yield _MISSING(ids=to_json(list(ids)))
    return {row["value"] for row in rows}


def put_session(thread_id: str, session: StoredSession) -> Transaction[None]:
    """Store what is known of a thread's session."""
    yield _PUT(
        thread_id=thread_id,
        provider=session.provider,
        session_id=session.session_id,
        files=to_json(session.files),
    )


def files_for(run: Row, now: float) -> Transaction[dict[str, str]]:
    """Return the names of the files that a run's session should hold, by their ids.

    Those of the assistant come first, then the thread's, then what was attached to
    messages; files that were deleted are left out.
    """
    resources = yield from run_resources(run, "code_interpreter")
    wanted = [id for held in resources for id in held.get("file_ids") or ()]
    attached = yield _ATTACHMENTS(thread_id=run["thread_id"], cursor=run["cursor"])
    for row in attached:
        wanted += [a["file_id"] for a in from_json(row["attachments"]) if _is_for(a)]
    if not wanted:
        return {}
    known = yield from filenames(wanted, run["tenant"], now)
    return {file_id: known[file_id] for file_id in wanted if file_id in known}


def _is_for(attachment: Mapping[str, Any]) -> bool:
    tools = attachment.get("tools") or ()
    return any(tool["type"] == "code_interpreter" for tool in tools)
