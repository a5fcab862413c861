"""Vector stores: made, used, expired and deleted as in the original."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.ingesting import static, uploads
from tests.stored import everything, path_of
from tests.unit.engine.conftest import Do

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine.expiry import sweep_expired
from langchain_assistants.engine.vector_stores import VectorStores
from langchain_assistants.errors import InvalidRequestError, NotFoundError

DAY = 86_400
NO_FILES = {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0}
A_WEEK = {"anchor": "last_active_at", "days": 7}


def changed(engine: AssistantsEngine, **columns: Any) -> None:
    """Set columns of all files in vector stores, as a later version would."""
    values = ", ".join(f"{name} = {value!r}" for name, value in columns.items())
    with closing(sqlite3.connect(path_of(engine))) as connection, connection:
        connection.execute(f"UPDATE vector_store_files SET {values}")


def test_a_vector_store_is_stored_and_shown_as_the_original_does(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    made = do(
        engine.vector_stores.create,
        name="Manuals",
        description="What customers read.",
        file_ids=uploads(engine),
        chunking_strategy={"type": "auto"},
        expires_after=A_WEEK,
        metadata={"team": "support"},
    )
    assert made.id.startswith("vs_")
    assert made.to_dict() == {
        "id": made.id,
        "object": "vector_store",
        "created_at": int(clock()),
        "name": "Manuals",
        "description": "What customers read.",
        "usage_bytes": 0,
        "file_counts": NO_FILES | {"in_progress": 1, "total": 1},
        "status": "in_progress",
        "expires_after": A_WEEK,
        "expires_at": int(clock()) + 7 * DAY,
        "last_active_at": int(clock()),
        "metadata": {"team": "support"},
    }
    made = engine.vector_stores.wait(made.id)
    assert made.status == "completed"
    assert made.to_dict()["file_counts"] == NO_FILES | {"failed": 1, "total": 1}
    assert do(engine.vector_stores.retrieve, made.id) == made
    with engine_factory.reopen(clock=clock) as other:
        assert other.vector_stores.retrieve(made.id) == made


@pytest.mark.parametrize(
    "fields",
    [
        {},
        dict.fromkeys(
            (
                "name",
                "description",
                "file_ids",
                "chunking_strategy",
                "expires_after",
                "metadata",
            )
        ),
        {"file_ids": []},
    ],
)
def test_an_empty_vector_store_needs_nothing(
    engine_factory: EngineFactory, clock: Clock, fields: dict[str, Any]
) -> None:
    made = engine_factory(clock=clock).vector_stores.create(**fields)
    assert made.to_dict() == {
        "id": made.id,
        "object": "vector_store",
        "created_at": int(clock()),
        "name": "",
        "usage_bytes": 0,
        "file_counts": NO_FILES,
        "status": "completed",
        "expires_at": None,
        "last_active_at": int(clock()),
        "metadata": {},
    }


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"name": 7}, "invalid_type", "name"),
        ({"name": "\0"}, "invalid_value", "name"),
        ({"description": "\ud800"}, "invalid_value", "description"),
        ({"file_ids": "file-1"}, "invalid_type", "file_ids"),
        ({"file_ids": ["file-1"] * 501}, "array_above_max_length", "file_ids"),
        ({"file_ids": [""]}, "string_below_min_length", "file_ids[0]"),
        (
            {"metadata": {str(n): "" for n in range(17)}},
            "object_above_max_properties",
            "metadata",
        ),
        (
            {"expires_after": {"anchor": "last_active_at", "days": 0}},
            "integer_below_min_value",
            "expires_after.days",
        ),
        (
            {"expires_after": {"anchor": "last_active_at", "days": 366}},
            "integer_above_max_value",
            "expires_after.days",
        ),
        (
            {"expires_after": {"anchor": "created_at", "days": 1}},
            "invalid_value",
            "expires_after.anchor",
        ),
        (
            {"chunking_strategy": {"type": "other"}},
            "invalid_value",
            "chunking_strategy.type",
        ),
        (
            static(99, 0),
            "integer_below_min_value",
            "chunking_strategy.static.max_chunk_size_tokens",
        ),
        (
            static(4_097, 0),
            "integer_above_max_value",
            "chunking_strategy.static.max_chunk_size_tokens",
        ),
        (
            static(800, 401),
            "integer_above_max_value",
            "chunking_strategy.static.chunk_overlap_tokens",
        ),
    ],
)
def test_a_create_that_breaks_a_rule_stores_nothing(
    do: Do,
    engine_factory: EngineFactory,
    fields: dict[str, Any],
    code: str,
    param: str,
) -> None:
    engine = engine_factory()
    with pytest.raises(InvalidRequestError) as error:
        do(engine.vector_stores.create, **fields)
    assert (error.value.code, error.value.param) == (code, param)
    assert everything(engine)["vector_stores"] == []


def test_a_store_of_a_file_that_is_not_there_is_not_made(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    with pytest.raises(NotFoundError, match="No such File object: file-none"):
        do(
            engine.vector_stores.create,
            file_ids=[*uploads(engine), "file-none", "file-no"],
        )
    stored = everything(engine)
    assert stored["vector_stores"] == stored["vector_store_files"] == []


def test_an_update_replaces_what_is_given_and_counts_as_a_use(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    made = engine.vector_stores.create(
        name="a", metadata={"k": "v"}, expires_after=A_WEEK
    )
    clock.advance(DAY)
    assert do(engine.vector_stores.update, made.id) == made.model_copy(
        update={
            "last_active_at": int(clock()),
            "expires_at": int(clock()) + 7 * DAY,
        }
    )
    two = {"anchor": "last_active_at", "days": 2}
    changed = do(
        engine.vector_stores.update,
        made.id,
        name="b",
        metadata={"l": "w"},
        expires_after=two,
    )
    assert (changed.name, changed.metadata) == ("b", {"l": "w"})
    assert changed.to_dict()["expires_after"] == two
    assert changed.expires_at == int(clock()) + 2 * DAY
    cleared = do(
        engine.vector_stores.update,
        made.id,
        name=None,
        metadata=None,
        expires_after=None,
    )
    assert (cleared.name, cleared.metadata) == ("", {})
    assert (cleared.expires_after, cleared.expires_at) == (None, None)


@pytest.mark.parametrize(
    ("fields", "error_class"),
    [
        ({"name": 7}, InvalidRequestError),
        ({"expires_after": {"anchor": "last_active_at"}}, InvalidRequestError),
        ({"file_ids": ["file-1"]}, TypeError),
        ({"description": "x"}, TypeError),
    ],
)
def test_an_update_that_breaks_a_rule_changes_nothing(
    engine_factory: EngineFactory,
    fields: dict[str, Any],
    error_class: type[Exception],
) -> None:
    engine = engine_factory()
    made = engine.vector_stores.create(name="a")
    with pytest.raises(error_class):
        engine.vector_stores.update(made.id, **fields)
    assert engine.vector_stores.retrieve(made.id) == made


def test_stores_are_listed_newest_first_with_their_counts(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    stores, files = engine.vector_stores, uploads(engine, 2)
    ids = [stores.create(file_ids=files[:n]).id for n in (0, 2, 1)]
    for store_id in ids:
        stores.wait(store_id)
    listed = list(stores.list(limit=2))
    assert [store.id for store in listed] == ids[::-1]
    assert [store.file_counts.total for store in listed] == [1, 2, 0]
    assert listed == [stores.retrieve(store.id) for store in listed]
    assert [store.id for store in stores.list(after=ids[2])] == ids[1::-1]
    assert [store.id for store in stores.list(before=ids[0]).data] == ids[:0:-1]

    async def paged() -> list[str]:
        return [store.id async for store in stores.alist(order="asc", limit=1)]

    assert asyncio.run(paged()) == ids
    with pytest.raises(NotFoundError, match="No vector store found with id 'vs_x'"):
        stores.list(after="vs_x")


def test_a_deleted_store_is_gone_and_its_files_stay(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    [file_id] = uploads(engine)
    made = engine.vector_stores.create()
    engine.vector_stores.file_batches.create(made.id, file_ids=[file_id])
    assert do(engine.vector_stores.delete, made.id).to_dict() == {
        "id": made.id,
        "object": "vector_store.deleted",
        "deleted": True,
    }
    stored = everything(engine)
    for table in (
        "vector_stores",
        "vector_store_files",
        "vector_store_file_batches",
    ):
        assert stored[table] == []
    assert engine.files.retrieve(file_id).id == file_id
    with pytest.raises(NotFoundError) as error:
        do(engine.vector_stores.retrieve, made.id)
    assert str(error.value) == f"No vector store found with id '{made.id}'."
    assert (error.value.code, error.value.param) == (None, None)


def test_a_use_keeps_a_store_alive_and_is_written_down_once_a_minute(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    stores = engine.vector_stores
    made, begun = stores.create(expires_after=A_WEEK), int(clock())
    for seconds, active in ((59, 0), (1, 60), (59, 60), (1, 120)):
        clock.advance(seconds)
        stores.search(made.id, query="x")
        found = stores.retrieve(made.id)
        assert found.last_active_at == begun + active
        assert found.expires_at == begun + active + 7 * DAY


def use_all(engine: AssistantsEngine, store_id: str) -> list[Callable[[], Any]]:
    """Return the uses of a store that it must not have outlived."""
    stores, [file_id] = engine.vector_stores, uploads(engine)
    return [
        lambda: stores.search(store_id, query="x"),
        lambda: stores.files.create(store_id, file_id=file_id),
        lambda: stores.file_batches.create(store_id, file_ids=[file_id]),
    ]


def test_a_store_that_nobody_uses_expires_for_good(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    engine._heartbeat.stop()
    stores = engine.vector_stores
    made = stores.create(expires_after=A_WEEK, file_ids=uploads(engine))
    stores.wait(made.id)
    clock.advance(7 * DAY - 1)
    assert stores.retrieve(made.id).status == "completed"
    clock.advance(1)
    for swept in (False, True):
        if swept:
            asyncio.run(sweep_expired(engine._workplace, clock()))
            assert [row["expired"] for row in everything(engine)["vector_stores"]] == [
                1
            ]
        found = stores.retrieve(made.id)
        assert (found.status, found.file_counts.total) == ("expired", 1)
        for use in use_all(engine, made.id):
            with pytest.raises(InvalidRequestError) as error:
                use()
            assert str(error.value).startswith(f"Vector store '{made.id}' has expired")
    assert stores.update(made.id, name="x", expires_after=None).status == "expired"
    assert stores.retrieve(made.id).name == "x"
    assert stores.delete(made.id).deleted


def test_an_update_does_not_revive_a_store_that_is_not_swept_up_yet(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    engine._heartbeat.stop()
    made = engine.vector_stores.create(expires_after=A_WEEK)
    clock.advance(7 * DAY)
    assert engine.vector_stores.update(made.id, expires_after=None).status == "expired"


def test_the_status_and_the_counts_are_those_of_the_files(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    made = engine.vector_stores.create(file_ids=uploads(engine, 2))
    engine.vector_stores.wait(made.id)
    changed(engine, status="in_progress", usage_bytes=3, lease_until=1e12)
    found = engine.vector_stores.retrieve(made.id)
    assert (found.status, found.usage_bytes) == ("in_progress", 6)
    assert found.file_counts.to_dict() == NO_FILES | {"in_progress": 2, "total": 2}


def test_one_tenant_never_sees_the_stores_of_another(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    [file_id] = uploads(engine)
    made = engine.vector_stores.create(file_ids=[file_id])
    batch = engine.vector_stores.file_batches.create(made.id, file_ids=[file_id])
    engine.vector_stores.wait(made.id)
    other = VectorStores(engine._workplace, tenant="other")
    assert list(other.list()) == []
    before = everything(engine)
    for use in (
        lambda: other.retrieve(made.id),
        lambda: other.update(made.id, name="x"),
        lambda: other.delete(made.id),
        lambda: other.search(made.id, query="x"),
        lambda: other.list(after=made.id),
        lambda: other.files.create(made.id, file_id=file_id),
        lambda: other.files.retrieve(made.id, file_id),
        lambda: other.files.update(made.id, file_id, attributes={}),
        lambda: other.files.delete(made.id, file_id),
        lambda: other.files.content(made.id, file_id),
        lambda: other.files.list(made.id),
        lambda: other.file_batches.create(made.id, file_ids=[file_id]),
        lambda: other.file_batches.retrieve(made.id, batch.id),
        lambda: other.file_batches.cancel(made.id, batch.id),
        lambda: other.file_batches.list_files(made.id, batch.id),
    ):
        with pytest.raises(NotFoundError) as error:
            use()
        assert str(error.value) == f"No vector store found with id '{made.id}'."
    own = other.create()
    for take in (
        lambda: other.files.create(own.id, file_id=file_id),
        lambda: other.file_batches.create(own.id, file_ids=[file_id]),
        lambda: other.create(file_ids=[file_id]),
    ):
        with pytest.raises(NotFoundError, match=f"No such File object: {file_id}"):
            take()
    other.delete(own.id)
    assert everything(engine) == before


@pytest.mark.parametrize("store_id", ["file-1", "", "vs_\0", 7])
def test_what_is_no_id_of_a_store_is_refused(
    engine_factory: EngineFactory, store_id: Any
) -> None:
    stores = engine_factory().vector_stores
    for use in (
        lambda: stores.retrieve(store_id),
        lambda: stores.update(store_id),
        lambda: stores.delete(store_id),
        lambda: stores.search(store_id, query="x"),
        lambda: stores.files.create(store_id, file_id="file-1"),
        lambda: stores.files.list(store_id),
        lambda: stores.file_batches.create(store_id, file_ids=["file-1"]),
        lambda: stores.file_batches.retrieve(store_id, "vsfb_1"),
    ):
        with pytest.raises(InvalidRequestError) as error:
            use()
        assert error.value.param == "vector_store_id"
