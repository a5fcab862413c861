"""What is indexed of the files in vector stores, as transactions; it parses nothing.

Chunks, their vectors and the full-text index change together: a file is in a store
whole or not at all. That a store has changed is written down by whoever changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update

from langchain_assistants.errors import InvalidRequestError, NotFoundError
from langchain_assistants.retrieval.full_text import FullTextIndex, full_text_index
from langchain_assistants.retrieval.tokenizer import indexed
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
    param,
    storable,
)
from langchain_assistants.storage.tables import chunk_vectors, chunks, vector_stores

_BYTES_A_NUMBER = 2

_in_store = chunks.c.vector_store_id == param("store_id")
_of_file = (_in_store, chunks.c.file_id == param("file_id"))

_STORE = Statement(select(vector_stores).where(vector_stores.c.id == param("id")))
_columns = {c.name: param(c.name) for c in chunks.c}
_INSERT_FIRST = Statement(
    insert(chunks)
    .values({name: value for name, value in _columns.items() if name != "id"})
    .returning(chunks.c.id)
)
_INSERT = Statement(insert(chunks).values(_columns))
_INSERT_VECTOR = Statement(
    insert(chunk_vectors).values({c.name: param(c.name) for c in chunk_vectors.c})
)
_NUMBER = Statement(
    update(vector_stores)
    .where(vector_stores.c.id == param("id"))
    .values(fts_number=vector_stores.c.seq)
)
_EMBEDDED = Statement(
    update(vector_stores)
    .where(vector_stores.c.id == param("id"))
    .values(
        embedding_model=param("model"),
        embedding_dimensions=param("dimensions"),
    )
)
_TEXTS = Statement(select(chunks.c.id, chunks.c.text).where(*_of_file))
_PLACES = Statement(
    select(chunks.c.start, chunks.c.end, chunks.c.text)
    .where(*_of_file)
    .order_by(chunks.c.idx)
)
_STORED = Statement(
    select(chunks, chunk_vectors.c.vector)
    .outerjoin(chunk_vectors, chunk_vectors.c.chunk_id == chunks.c.id)
    .where(*_of_file)
    .order_by(chunks.c.idx)
)
_DELETE_VECTORS = Statement(
    delete(chunk_vectors).where(
        chunk_vectors.c.chunk_id.in_(select(chunks.c.id).where(*_of_file))
    )
)
_DELETE = Statement(delete(chunks).where(*_of_file))
_DELETE_VECTORS_OF_STORE = Statement(
    delete(chunk_vectors).where(
        chunk_vectors.c.chunk_id.in_(select(chunks.c.id).where(_in_store))
    )
)
_DELETE_OF_STORE = Statement(delete(chunks).where(_in_store))


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A piece of the text that was read from a file.

    Attributes:
        index: Its place among the file's chunks, from 0.
        start: Where it begins in the file's text, in characters.
        end: Where it ends: `text == whole[start:end]`.
        page: The page on which it begins, from 1; None without pages.
        tokens: How many tokens it has.
        text: The text itself.
        vector: What an embedding model makes of it, packed (`vectors.pack`); None
            without one.
    """

    index: int
    start: int
    end: int
    page: int | None
    tokens: int
    text: str
    vector: bytes | None = None


def put(
    store_id: str,
    file_id: str,
    chunks: Sequence[StoredChunk],
    *,
    embedding_model: str | None = None,
) -> Transaction[None]:
    """Make these the chunks of a file in a vector store, in place of what was there.

    Args:
        store_id: The vector store.
        file_id: The file.
        chunks: In the order of the text; all with a vector or none.
        embedding_model: The name of what made the vectors.

    Raises:
        NotFoundError: There is no such store.
        InvalidRequestError: The store's vectors are of another embedding model.
    """
    store = yield from _store(store_id)
    if any(chunk.vector for chunk in chunks):
        yield from _claim(store, chunks, embedding_model)
    full_text = full_text_index(store["fts_number"] or store["seq"])
    if store["fts_number"] is None:
        yield full_text.create()
        yield _NUMBER(id=store_id)
    else:
        yield from _forget(store_id, file_id, full_text)
    if not chunks:
        return
    rows = [_columns_of(chunk, store_id, file_id) for chunk in chunks]
    [inserted] = yield _INSERT_FIRST(**rows[0])
    for id, row in enumerate(rows, inserted["id"]):
        row["id"] = id
    yield _INSERT.many(rows[1:])
    yield full_text.add.many(_entries(rows))
    yield _INSERT_VECTOR.many(
        [
            {"chunk_id": row["id"], "vector": chunk.vector}
            for row, chunk in zip(rows, chunks, strict=True)
            if chunk.vector is not None
        ]
    )


