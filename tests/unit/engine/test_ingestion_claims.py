"""Who indexes a file: cancelled, deleted, closed and killed meanwhile, it is whole."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.ingesting import SENTENCE, SMALL, SOON, Gate, chunks, ended, indexed, upload
from tests.stored import rows
from tests.unit.engine.conftest import Do

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine import ingester as ingesting
from langchain_assistants.engine.ingestion_rows import MAX_ATTEMPTS
from langchain_assistants.errors import (
    NotFoundError,
    StorageError,
)
from langchain_assistants.retrieval import index


def test_a_cancelled_batch_is_not_indexed(
    engine_factory: EngineFactory, gate: Gate
) -> None:
    engine = engine_factory()
    store = engine.vector_stores.create()
    files = [upload(engine, SENTENCE.encode() * n) for n in (1, 2, 3)]
    batches = engine.vector_stores.file_batches
    batch = batches.create(store.id, file_ids=files)
    gate.reached()
    assert batches.cancel(store.id, batch.id).status == "cancelled"
    gate.open.set()
    again = upload(engine, b"after")
    engine.vector_stores.files.create(store.id, file_id=again)
    statuses = {
        file.status for id, file in ended(engine, store.id).items() if id != again
    }
    assert statuses == {"cancelled"}
    assert {row["file_id"] for row in chunks(engine)} == {again}
    assert batches.retrieve(store.id, batch.id).file_counts.cancelled == 3


def test_a_file_that_is_attached_anew_is_indexed_as_it_was_asked_last(
    engine_factory: EngineFactory, gate: Gate
) -> None:
    engine = engine_factory()
    store = engine.vector_stores.create()
    file_id = upload(engine, SENTENCE.encode() * 60)
    files = engine.vector_stores.files
    files.create(store.id, file_id=file_id)
    gate.reached()
    files.create(store.id, file_id=file_id, chunking_strategy=SMALL)
    gate.reached()
    gate.open.set()
    file = ended(engine, store.id)[file_id]
    assert file.to_dict()["chunking_strategy"] == SMALL
    assert max(row["tokens"] for row in chunks(engine)) <= 100
    gate.open.clear()
    files.create(store.id, file_id=file_id)
    assert engine.vector_stores.search(store.id, query="lamp").data == []
    gate.open.set()
    ended(engine, store.id)
    assert max(row["tokens"] for row in chunks(engine)) > 100


@pytest.mark.parametrize("what", ["file", "file in the store", "store"])
def test_what_is_deleted_meanwhile_leaves_nothing_behind(
    engine_factory: EngineFactory, gate: Gate, what: str
) -> None:
    engine = engine_factory()
    stores = engine.vector_stores
    store = stores.create(file_ids=[upload(engine, SENTENCE.encode())])
    [file] = stores.files.list(store.id)
    gate.reached()
    if what == "file":
        engine.files.delete(file.id)
    elif what == "store":
        stores.delete(store.id)
    else:
        stores.files.delete(store.id, file.id)
    gate.open.set()
    indexed(engine, b"the next one")
    assert [row["text"] for row in chunks(engine)] == ["the next one"]


def test_an_engine_that_is_closed_gives_its_files_back(
    engine_factory: EngineFactory, gate: Gate
) -> None:
    engine = engine_factory()
    store = engine.vector_stores.create(file_ids=[upload(engine, SENTENCE.encode())])
    gate.reached()
    engine.close()
    [row] = rows(engine, "SELECT * FROM vector_store_files")
    assert (row["status"], row["attempt"], row["lease_until"], row["worker"]) == (
        "in_progress",
        0,
        None,
        None,
    )
    gate.open.set()
    other = engine_factory.reopen()
    assert [file.status for file in ended(other, store.id).values()] == ["completed"]


def dead(engine: AssistantsEngine, attempt: int, until: float) -> None:
    """Let the process that indexes the files have died."""
    rows(
        engine,
        "UPDATE vector_store_files SET status = 'in_progress', worker = 'dead', "
        "attempt = ?, lease_until = ?",
        attempt,
        until,
    )


def test_a_dead_process_is_followed_when_its_lease_is_over(
    engine_factory: EngineFactory, clock: Clock, gate: Gate
) -> None:
    engine = engine_factory(clock=clock)
    store = engine.vector_stores.create(file_ids=[upload(engine, SENTENCE.encode())])
    gate.reached()
    engine.close()
    gate.open.set()
    dead(engine, attempt=1, until=clock() + 5)
    other = engine_factory.reopen(clock=clock)
    with pytest.raises(TimeoutError):
        other.vector_stores.wait(store.id, timeout=0)
    clock.advance(5)
    assert [file.status for file in ended(other, store.id).values()] == ["completed"]
    [row] = rows(other, "SELECT * FROM vector_store_files")
    assert row["attempt"] == 2


def test_a_file_that_kills_its_workers_is_given_up(
    engine_factory: EngineFactory, gate: Gate
) -> None:
    engine = engine_factory()
    store = engine.vector_stores.create(file_ids=[upload(engine, SENTENCE.encode())])
    gate.reached()
    engine.close()
    dead(engine, attempt=MAX_ATTEMPTS, until=0.0)
    [file] = ended(engine_factory.reopen(), store.id).values()
    assert file.last_error is not None
    assert file.last_error.code == "server_error"
    assert "begun 5 times" in file.last_error.message


def test_an_engine_that_does_not_recover_leaves_the_files_of_others(
    engine_factory: EngineFactory, gate: Gate
) -> None:
    engine = engine_factory()
    store = engine.vector_stores.create(file_ids=[upload(engine, SENTENCE.encode())])
    gate.reached()
    engine.close()
    other = engine_factory.reopen(recover=False)
    with pytest.raises(TimeoutError):
        other.vector_stores.wait(store.id, timeout=1.2)  # two beats of the heart


def test_a_worker_renews_its_lease(
    engine_factory: EngineFactory, clock: Clock, gate: Gate
) -> None:
    engine = engine_factory(clock=clock, settings=Settings(lease=0.05))
    store = engine.vector_stores.create(file_ids=[upload(engine, SENTENCE.encode())])
    gate.reached()
    [before] = rows(engine, "SELECT * FROM vector_store_files")
    clock.advance(100)
    while True:
        [row] = rows(engine, "SELECT * FROM vector_store_files")
        if row["lease_until"] > before["lease_until"]:
            break
    assert row["lease_until"] == pytest.approx(clock() + 0.05)
    gate.open.set()
    assert [file.status for file in ended(engine, store.id).values()] == ["completed"]


def test_a_disk_that_is_full_is_waited_for(
    engine_factory: EngineFactory,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = engine_factory(clock=clock)
    put, full = index.put, threading.Event()

    def refused(*args: Any, **options: Any) -> Any:
        if not full.is_set():
            full.set()
            raise StorageError("The disk is full.")
        return put(*args, **options)

    monkeypatch.setattr(index, "put", refused)
    with caplog.at_level(logging.WARNING, ingesting.__name__):
        store = engine.vector_stores.create(file_ids=[upload(engine, b"text")])
        assert full.wait(SOON)
        with pytest.raises(TimeoutError):
            engine.vector_stores.wait(store.id, timeout=0.1)
        clock.advance(60)
        [file] = ended(engine, store.id).values()
    assert file.status == "completed"
    assert [record.message for record in caplog.records] == ["file_index_delayed"]


def test_who_waits_for_a_store_is_told_when_it_takes_too_long(
    do: Do, engine_factory: EngineFactory, gate: Gate
) -> None:
    engine = engine_factory()
    store = engine.vector_stores.create(file_ids=[upload(engine, b"text")])
    with pytest.raises(TimeoutError):
        do(engine.vector_stores.wait, store.id, 0.01)
    gate.open.set()
    assert do(engine.vector_stores.wait, store.id, SOON).file_counts.completed == 1
    with pytest.raises(NotFoundError):
        do(engine.vector_stores.wait, "vs_none")
