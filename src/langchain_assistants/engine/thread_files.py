"""Files that messages bring along: they exist, and a store takes those to search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import select, update

from langchain_assistants.engine.file_rows import require_files
from langchain_assistants.engine.ids import NewId
from langchain_assistants.engine.message_rows import NewMessage
from langchain_assistants.engine.vector_store_creation import (
    THREAD_STORES_LIVE,
    NewVectorStore,
)
from langchain_assistants.engine.vector_store_file_rows import attach_files
from langchain_assistants.engine.vector_store_rows import (
    PREFIX,
    has_expired,
    store_row,
)
from langchain_assistants.errors import NotFoundError
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    from_json,
    param,
    to_json,
)
from langchain_assistants.storage.tables import threads as table

_RESOURCES = Statement(
    select(table.c.tool_resources).where(table.c.id == param("thread_id"))
)
_SET_RESOURCES = Statement(
    update(table)
    .where(table.c.id == param("thread_id"))
    .values(tool_resources=param("tool_resources"))
)


def searched_files(messages: Iterable[NewMessage]) -> list[str]:
    """Return the ids of the files that are attached for file search, each once."""
    return list(dict.fromkeys(_searched(messages)))


def _searched(messages: Iterable[NewMessage]) -> Iterator[str]:
    for attachment in _attachments(messages):
        tools = attachment.get("tools") or ()
        if any(tool["type"] == "file_search" for tool in tools):
            yield attachment["file_id"]


def _attachments(messages: Iterable[NewMessage]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        yield from from_json(message.attachments) or ()


def attach_to_thread(
    thread_id: str,
    messages: Iterable[NewMessage],
    *,
    tenant: str,
    now: float,
    new_id: NewId,
) -> Transaction[str | None]:
    """Let the files of messages be searched on their thread, as far as they say so.

    As in the original those join the thread's vector store; one that is made for them
    expires 7 days after its last use. In place of a store that has expired comes a new
    one.

    Returns:
        The thread's tool resources as they are stored now; None: as before.

    Raises:
        NotFoundError: One of the files does not exist.
    """
    messages = list(messages)
    if attached := [one["file_id"] for one in _attachments(messages)]:
        yield from require_files(attached, tenant, now)
    file_ids = searched_files(messages)
    if not file_ids:
        return None
    [row] = yield _RESOURCES(thread_id=thread_id)
    resources: dict[str, Any] = from_json(row["tool_resources"]) or {}
    file_search = resources.setdefault("file_search", {})
    for store_id in file_search.get("vector_store_ids") or ():
        if (yield from _lives(store_id, tenant, now)):
            bodies = [{"file_id": file_id} for file_id in file_ids]
            yield from attach_files(store_id, bodies, tenant=tenant, now=now)
            return None
    store = NewVectorStore(
        {"file_ids": file_ids, "expires_after": THREAD_STORES_LIVE},
        id=new_id(PREFIX),
        tenant=tenant,
        now=now,
    )
    yield from store.insert()
    file_search["vector_store_ids"] = [store.id]
    changed = to_json(resources)
    yield _SET_RESOURCES(thread_id=thread_id, tool_resources=changed)
    return changed


def _lives(store_id: str, tenant: str, now: float) -> Transaction[bool]:
    try:
        store: Row = yield from store_row(store_id, tenant)
    except NotFoundError:
        return False
    return not has_expired(store, now)