def stored_chunks(store_id: str, file_id: str) -> Transaction[list[StoredChunk]]:
    """Return the chunks of a file in a store, with their vectors."""
    rows = yield _STORED(store_id=store_id, file_id=file_id)
    return [
        StoredChunk(
            row["idx"],
            row["start"],
            row["end"],
            row["page"],
            row["tokens"],
            row["text"],
            row["vector"],
        )
        for row in rows
    ]


def stored_text(store_id: str, file_id: str) -> Transaction[str]:
    """Return the text of a file in a store, put together from its chunks."""
    parts, end = [], 0
    for row in (yield _PLACES(store_id=store_id, file_id=file_id)):
        parts.append(row["text"][end - row["start"] :])
        end = row["end"]
    return "".join(parts)


def remove_file(store_id: str, file_id: str) -> Transaction[None]:
    """Remove the chunks of a file from a vector store, if there are any."""
    store = first((yield _STORE(id=store_id)))
    if store is not None and store["fts_number"] is not None:
        full_text = full_text_index(store["fts_number"])
        yield from _forget(store_id, file_id, full_text)


def drop(store_id: str) -> Transaction[None]:
    """Remove everything that is indexed in a vector store; before its own row."""
    store = first((yield _STORE(id=store_id)))
    if store is not None and store["fts_number"] is not None:
        yield _DELETE_VECTORS_OF_STORE(store_id=store_id)
        yield _DELETE_OF_STORE(store_id=store_id)
        yield full_text_index(store["fts_number"]).drop()


def _store(store_id: str) -> Transaction[Row]:
    row = first((yield _STORE(id=store_id)))
    if row is None:
        raise NotFoundError.for_id("vector store", store_id)
    return row


def _claim(
    store: Row, chunks: Sequence[StoredChunk], model: str | None
) -> Transaction[None]:
    """Write down what made a store's vectors, or find that it was the same.

    Raises:
        InvalidRequestError: It was another embedding model.
    """
    sizes = {len(chunk.vector or b"") // _BYTES_A_NUMBER for chunk in chunks}
    known = store["embedding_model"], store["embedding_dimensions"]
    if known == (None, None) and len(sizes) == 1:
        yield _EMBEDDED(id=store["id"], model=model or "", dimensions=sizes.pop())
        return
    if sizes != {known[1]} or known[0] != (model or ""):
        raise InvalidRequestError(
            f"Vector store '{store['id']}' holds vectors of {known[0]!r} with "
            f"{known[1]} dimensions, these are of {model!r} with {sorted(sizes)}: "
            "vectors of two models cannot be compared. Open the engine with the same "
            "embeddings=, or put the files into a new vector store."
        )


def _columns_of(chunk: StoredChunk, store_id: str, file_id: str) -> dict[str, Any]:
    return {
        "vector_store_id": store_id,
        "file_id": file_id,
        "idx": chunk.index,
        "page": chunk.page,
        "start": chunk.start,
        "end": chunk.end,
        "tokens": chunk.tokens,
        "text": storable(chunk.text),
    }


def _forget(store_id: str, file_id: str, full_text: FullTextIndex) -> Transaction[None]:
    rows = yield _TEXTS(store_id=store_id, file_id=file_id)
    if rows:
        yield full_text.remove.many(_entries(rows))
        yield _DELETE_VECTORS(store_id=store_id, file_id=file_id)
        yield _DELETE(store_id=store_id, file_id=file_id)


def _entries(rows: Sequence[Row]) -> list[dict[str, object]]:
    return [{"id": row["id"], "text": indexed(row["text"])} for row in rows]
