"""What becomes of files in vector stores: read, cut, indexed; whole or not at all."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.documents import pdf, word
from tests.retrieval.library import Words
from tests.stored import rows
from tests.unit.engine.conftest import Do

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine import ingester as ingesting
from langchain_assistants.engine.ingestion_rows import MAX_ATTEMPTS
from langchain_assistants.errors import (
    InvalidRequestError,
    NotFoundError,
    StorageError,
)
from langchain_assistants.retrieval import index
from langchain_assistants.retrieval.chunking import Chunking
from langchain_assistants.retrieval.parser import ChunkedDocument, Parser
from langchain_assistants.types import VectorStoreFile

SOON = 20.0
SMALL: Any = {
    "type": "static",
    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50},
}
SENTENCE = "The lamp on the left tells that the device is ready. "


def upload(engine: AssistantsEngine, content: bytes, name: str = "a.txt") -> str:
    return engine.files.create(file=(name, content), purpose="assistants").id


def ended(engine: AssistantsEngine, store_id: str) -> dict[str, VectorStoreFile]:
    """Wait for a store's files; return them by id."""
    engine.vector_stores.wait(store_id, timeout=SOON)
    return {file.id: file for file in engine.vector_stores.files.list(store_id)}


def indexed(engine: AssistantsEngine, content: bytes, **fields: Any) -> VectorStoreFile:
    """Index a file in a store of its own."""
    store = engine.vector_stores.create()
    file_id = upload(engine, content)
    engine.vector_stores.files.create(store.id, file_id=file_id, **fields)
    return ended(engine, store.id)[file_id]


def chunks(engine: AssistantsEngine) -> list[dict[str, Any]]:
    return rows(engine, "SELECT * FROM chunks ORDER BY vector_store_id, file_id, idx")


class Gate:
    """Holds up whoever reads a file until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Close the gate in front of the parser."""
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()
        read = Parser.read

        def held(
            parser: Parser, path: Path, filename: str, chunking: Chunking
        ) -> ChunkedDocument:
            self.begun.release()
            assert self.open.wait(SOON)
            return read(parser, path, filename, chunking)

        monkeypatch.setattr(Parser, "read", held)

    def reached(self) -> None:
        """Wait until one more file is being read."""
        assert self.begun.acquire(timeout=SOON)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


