"""A user's own LangChain vector stores or retrievers, in place of ours for searching.

Files are attached, read, cut, counted and filtered as ever.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from sqlalchemy import func, or_, select

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.retrieval.ask import Ask
from langchain_assistants.retrieval.filters import matching_files
from langchain_assistants.retrieval.found import FoundChunk, found_chunk
from langchain_assistants.retrieval.index import StoredChunk
from langchain_assistants.storage.database import (
    Database,
    Row,
    Statement,
    Transaction,
    param,
)
from langchain_assistants.storage.tables import chunks

MakeStore: TypeAlias = Callable[[str], VectorStore | BaseRetriever]
"""`make_store(vector_store_id)`: each vector store has a place of its own outside."""

OURS = "vector_store_id"
"""The metadata of documents that were put there by this library."""

_MORE = 5
"""How many times more are asked for where a filter will leave some out."""
_SCORES = ("score", "relevance_score")
_COUNTS = Statement(
    select(
        chunks.c.vector_store_id, chunks.c.file_id, func.max(chunks.c.idx).label("last")
    )
    .where(
        or_(param("store_id").is_(None), chunks.c.vector_store_id == param("store_id")),
        or_(param("file_id").is_(None), chunks.c.file_id == param("file_id")),
    )
    .group_by(chunks.c.vector_store_id, chunks.c.file_id)
)


class Hit(NamedTuple):
    """A document that was found, and how well it answers: 0 to 1."""

    document: Document
    score: float


class OutsideStores:
    """What `retrieval=` makes, one for each vector store.

    Args:
        make: The function; it is called when a store is first used.
        database: Where the chunks are that were put outside.
    """

    def __init__(self, make: MakeStore, database: Database) -> None:
        """Make none yet."""
        self._make = make
        self._database = database
        self._made: dict[str, VectorStore | BaseRetriever] = {}

    async def search(
        self, stores: Sequence[Row], ask: Ask, *, count: int, now: float
    ) -> list[FoundChunk]:
        """Return what answers best in some vector stores, best first.

        What was put there by us is shown only if the file is still in the store, and
        with the text that is stored here. A document of another origin has no
        attributes: no filter holds for it.
        """
        best: dict[object, FoundChunk] = {}
        for store in stores:
            for query in ask.queries:
                more = count if ask.filter is None else count * _MORE
                hits = await self._find(store["id"], query, more)
                for chunk in await self._database.read(_known(store, hits, ask, now)):
                    key = chunk.vector_store_id, chunk.file_id, chunk.index, chunk.text
                    if key not in best or best[key].score < chunk.score:
                        best[key] = chunk
        return sorted(best.values(), key=lambda chunk: -chunk.score)[:count]

    async def _find(self, store_id: str, query: str, count: int) -> list[Hit]:
        place = self._place(store_id)
        if isinstance(place, BaseRetriever):
            found = (await place.ainvoke(query))[:count]
            return [
                Hit(document, _score_of(document, rank))
                for rank, document in enumerate(found)
            ]
        try:
            scored = await place.asimilarity_search_with_relevance_scores(query, count)
        except NotImplementedError:  # it does not know how near its scores are to 0..1
            scored = await place.asimilarity_search_with_score(query, count)
        return [Hit(document, _within(score)) for document, score in scored]

    async def put(
        self, store_id: str, file_id: str, filename: str, put: Sequence[StoredChunk]
    ) -> None:
        """Put in the chunks of a file; the same ids, however often it is done."""
        place = self._place(store_id)
        if not isinstance(place, VectorStore):
            return
        await self.forget(store_id=store_id, file_id=file_id)
        documents = [
            Document(
                chunk.text,
                id=_id(file_id, chunk.index),
                metadata={
                    OURS: store_id,
                    "file_id": file_id,
                    "filename": filename,
                    "chunk_index": chunk.index,
                    "page": chunk.page,
                    "start": chunk.start,
                    "end": chunk.end,
                },
            )
            for chunk in put
        ]
        if documents:
            ids = [_id(file_id, chunk.index) for chunk in put]
            await place.aadd_documents(documents, ids=ids)

    async def forget(
        self, *, store_id: str | None = None, file_id: str | None = None
    ) -> None:
        """Take out a file, or all of a store; before our own chunks are deleted."""

        def counts() -> Transaction[list[Row]]:
            return (yield _COUNTS(store_id=store_id, file_id=file_id))

        for row in await self._database.read(counts()):
            place = self._place(row["vector_store_id"])
            if isinstance(place, VectorStore):
                ids = [_id(row["file_id"], idx) for idx in range(row["last"] + 1)]
                await place.adelete(ids)

    def _place(self, store_id: str) -> VectorStore | BaseRetriever:
        place = self._made.get(store_id)
        if place is None:
            place = self._make(store_id)
            if not isinstance(place, VectorStore | BaseRetriever):
                raise ConfigurationError(
                    f"retrieval= made {type(place).__name__} for vector store "
                    f"'{store_id}'; it must make a LangChain VectorStore or retriever."
                )
            self._made[store_id] = place
        return place


def _known(
    store: Row, hits: Sequence[Hit], ask: Ask, now: float
) -> Transaction[list[FoundChunk]]:
    """Return the hits that may be shown."""
    files = None
    if ask.filter is not None:
        files = set((yield from matching_files(store["id"], ask.filter)))
    found = []
    for document, score in hits:
        known = document.metadata
        if known.get(OURS) == store["id"]:
            chunk = yield from found_chunk(
                store["id"], known["file_id"], known["chunk_index"], score, now
            )
            if chunk is not None and (files is None or chunk.file_id in files):
                found.append(chunk)
        elif files is None and OURS not in known:
            found.append(_foreign(store["id"], document, score))
    return found


def _foreign(store_id: str, document: Document, score: float) -> FoundChunk:
    """Return a document that somebody else has put there."""
    known = document.metadata
    source = str(known.get("filename") or known.get("source") or document.id or "")
    page = known.get("page")
    return FoundChunk(
        score=score,
        vector_store_id=store_id,
        file_id=str(known.get("file_id") or document.id or source),
        filename=source,
        attributes={},
        index=0,
        page=page if isinstance(page, int) else None,
        start=0,
        end=len(document.page_content),
        text=document.page_content,
    )


def function_of(given: str | MakeStore) -> MakeStore:
    """Return the function that `retrieval=` names.

    Raises:
        ConfigurationError: There is none.
    """
    if callable(given):
        return given
    module, _, name = given.partition(":")
    try:
        found: MakeStore = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"retrieval='{given}' names no function ({error}); write it as "
            "'mypackage.module:make_store'."
        ) from error
    return found


def _id(file_id: str, index: int) -> str:
    return f"{file_id}:{index}"


def _score_of(document: Document, rank: int) -> float:
    """Return a retriever's own score of a document, or one by its place."""
    for name in _SCORES:
        if isinstance(score := document.metadata.get(name), int | float):
            return _within(score)
    return 1 / (1 + rank)


def _within(score: float) -> float:
    return 0.0 if math.isnan(score) else min(max(float(score), 0.0), 1.0)
