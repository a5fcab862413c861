"""Rows of imported files and vector stores.

An object that is there already is never changed. What an object says may be wrong is
not looked for here: it has been checked against its type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select, update

from langchain_assistants.engine.file_rows import to_file
from langchain_assistants.engine.import_outcomes import (
    TAKEN_ID,
    Imported,
    Outcome,
    compared,
)
from langchain_assistants.engine.vector_store_file_rows import (
    attach_files,
    to_store_file,
)
from langchain_assistants.engine.vector_store_rows import counted, to_store
from langchain_assistants.errors import NotFoundError
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
    param,
    to_json,
)
from langchain_assistants.storage.functions import strings_of
from langchain_assistants.storage.tables import (
    files,
    vector_store_files,
    vector_stores,
)

_DAY = 86_400.0

_asked = strings_of(param("ids")).table_valued("value")
_ids = select(_asked.c.value)
_INSERT = {
    table.name: Statement(
        insert(table).values(
            {c.name: param(c.name) for c in table.c if c.name != "seq"}
        )
    )
    for table in (files, vector_stores)
}
_KNOWN = {
    table.name: Statement(select(table).where(table.c.id.in_(_ids)))
    for table in (files, vector_stores)
}
_KNOWN_STORE_FILE = Statement(
    select(vector_store_files).where(
        vector_store_files.c.vector_store_id == param("vector_store_id"),
        vector_store_files.c.file_id == param("file_id"),
    )
)
_STORE = Statement(
    select(vector_stores).where(
        vector_stores.c.id == param("id"), vector_stores.c.tenant == param("tenant")
    )
)
_RESTORE_STORE = Statement(
    update(vector_stores)
    .where(vector_stores.c.id == param("id"))
    .values(last_active_at=param("last_active_at"), expires_at=param("expires_at"))
)
_DATE_STORE_FILE = Statement(
    update(vector_store_files)
    .where(
        vector_store_files.c.vector_store_id == param("vector_store_id"),
        vector_store_files.c.file_id == param("file_id"),
    )
    .values(created_at=param("created_at"))
)


def _known(table: str, items: Iterable[Imported]) -> Transaction[dict[str, Row]]:
    rows = yield _KNOWN[table](ids=to_json([item.id for item in items]))
    return {row["id"]: row for row in rows}


def take_stores(
    items: Sequence[Imported], tenant: str, now: float
) -> Transaction[list[Outcome]]:
    """Store vector stores without their files."""
    known = yield from _known("vector_stores", items)
    rows = yield from counted(list(known.values()))
    here = {row["id"]: row for row in rows}
    outcomes: list[Outcome] = []
    for item in items:
        columns, repair = _store_columns(item, tenant, now)
        row = known.get(item.id)
        if row is None:
            yield _INSERT["vector_stores"](**columns)
            outcomes.append(Outcome(taken=True, repair=repair))
        elif row["tenant"] != tenant:
            outcomes.append(TAKEN_ID)
        else:
            # Counts and times are not compared: those that are here will do.
            given = columns | {
                "file_counts": here[item.id]["file_counts"],
                "usage_bytes": 0,
            }
            outcomes.append(
                compared(
                    item,
                    to_store(here[item.id], now).to_dict(),
                    to_store(given, now).to_dict(),
                )
            )
    return outcomes


def _store_columns(
    item: Imported, tenant: str, now: float
) -> tuple[dict[str, Any], str | None]:
    body, repair = item.body, None
    days = (body.get("expires_after") or {}).get("days")
    expired = body["status"] == "expired"
    active_at = body.get("last_active_at") or item.created_at
    expires_at = None
    if days is not None:
        expires_at = active_at + days * _DAY
        if expires_at <= now and not expired:
            active_at, expires_at = now, now + days * _DAY
            repair = "its time would be over: it begins anew"
    return {
        "id": item.id,
        "tenant": tenant,
        "version": 1,
        "fts_number": None,
        "created_at": item.created_at,
        "last_active_at": active_at,
        "expires_days": days,
        "expires_at": expires_at,
        "expired": int(expired),
        "name": body.get("name") or "",
        "description": body.get("description"),
        "metadata": to_json(body.get("metadata") or {}),
        "embedding_model": None,
        "embedding_dimensions": None,
    }, repair


def take_store_files(
    items: Sequence[Imported], tenant: str, now: float
) -> Transaction[list[Outcome]]:
    """Attach files to their vector stores, to be indexed anew."""
    outcomes: list[Outcome] = []
    for item in items:
        store = first((yield _STORE(id=item.parent, tenant=tenant)))
        if store is None:
            refusal = f"there is no vector store {item.parent}"
            outcomes.append(Outcome(refusal=refusal))
            continue
        row = first(
            (yield _KNOWN_STORE_FILE(vector_store_id=item.parent, file_id=item.id))
        )
        if row is None:
            outcomes.append((yield from _attach(item, store, tenant, now)))
            continue
        here = to_store_file(row).to_dict()
        given = {**item.body, "attributes": item.body.get("attributes") or {}}
        if _sizes(item) is None:
            given["chunking_strategy"] = here["chunking_strategy"]
        outcomes.append(compared(item, here, given))
    return outcomes


def _attach(
    item: Imported, store: Row, tenant: str, now: float
) -> Transaction[Outcome]:
    body = {
        "file_id": item.id,
        "attributes": item.body.get("attributes"),
        "chunking_strategy": _sizes(item),
    }
    try:
        yield from attach_files(store["id"], [body], tenant=tenant, now=now)
    except NotFoundError:
        return Outcome(refusal=f"there is no file {item.id}")
    # To be attached is a use of the store; this one happened long ago.
    yield _DATE_STORE_FILE(
        vector_store_id=store["id"], file_id=item.id, created_at=item.created_at
    )
    yield _RESTORE_STORE(
        id=store["id"],
        last_active_at=store["last_active_at"],
        expires_at=store["expires_at"],
    )
    return Outcome(taken=True)


def _sizes(item: Imported) -> Mapping[str, Any] | None:
    """Return how a file was cut, if it is said."""
    strategy = item.body.get("chunking_strategy") or {}
    return strategy if "static" in strategy else None


def take_file(columns: Mapping[str, Any]) -> Transaction[Outcome]:
    """Store the row of a file whose content is stored already."""
    yield _INSERT["files"](**columns)
    return Outcome(taken=True)


def known_file(file_id: str) -> Transaction[Row | None]:
    """Read the row of a file, whosever it is."""
    return first((yield _KNOWN["files"](ids=to_json([file_id]))))


def compare_file(item: Imported, row: Row, columns: Mapping[str, Any]) -> Outcome:
    """Compare a file with the one that has its id."""
    if row["tenant"] != columns["tenant"]:
        return TAKEN_ID
    here = to_file(row).to_dict() | {"content": row["sha256"]}
    given = to_file(columns).to_dict() | {"content": columns["sha256"]}
    return compared(item, here, given)
