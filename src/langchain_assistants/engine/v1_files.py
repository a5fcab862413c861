"""Gives an assistant's files to its tools, as the first Assistants API did.

Its `file_ids` are kept among the resources, in their order, so that the tools of a
later update get them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from langchain_assistants.engine.file_rows import require_files
from langchain_assistants.engine.ids import NewId
from langchain_assistants.engine.vector_store_file_rows import (
    attach_files,
    detach_file,
)
from langchain_assistants.engine.vector_store_rows import (
    PREFIX,
    insert_store,
    new_store_columns,
)
from langchain_assistants.storage.database import (
    Statement,
    Transaction,
    first,
    param,
)
from langchain_assistants.storage.tables import vector_store_files, vector_stores

_STORE = Statement(
    select(vector_stores.c.id).where(
        vector_stores.c.id == param("id"),
        vector_stores.c.tenant == param("tenant"),
        vector_stores.c.name == param("name"),
    )
)
_FILES = Statement(
    select(vector_store_files.c.file_id).where(
        vector_store_files.c.vector_store_id == param("id")
    )
)


def store_name(assistant_id: str) -> str:
    """Return what the vector store of an assistant's files is called."""
    return f"v1-files {assistant_id}"


def given_to_tools(
    assistant_id: str,
    tools: Iterable[Mapping[str, Any]],
    resources: Mapping[str, Any],
    *,
    tenant: str,
    now: float,
    new_id: NewId,
) -> Transaction[dict[str, Any]]:
    """Return resources in which the tools have the `file_ids` that are among them.

    The vector store of an assistant's files is made with the first ones; a store of
    another name stays as it is.

    Raises:
        NotFoundError: One of the files does not exist.
    """
    given = dict(resources)
    file_ids: Sequence[str] = given.get("file_ids") or ()
    yield from require_files(file_ids, tenant, now)
    types = {tool["type"] for tool in tools}
    if "code_interpreter" in types:
        given["code_interpreter"] = {"file_ids": list(file_ids)}
    if "file_search" in types:
        named = given.get("file_search", {}).get("vector_store_ids") or ()
        name = store_name(assistant_id)
        own = None
        for store_id in named:
            own = first((yield _STORE(id=store_id, tenant=tenant, name=name)))
        if own is not None:
            yield from _sync(own["id"], file_ids, tenant=tenant, now=now)
        elif not named and file_ids:
            store_id = new_id(PREFIX)
            body = {"name": name}
            columns = new_store_columns(body, id=store_id, tenant=tenant, now=now)
            yield from insert_store(columns)
            yield from _attach(store_id, file_ids, tenant=tenant, now=now)
            given["file_search"] = {"vector_store_ids": [store_id]}
    return given


def _sync(
    store_id: str, file_ids: Sequence[str], *, tenant: str, now: float
) -> Transaction[None]:
    """Let a vector store have these files and no others."""
    rows = yield _FILES(id=store_id)
    here = {row["file_id"] for row in rows}
    for file_id in here.difference(file_ids):
        yield from detach_file(store_id, file_id, now)
    added = [file_id for file_id in file_ids if file_id not in here]
    yield from _attach(store_id, added, tenant=tenant, now=now)


def _attach(
    store_id: str, file_ids: Sequence[str], *, tenant: str, now: float
) -> Transaction[None]:
    bodies = [{"file_id": file_id} for file_id in file_ids]
    if bodies:
        yield from attach_files(store_id, bodies, tenant=tenant, now=now)
