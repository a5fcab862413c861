"""What becomes of files on their way into vector stores, told as events."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.conftest import EngineFactory
from tests.ingesting import SENTENCE, SOON, Gate, upload

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine import ingestion_progress
from langchain_assistants.errors import NotFoundError
from langchain_assistants.types import VectorStore, VectorStoreEvent, VectorStoreFile


def told(events: Iterable[VectorStoreEvent]) -> list[tuple[str, str]]:
    return [
        (event.event.removeprefix("vector_store."), event.data.id) for event in events
    ]


@pytest.fixture
def engine(engine_factory: EngineFactory) -> AssistantsEngine:
    return engine_factory()


def uploaded(engine: AssistantsEngine) -> tuple[str, str]:
    """Upload a good file and a broken one."""
    good = upload(engine, SENTENCE.encode())
    return good, upload(engine, b"old", "old.doc")


def attached(engine: AssistantsEngine) -> tuple[str, str, str, str]:
    """Attach both to a new store; return ids of it, of the batch, and of both."""
    store = engine.vector_stores.create()
    good, bad = uploaded(engine)
    batches = engine.vector_stores.file_batches
    batch = batches.create(store.id, file_ids=[good, bad])
    return store.id, batch.id, good, bad


async def test_a_batch_is_followed_from_beginning_to_end(
    engine: AssistantsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    store_id, batch_id, good, bad = attached(engine)
    batches = engine.vector_stores.file_batches
    events = batches.follow(store_id, batch_id)
    assert told([next(events)]) == [("file_batch.in_progress", batch_id)]
    gate.open.set()
    rest = [*events]
    assert sorted(told(rest[:-1])) == [("file.completed", good), ("file.failed", bad)]
    assert told(rest[-1:]) == [("file_batch.completed", batch_id)]
    [failed] = [
        event.data
        for event in rest
        if isinstance(event.data, VectorStoreFile) and event.data.last_error
    ]
    assert failed.last_error is not None
    assert failed.last_error.code == "unsupported_file"
    # Whoever comes later hears of each file, too.
    assert told([event async for event in batches.afollow(store_id, batch_id)]) == [
        ("file.completed", good),
        ("file.failed", bad),
        ("file_batch.completed", batch_id),
    ]


def test_a_store_tells_of_files_that_are_awaited_or_come_later(
    engine: AssistantsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = engine.vector_stores
    store = stores.create(file_ids=[upload(engine, b"early")])
    stores.wait(store.id, SOON)
    gate = Gate(monkeypatch)
    good, bad = uploaded(engine)
    stores.files.create(store.id, file_id=good)
    events = stores.follow(store.id)
    first = next(events)
    assert isinstance(first.data, VectorStore)
    assert first.data.file_counts.in_progress == 1
    stores.files.create(store.id, file_id=bad)
    gate.open.set()
    rest = told(events)
    assert sorted(rest[:-1]) == [("file.completed", good), ("file.failed", bad)]
    assert rest[-1] == ("completed", store.id)
    assert told(stores.follow(store.id)) == [("completed", store.id)]


def test_what_is_cancelled_is_told_and_what_is_detached_is_not_awaited(
    engine: AssistantsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    store_id, batch_id, good, bad = attached(engine)
    batches = engine.vector_stores.file_batches
    events = batches.follow(store_id, batch_id)
    next(events)
    engine.vector_stores.files.delete(store_id, good)
    batches.cancel(store_id, batch_id)
    assert told(events) == [
        ("file.cancelled", bad),
        ("file_batch.cancelled", batch_id),
    ]
    gate.open.set()


def test_what_another_process_indexes_is_seen_without_a_bell(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    monkeypatch.setattr(ingestion_progress, "_LOOK_SECONDS", 0.01)
    indexing = engine_factory()
    store = indexing.vector_stores.create(file_ids=[upload(indexing, b"text")])
    gate.reached()
    with AssistantsEngine(indexing.url) as watching:
        events = watching.vector_stores.follow(store.id)
        assert next(events).event == "vector_store.in_progress"
        gate.open.set()
        assert [event.event for event in events] == [
            "vector_store.file.completed",
            "vector_store.completed",
        ]


async def test_leaving_early_leaves_no_listener(
    engine: AssistantsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    store = engine.vector_stores.create(file_ids=[upload(engine, b"text")])
    for event in engine.vector_stores.follow(store.id):
        assert event.event == "vector_store.in_progress"
        break
    events = engine.vector_stores.afollow(store.id)
    await anext(events)
    await events.aclose()
    assert engine._workplace.indexed._waiting == {}
    gate.open.set()


def test_a_store_that_is_deleted_ends_the_events(
    engine: AssistantsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    monkeypatch.setattr(ingestion_progress, "_LOOK_SECONDS", 0.01)
    store = engine.vector_stores.create(file_ids=[upload(engine, b"text")])
    events = engine.vector_stores.follow(store.id)
    next(events)
    engine.vector_stores.delete(store.id)
    with pytest.raises(NotFoundError):
        next(events)
    gate.open.set()


def test_another_tenants_files_are_not_followed(engine: AssistantsEngine) -> None:
    store = engine.vector_stores.create(file_ids=[upload(engine, b"text")])
    batch = engine.vector_stores.file_batches.create(
        store.id, file_ids=[upload(engine, b"text")]
    )
    other = engine.for_tenant("other").vector_stores
    with pytest.raises(NotFoundError):
        next(other.follow(store.id))
    with pytest.raises(NotFoundError):
        next(other.file_batches.follow(store.id, batch.id))
