"""Searches in vector stores: by words, by vectors, or by both; it changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.retrieval.ask import Ask
from langchain_assistants.retrieval.embedder import Embedder
from langchain_assistants.retrieval.filters import matching_files
from langchain_assistants.retrieval.found import FoundChunk, found_chunks
from langchain_assistants.retrieval.full_text import best_by_words
from langchain_assistants.retrieval.reranking import MOST_RERANKED, reranked
from langchain_assistants.storage.database import (
    Database,
    Row,
    Statement,
    Transaction,
    param,
    to_json,
)
from langchain_assistants.storage.functions import strings_of
from langchain_assistants.storage.tables import chunks

if TYPE_CHECKING:
    from langchain_core.documents import BaseDocumentCompressor

    from langchain_assistants.retrieval.outside import OutsideStores
    from langchain_assistants.retrieval.vectors import Cosines, Floats, StoreVectors

_CANDIDATES = 200
"""Chunks that words and vectors each put forward."""

_files = strings_of(param("files")).table_valued("value")
_OF_FILES = Statement(
    select(chunks.c.id).where(
        chunks.c.vector_store_id == param("store_id"),
        chunks.c.file_id.in_(select(_files.c.value)),
    )
)


class ChunkSearch:
    """Searches the chunks of vector stores.

    Args:
        database: Where they are.
        embedder: Makes vectors of queries; None: words alone decide.
        reranker: Reorders the best chunks; None: the scores decide.
        outside: The user's own stores, which find in place of ours.
    """

    def __init__(
        self,
        database: Database,
        embedder: Embedder | None = None,
        reranker: BaseDocumentCompressor | None = None,
        outside: OutsideStores | None = None,
    ) -> None:
        """Keep no vectors yet."""
        self.embedder = embedder
        self.outside = outside
        self._database = database
        self._reranker = reranker
        self._vectors: StoreVectors | None = None
        if embedder is not None:
            from langchain_assistants.retrieval.vectors import StoreVectors

            self._vectors = StoreVectors()

    @property
    def model(self) -> str | None:
        """The name of the embedding model; None: there is none."""
        return None if self.embedder is None else self.embedder.name

    async def search(
        self,
        stores: Callable[[], Transaction[list[Row]]],
        ask: Ask,
        now: float,
    ) -> list[FoundChunk]:
        """Return the chunks that answer best, best first.

        Args:
            stores: Reads the rows of the vector stores; it refuses those that the
                caller may not search.
            ask: What to search for.
            now: The time.

        Raises:
            InvalidRequestError: A store's vectors are of another embedding model.
        """
        ask = replace(ask, queries=[text for text in ask.queries if text.strip()])
        rerank = ask.rerank and self._reranker is not None
        count = max(ask.limit, MOST_RERANKED) if rerank else ask.limit
        rows = await self._database.read(stores())
        if self.outside is not None:
            found = await self.outside.search(rows, ask, count=count, now=now)
        else:
            vectors = await self._embedded(rows, ask)
            found = await self._database.survey(
                self._best(stores, ask, vectors, count=count, now=now)
            )
        if rerank and self._reranker is not None:
            found = await reranked(self._reranker, found, " ".join(ask.queries))
        least = ask.score_threshold
        kept = [chunk for chunk in found if chunk.score and chunk.score >= least]
        return kept[: ask.limit]

    def _best(
        self,
        stores: Callable[[], Transaction[list[Row]]],
        ask: Ask,
        vectors: Sequence[Floats],
        *,
        count: int,
        now: float,
    ) -> Transaction[list[FoundChunk]]:
        scores: dict[int, float] = {}
        for store in (yield from stores()):
            scores |= yield from self._scores(store, ask, vectors)
        best = sorted(scores, key=lambda id: (-scores[id], id))[:count]
        return (yield from found_chunks({id: scores[id] for id in best}, now))

    async def _embedded(self, stores: Sequence[Row], ask: Ask) -> list[Floats]:
        """Return the queries' vectors; none where none are compared."""
        if self.embedder is None or not ask.embedding_weight:
            return []
        models = {store["embedding_model"] for store in stores} - {None}
        for store in stores:
            if store["embedding_model"] not in (None, self.embedder.name):
                raise InvalidRequestError(
                    f"Vector store '{store['id']}' holds vectors of "
                    f"{store['embedding_model']}, but this engine embeds with "
                    f"{self.embedder.name}. Open it with the same embeddings=, or put "
                    "the files into a new vector store."
                )
        return [await self.embedder.query(text) for text in ask.queries if models]

    def _scores(
        self, store: Row, ask: Ask, vectors: Sequence[Floats]
    ) -> Transaction[dict[int, float]]:
        """Return the best chunks of a store, each by the query it answers best."""
        if store["fts_number"] is None:
            return {}
        files = None
        if ask.filter is not None:
            files = to_json((yield from matching_files(store["id"], ask.filter)))
        near = yield from self._near(store, vectors, files)
        scores: dict[int, float] = {}
        for number, query in enumerate(ask.queries):
            found: dict[int, float] = {}
            if ask.text_weight or not near:
                found = yield from best_by_words(
                    store["fts_number"],
                    query,
                    limit=_CANDIDATES,
                    store_id=store["id"],
                    files=files,
                )
            if near:
                found = _fused(found, near[number], ask)
            for id, score in found.items():
                scores[id] = max(score, scores.get(id, 0.0))
        return scores

    def _near(
        self, store: Row, vectors: Sequence[Floats], files: str | None
    ) -> Transaction[list[Cosines]]:
        """Return how near a store's chunks are to each query; nothing without vectors.

        Raises:
            InvalidRequestError: The store's vectors have another length.
        """
        dimensions = store["embedding_dimensions"]
        if self._vectors is None or not vectors or dimensions is None:
            return []
        if len(vectors[0]) != dimensions:
            raise InvalidRequestError(
                f"Vector store '{store['id']}' holds vectors of {dimensions} "
                f"dimensions, but this engine embeds with {len(vectors[0])}. Open it "
                "with the same embeddings=, or put the files into a new vector store."
            )
        near = yield from self._vectors.compared(store, vectors)
        if files is None:
            return near
        rows = yield _OF_FILES(store_id=store["id"], files=files)
        ids = [row["id"] for row in rows]
        return [cosines.only(ids) for cosines in near]


def _fused(words: dict[int, float], near: Cosines, ask: Ask) -> dict[int, float]:
    """Return the weighted mean of both scores, each between 0 and 1.

    A fusion of ranks (RRF) orders as well, but its scores mean nothing: a threshold
    could not be set.
    """
    whole = ask.text_weight + ask.embedding_weight
    return {
        id: (ask.text_weight * words.get(id, 0.0) + ask.embedding_weight * near.of(id))
        / whole
        for id in words.keys() | near.best(_CANDIDATES).keys()
    }
