"""What becomes of files in vector stores: read, cut, embedded, indexed."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import EngineFactory
from tests.documents import pdf, word
from tests.ingesting import SENTENCE, SMALL, SOON, chunks, ended, indexed, upload
from tests.retrieval.library import Words
from tests.stored import rows
from tests.unit.engine.conftest import Do

from langchain_assistants.engine import ingester as ingesting
from langchain_assistants.errors import (
    InvalidRequestError,
)
from langchain_assistants.retrieval.parser import Parser


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
    [row] = rows(engine, "SELECT version FROM vector_stores")
    assert row["version"] == 3


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
