"""The files in vector stores, one by one and in batches."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.stored import everything, path_of, rows
from tests.unit.engine.conftest import Do

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import InvalidRequestError, NotFoundError
from langchain_assistants.types import FileCounts, VectorStoreFile

AUTO = {
    "type": "static",
    "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
}
SMALL = {
    "type": "static",
    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0},
}
ATTRIBUTES: dict[str, Any] = {"s": "x", "n": 7, "f": 0.5, "b": True}


def upload(engine: AssistantsEngine, count: int) -> list[str]:
    return [
        engine.files.create(file=b"text", purpose="assistants").id for _ in range(count)
    ]


def ids(files: Any) -> list[str]:
    return [file.id for file in files]


def pending(engine: AssistantsEngine, *file_ids: str) -> None:
    """Let files be indexed somewhere else, which takes its time."""
    marks = ", ".join("?" * len(file_ids))
    with closing(sqlite3.connect(path_of(engine))) as connection, connection:
        connection.execute(
            "UPDATE vector_store_files SET status = 'in_progress', last_error = NULL, "
            f"worker = 'elsewhere', lease_until = 1e12 WHERE file_id IN ({marks})",
            file_ids,
        )


def version(engine: AssistantsEngine) -> int:
    [row] = rows(engine, "SELECT version FROM vector_stores")
    return int(row["version"])


def test_an_attached_file_that_is_not_supported_fails_and_says_why(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    store, [file_id] = engine.vector_stores.create(), upload(engine, 1)
    files = engine.vector_stores.files
    made = do(files.create, store.id, file_id=file_id, attributes=ATTRIBUTES)
    begun = {
        "id": file_id,
        "object": "vector_store.file",
        "usage_bytes": 0,
        "created_at": int(clock()),
        "vector_store_id": store.id,
        "status": "in_progress",
        "last_error": None,
        "chunking_strategy": AUTO,
        "attributes": ATTRIBUTES,
    }
    assert made.to_dict() == begun
    engine.vector_stores.wait(store.id)
    made = do(files.retrieve, store.id, file_id)
    shown = made.to_dict()
    assert shown["last_error"].pop("code") == "unsupported_file"
    assert "[none that is known]" in shown["last_error"].pop("message")
    assert shown == begun | {"status": "failed", "last_error": {}}
    assert [type(value) for value in made.attributes.values()] == [
        str,
        int,
        float,
        bool,
    ]
    assert do(files.content, store.id, file_id).to_dict() == {
        "object": "vector_store.file_content.page",
        "data": [],
        "has_more": False,
        "next_page": None,
    }


@pytest.mark.parametrize(
    ("given", "resolved"),
    [(None, AUTO), ({"type": "auto"}, AUTO), (SMALL, SMALL)],
)
def test_a_chunking_strategy_is_shown_resolved(
    engine_factory: EngineFactory, given: Any, resolved: dict[str, Any]
) -> None:
    engine = engine_factory()
    [file_id] = upload(engine, 1)
    store = engine.vector_stores.create()
    made = engine.vector_stores.files.create(
        store.id, file_id=file_id, chunking_strategy=given
    )
    assert made.to_dict()["chunking_strategy"] == resolved
    assert made.attributes == {}


def test_a_file_that_is_attached_again_takes_the_new_fields_and_its_old_place(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    first, second = upload(engine, 2)
    store = engine.vector_stores.create(file_ids=[first, second])
    before = version(engine)
    clock.advance(10)
    made = engine.vector_stores.files.create(
        store.id, file_id=first, attributes={"k": "v"}, chunking_strategy=SMALL
    )
    assert made.attributes == {"k": "v"}
    assert made.created_at == store.created_at
    listed = engine.vector_stores.files.list(store.id, order="asc")
    assert ids(listed) == [first, second]
    assert version(engine) == before + 1
    assert engine.vector_stores.retrieve(store.id).last_active_at == int(clock())


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({}, "missing_required_parameter", "file_id"),
        ({"file_id": None}, "invalid_type", "file_id"),
        ({"file_id": "vs_1"}, "invalid_value", "file_id"),
        ({"attributes": []}, "invalid_type", "attributes"),
        ({"attributes": {"k": None}}, "invalid_type", "attributes.k"),
        ({"attributes": {"k": ["v"]}}, "invalid_type", "attributes.k"),
        ({"attributes": {"k": float("nan")}}, "invalid_value", "attributes.k"),
        (
            {"attributes": {"k": "x" * 513}},
            "string_above_max_length",
            "attributes.k",
        ),
        (
            {"attributes": {"k" * 65: "x"}},
            "string_above_max_length",
            "attributes",
        ),
        (
            {"attributes": {str(n): n for n in range(17)}},
            "object_above_max_properties",
            "attributes",
        ),
        ({"chunking_strategy": "auto"}, "invalid_type", "chunking_strategy"),
    ],
)
def test_a_file_that_breaks_a_rule_is_not_attached(
    do: Do,
    engine_factory: EngineFactory,
    fields: dict[str, Any],
    code: str,
    param: str,
) -> None:
    engine = engine_factory()
    store, [file_id] = engine.vector_stores.create(), upload(engine, 1)
    if fields and "file_id" not in fields:
        fields = fields | {"file_id": file_id}
    with pytest.raises(InvalidRequestError) as error:
        do(engine.vector_stores.files.create, store.id, **fields)
    assert (error.value.code, error.value.param) == (code, param)
    assert everything(engine)["vector_store_files"] == []


def test_an_update_replaces_all_attributes(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    [file_id] = upload(engine, 1)
    store, files = engine.vector_stores.create(), engine.vector_stores.files
    files.create(store.id, file_id=file_id, attributes=ATTRIBUTES)
    before = version(engine)
    updated = do(files.update, store.id, file_id, attributes={"k": False})
    assert updated.attributes == {"k": False}
    assert version(engine) == before + 1
    assert do(files.update, store.id, file_id, attributes=None).attributes == {}
    for fields in ({}, {"attributes": {"k": {}}}):
        with pytest.raises(InvalidRequestError):
            do(files.update, store.id, file_id, **fields)


def test_a_detached_file_stays_a_file(do: Do, engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    kept, gone = upload(engine, 2)
    store = engine.vector_stores.create(file_ids=[kept, gone])
    files, before = engine.vector_stores.files, version(engine)
    assert do(files.delete, store.id, gone).to_dict() == {
        "id": gone,
        "object": "vector_store.file.deleted",
        "deleted": True,
    }
    assert version(engine) == before + 1
    assert ids(files.list(store.id)) == [kept]
    assert engine.files.retrieve(gone).id == gone
    for use in (
        lambda: do(files.retrieve, store.id, gone),
        lambda: do(files.update, store.id, gone, attributes={}),
        lambda: do(files.content, store.id, gone),
        lambda: do(files.delete, store.id, gone),
        lambda: files.list(store.id, after=gone),
    ):
        with pytest.raises(NotFoundError) as error:
            use()
        assert str(error.value) == (
            f"No file found with id '{gone}' in vector store '{store.id}'."
        )
        assert (error.value.code, error.value.param) == (None, None)


def test_files_are_listed_by_status_and_by_pages(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    made = upload(engine, 4)
    store = engine.vector_stores.create(file_ids=made)
    engine.vector_stores.create(file_ids=made[:1])
    engine.vector_stores.wait(store.id)
    pending(engine, made[1], made[3])
    files = engine.vector_stores.files
    assert ids(files.list(store.id, limit=3)) == made[::-1]
    assert ids(files.list(store.id, filter="failed", limit=1)) == [made[2], made[0]]
    assert ids(files.list(store.id, filter="in_progress", order="asc")) == [
        made[1],
        made[3],
    ]
    assert ids(files.list(store.id, filter="completed")) == []
    assert ids(files.list(store.id, before=made[1]).data) == [made[3], made[2]]

    async def paged() -> list[str]:
        listed = files.alist(store.id, filter="failed", limit=1)
        return [file.id async for file in listed]

    assert asyncio.run(paged()) == [made[2], made[0]]
    for params in ({"filter": "broken"}, {"limit": 101}):
        with pytest.raises(InvalidRequestError):
            files.list(store.id, **params)


def test_a_batch_attaches_files_together(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    store, made = engine.vector_stores.create(), upload(engine, 3)
    batches = engine.vector_stores.file_batches
    batch = do(
        batches.create,
        store.id,
        file_ids=[made[0], made[1], made[0]],
        attributes={"k": "v"},
        chunking_strategy=SMALL,
    )
    assert batch.id.startswith("vsfb_")
    assert batch.to_dict() == {
        "id": batch.id,
        "object": "vector_store.file_batch",
        "created_at": int(clock()),
        "vector_store_id": store.id,
        "status": "in_progress",
        "file_counts": FileCounts(in_progress=2, total=2).to_dict(),
    }
    engine.vector_stores.wait(store.id)
    ended = do(batches.retrieve, store.id, batch.id)
    assert ended.status == "completed"
    assert ended.file_counts == FileCounts(failed=2, total=2)
    engine.vector_stores.files.create(store.id, file_id=made[2])
    listed: list[VectorStoreFile] = list(
        batches.list_files(store.id, batch.id, limit=1)
    )
    assert ids(listed) == [made[1], made[0]]
    assert all(file.attributes == {"k": "v"} for file in listed)
    assert all(file.to_dict()["chunking_strategy"] == SMALL for file in listed)

    async def paged() -> list[str]:
        found = batches.alist_files(store.id, batch.id, filter="failed", order="asc")
        return [file.id async for file in found]

    assert asyncio.run(paged()) == made[:2]


def test_files_of_a_batch_may_have_their_own_fields(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    store, made = engine.vector_stores.create(), upload(engine, 2)
    batch = engine.vector_stores.file_batches.create(
        store.id,
        files=[
            {"file_id": made[0], "attributes": {"k": 1}, "chunking_strategy": SMALL},
            {"file_id": made[1]},
        ],
        attributes={"ignored": True},
    )
    second, first = engine.vector_stores.file_batches.list_files(store.id, batch.id)
    assert (first.attributes, second.attributes) == ({"k": 1}, {})
    assert first.to_dict()["chunking_strategy"] == SMALL
    assert second.to_dict()["chunking_strategy"] == AUTO


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({}, "missing_required_parameter", "file_ids"),
        ({"file_ids": None, "files": None}, "missing_required_parameter", "file_ids"),
        (
            {"file_ids": ["file-1"], "files": [{"file_id": "file-1"}]},
            "mutually_exclusive_parameters",
            "files",
        ),
        ({"file_ids": []}, "empty_array", "file_ids"),
        ({"files": []}, "empty_array", "files"),
        ({"file_ids": ["file-1"] * 2_001}, "array_above_max_length", "file_ids"),
        ({"files": [{}]}, "missing_required_parameter", "files[0].file_id"),
        (
            {"files": [{"file_id": "file-1", "attributes": {"k": []}}]},
            "invalid_type",
            "files[0].attributes.k",
        ),
    ],
)
def test_a_batch_that_breaks_a_rule_attaches_nothing(
    do: Do,
    engine_factory: EngineFactory,
    fields: dict[str, Any],
    code: str,
    param: str,
) -> None:
    engine = engine_factory()
    store = engine.vector_stores.create()
    before = everything(engine)
    with pytest.raises(InvalidRequestError) as error:
        do(engine.vector_stores.file_batches.create, store.id, **fields)
    assert (error.value.code, error.value.param) == (code, param)
    assert everything(engine) == before


def test_a_batch_with_a_missing_file_attaches_nothing(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    store, [file_id] = engine.vector_stores.create(), upload(engine, 1)
    before = everything(engine)
    with pytest.raises(NotFoundError, match="No such File object: file-none"):
        engine.vector_stores.file_batches.create(
            store.id, file_ids=[file_id, "file-none"]
        )
    assert everything(engine) == before


def test_a_batch_takes_two_thousand_files(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    store = engine.vector_stores.create()
    with closing(sqlite3.connect(path_of(engine))) as connection, connection:
        connection.executemany(
            "INSERT INTO files (id, tenant, created_at, bytes, filename, purpose, "
            "sha256) VALUES (?, 'default', 1, 0, 'a', 'assistants', '')",
            [(f"file-{n}",) for n in range(2_000)],
        )
    batch = engine.vector_stores.file_batches.create(
        store.id, file_ids=[f"file-{n}" for n in range(2_000)]
    )
    assert batch.file_counts.total == 2_000
    assert engine.vector_stores.retrieve(store.id).file_counts.total == 2_000


def test_cancelling_a_batch_stops_what_is_not_done_yet(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    store, made = engine.vector_stores.create(), upload(engine, 3)
    batches = engine.vector_stores.file_batches
    batch = batches.create(store.id, file_ids=made)
    other = batches.create(store.id, file_ids=upload(engine, 1))
    engine.vector_stores.wait(store.id)
    pending(engine, *made[:2])
    assert batches.retrieve(store.id, batch.id).status == "in_progress"
    counts = {"failed": 1, "cancelled": 2, "total": 3}
    cancelled = do(batches.cancel, store.id, batch.id)
    assert cancelled.status == "cancelled"
    assert cancelled.file_counts == FileCounts(**counts)
    assert do(batches.cancel, store.id, batch.id) == cancelled
    assert ids(batches.list_files(store.id, batch.id, filter="cancelled")) == [
        made[1],
        made[0],
    ]
    assert batches.cancel(store.id, other.id).status == "completed"


def test_a_file_belongs_to_the_batch_it_came_with_last(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    store, made = engine.vector_stores.create(), upload(engine, 2)
    stores = engine.vector_stores
    first = stores.file_batches.create(store.id, file_ids=made)
    second = stores.file_batches.create(store.id, file_ids=made[:1])
    stores.files.create(store.id, file_id=made[0])
    assert ids(stores.file_batches.list_files(store.id, first.id)) == [made[1]]
    assert ids(stores.file_batches.list_files(store.id, second.id)) == [made[0]]
    with pytest.raises(NotFoundError, match=f"in file batch '{second.id}'"):
        stores.file_batches.list_files(store.id, second.id, after=made[1])


def test_a_batch_of_another_store_is_not_found(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    batches, made = engine.vector_stores.file_batches, upload(engine, 1)
    store, other = engine.vector_stores.create(), engine.vector_stores.create()
    batch = batches.create(store.id, file_ids=made)
    for store_id, batch_id in ((other.id, batch.id), (store.id, "vsfb_none")):
        for use in (
            lambda a=store_id, b=batch_id: do(batches.retrieve, a, b),
            lambda a=store_id, b=batch_id: do(batches.cancel, a, b),
            lambda a=store_id, b=batch_id: batches.list_files(a, b),
        ):
            with pytest.raises(NotFoundError) as error:
                use()
            assert str(error.value) == (
                f"No file batch found with id '{batch_id}' in vector store "
                f"'{store_id}'."
            )
    with pytest.raises(InvalidRequestError) as refused:
        batches.retrieve(store.id, "batch_1")
    assert refused.value.param == "batch_id"