def test_files_are_indexed_and_found_the_broken_ones_apart(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    store = engine.vector_stores.create()
    good = upload(engine, SENTENCE.encode())
    pages = upload(engine, pdf(["Front", "The turtle sleeps"]), "b.pdf")
    letter = upload(engine, word("A hare runs"), "c.docx")
    broken = upload(engine, b"%PDF-", "d.pdf")
    old = upload(engine, b"old", "e.doc")
    batch = engine.vector_stores.file_batches.create(
        store.id, file_ids=[broken, old, good, pages, letter]
    )
    assert batch.status == "in_progress"
    found = do(engine.vector_stores.wait, store.id, SOON)
    assert found.file_counts.to_dict() == {
        "in_progress": 0,
        "completed": 3,
        "failed": 2,
        "cancelled": 0,
        "total": 5,
    }
    files = ended(engine, store.id)
    errors = {
        id: file.last_error and file.last_error.code for id, file in files.items()
    }
    assert errors == {
        broken: "invalid_file",
        old: "unsupported_file",
        good: None,
        pages: None,
        letter: None,
    }
    assert files[good].usage_bytes == len(SENTENCE)
    assert found.usage_bytes == sum(file.usage_bytes for file in files.values())
    [result] = engine.vector_stores.search(store.id, query="turtles").data
    assert (result.file_id, result.page) == (pages, 1)
    [content] = do(engine.vector_stores.files.content, store.id, pages).data
    assert content.text == "Front\n\nThe turtle sleeps\n\n"


def test_a_chunk_slices_the_text_of_its_file(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    text = SENTENCE * 60 + "日本語です。" * 60
    file = indexed(engine, text.encode(), chunking_strategy=SMALL)
    stored = chunks(engine)
    assert len(stored) > 10
    for row in stored:
        assert row["text"] == text[row["start"] : row["end"]]
        assert row["tokens"] <= 100
    [content] = engine.vector_stores.files.content(file.vector_store_id, file.id).data
    assert content.text == text
    assert file.usage_bytes == sum(len(row["text"].encode()) for row in stored)


def test_a_change_of_its_files_makes_a_store_another_version(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    store = engine.vector_stores.create(file_ids=[upload(engine, b"text")])
    ended(engine, store.id)
    # Made, attached, indexed.
    assert [row["version"] for row in rows(engine, "SELECT * FROM vector_stores")] == [
        3
    ]


def test_equal_content_is_read_once(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_factory(embeddings=Words("lamp", "device"))
    first = indexed(engine, SENTENCE.encode())
    before = chunks(engine)
    with monkeypatch.context() as patched:
        patched.delattr(Parser, "read")
        patched.setattr(Words, "embed_documents", None)
        again = indexed(engine, SENTENCE.encode())
    assert again.status == "completed"
    assert again.usage_bytes == first.usage_bytes > len(SENTENCE)
    copied = [row for row in chunks(engine) if row not in before]
    own = ("id", "vector_store_id", "file_id")
    for old, new in zip(before, copied, strict=True):
        assert {k: v for k, v in new.items() if k not in own} == {
            k: v for k, v in old.items() if k not in own
        }
    assert len(rows(engine, "SELECT * FROM chunk_vectors")) == 2
    # Another strategy, kind or tenant is another matter.
    reads: list[str] = []
    read = Parser.read

    def counted(parser: Parser, path: Path, filename: str, *rest: Any) -> Any:
        reads.append(filename)
        return read(parser, path, filename, *rest)

    monkeypatch.setattr(Parser, "read", counted)
    indexed(engine, SENTENCE.encode(), chunking_strategy=SMALL)
    store = engine.vector_stores.create(
        file_ids=[upload(engine, SENTENCE.encode(), "a.md")]
    )
    ended(engine, store.id)
    other = engine.for_tenant("other")
    file = other.files.create(file=("a.txt", SENTENCE.encode()), purpose="assistants")
    store = other.vector_stores.create(file_ids=[file.id])
    other.vector_stores.wait(store.id, timeout=SOON)
    assert reads == ["a.txt", "a.md", "a.txt"]


def test_vectors_are_made_outside_of_the_transaction(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(embeddings=Words("lamp", "turtle"))
    file = indexed(engine, SENTENCE.encode())
    assert file.status == "completed"
    assert len(rows(engine, "SELECT * FROM chunk_vectors")) == len(chunks(engine))
    [store] = rows(engine, "SELECT * FROM vector_stores")
    assert (store["embedding_model"], store["embedding_dimensions"]) == (
        "Words:words",
        2,
    )


def test_a_model_that_fails_fails_the_file_not_its_neighbours(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_factory(embeddings=Words("lamp"))

    def failing(model: Words, texts: list[str]) -> list[list[float]]:
        if "secret" in texts[0]:
            raise ConnectionError("of something secret")
        return [[1.0] for _ in texts]

    monkeypatch.setattr(Words, "embed_documents", failing)
    failed, fine = indexed(engine, b"a secret"), indexed(engine, b"fine")
    assert failed.last_error is not None
    assert failed.last_error.code == "server_error"
    assert "Words:words failed (ConnectionError)" in failed.last_error.message
    assert "secret" not in failed.last_error.message
    assert fine.status == "completed"


def test_vectors_of_two_models_never_meet_in_a_store(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_factory(embeddings=Words("lamp"))
    store_id = indexed(engine, SENTENCE.encode()).vector_store_id
    [other_file] = [upload(engine, b"other")]
    for embeddings in (None, Words("lamp", model="another")):
        other = engine_factory.reopen(embeddings=embeddings)
        stores = other.vector_stores
        for attach in (
            lambda stores=stores: stores.files.create(store_id, file_id=other_file),
            lambda stores=stores: stores.file_batches.create(
                store_id, file_ids=[other_file]
            ),
        ):
            with pytest.raises(InvalidRequestError, match="vectors of Words:words"):
                attach()
    # The same name with another number of dimensions.
    monkeypatch.setattr(Words, "_vector", lambda model, text: [1.0, 2.0])
    engine.vector_stores.files.create(store_id, file_id=other_file)
    failed = ended(engine, store_id)[other_file].last_error
    assert failed is not None
    assert failed.code == "server_error"
    assert "vectors of two models cannot be compared" in failed.message


def test_a_store_begun_without_vectors_stays_without(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    store_id = indexed(engine, SENTENCE.encode()).vector_store_id
    other = engine_factory.reopen(embeddings=Words("lamp"))
    file_id = upload(other, b"other")
    other.vector_stores.files.create(store_id, file_id=file_id)
    assert ended(other, store_id)[file_id].status == "completed"
    assert rows(other, "SELECT * FROM chunk_vectors") == []


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
    files.create(store.id, file_id=file_id)
    assert engine.vector_stores.search(store.id, query="lamp").data == []
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


def test_a_process_without_work_is_ended(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = threading.Event()
    close = Parser.close
    monkeypatch.setattr(Parser, "close", lambda self: (close(self), closed.set()))
    monkeypatch.setattr(ingesting, "_IDLE_SECONDS", 0.0)
    indexed(engine_factory(), SENTENCE.encode())
    assert closed.wait(SOON)


def test_no_connection_is_opened_to_index(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object, **options: object) -> None:
        raise AssertionError("Somebody wants the network.")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, refused)
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refused)
    engine = engine_factory()
    store = engine.vector_stores.create(
        file_ids=[upload(engine, pdf(["A lamp"]), "a.pdf"), upload(engine, b"lamp")]
    )
    assert {file.status for file in ended(engine, store.id).values()} == {"completed"}
    assert len(engine.vector_stores.search(store.id, query="lamp").data) == 2


def attached(file_id: str, tool: str = "file_search") -> dict[str, Any]:
    return {"file_id": file_id, "tools": [{"type": tool}]}


def store_of(engine: AssistantsEngine, thread_id: str) -> str:
    resources = engine.threads.retrieve(thread_id).to_dict()["tool_resources"]
    [store_id] = resources["file_search"]["vector_store_ids"]
    return str(store_id)


def test_the_files_of_messages_join_a_store_of_the_thread(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    one, two, three = (upload(engine, f"text {n}".encode()) for n in range(3))
    message = {"role": "user", "content": "Hi", "attachments": [attached(one)]}
    thread = do(engine.threads.create, messages=[message])
    store_id = thread.tool_resources.file_search.vector_store_ids[0]
    assert store_of(engine, thread.id) == store_id
    store = engine.vector_stores.retrieve(store_id)
    assert store.expires_at == int(clock()) + 7 * 86_400
    do(
        engine.messages.create,
        thread.id,
        role="user",
        content="And these",
        attachments=[attached(two), attached(one), attached(three, "code_interpreter")],
    )
    assert store_of(engine, thread.id) == store_id
    files = ended(engine, store_id)
    assert {id: file.status for id, file in files.items()} == {
        one: "completed",
        two: "completed",
    }
    with pytest.raises(NotFoundError, match="file-none"):
        do(
            engine.messages.create,
            thread.id,
            role="user",
            content="x",
            attachments=[attached("file-none")],
        )
    assert len(engine.messages.list(thread.id).data) == 2


def test_a_message_on_a_thread_without_a_store_makes_one(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    file_id = upload(engine, b"text")
    thread = engine.threads.create(
        tool_resources={"code_interpreter": {"file_ids": [file_id]}}
    )
    add = {"role": "user", "content": "x", "attachments": [attached(file_id)]}
    engine.messages.create(thread.id, **add)
    first = store_of(engine, thread.id)
    resources = engine.threads.retrieve(thread.id).to_dict()["tool_resources"]
    assert resources["code_interpreter"] == {"file_ids": [file_id]}
    # In place of one that has expired, or is gone, comes another.
    clock.advance(8 * 86_400)
    engine.messages.create(thread.id, **add)
    second = store_of(engine, thread.id)
    engine.vector_stores.delete(second)
    engine.messages.create(thread.id, **add)
    assert len({first, second, store_of(engine, thread.id)}) == 3


def test_the_messages_of_a_run_bring_their_files_along(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["Hello", "Hello again"])
    assistant = engine.assistants.create(model="m")
    file_id = upload(engine, b"text")
    message: Any = {"role": "user", "content": "x", "attachments": [attached(file_id)]}
    run = engine.runs.create_with_thread(
        assistant_id=assistant.id, thread={"messages": [message]}
    )
    engine.runs.wait(run.id)
    assert list(ended(engine, store_of(engine, run.thread_id))) == [file_id]
    other = upload(engine, b"other")
    message["attachments"] = [attached(other)]
    run = engine.runs.create(
        run.thread_id, assistant_id=assistant.id, additional_messages=[message]
    )
    engine.runs.wait(run.id)
    assert set(ended(engine, store_of(engine, run.thread_id))) == {file_id, other}


def test_an_assistants_new_store_is_indexed(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    assistant = engine.assistants.create(
        model="m",
        tool_resources={
            "file_search": {"vector_stores": [{"file_ids": [upload(engine, b"text")]}]}
        },
    )
    resources = assistant.to_dict()["tool_resources"]
    [store_id] = resources["file_search"]["vector_store_ids"]
    assert [file.status for file in ended(engine, store_id).values()] == ["completed"]


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
