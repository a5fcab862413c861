"""A user's reranker over the best chunks of a search."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_assistants.retrieval.found import FoundChunk

if TYPE_CHECKING:
    from langchain_core.documents import BaseDocumentCompressor, Document

logger = logging.getLogger(__name__)

MOST_RERANKED = 50
"""Chunks that a reranker is shown: it reads each together with the query."""

_PLACE = "place"
_SCORE = "relevance_score"


async def reranked(
    reranker: BaseDocumentCompressor, chunks: Sequence[FoundChunk], query: str
) -> list[FoundChunk]:
    """Return the chunks that a reranker keeps, in its order.

    Where it gives a `relevance_score` between 0 and 1, as LangChain's cross-encoders
    do, that is the chunk's score. If it fails the chunks stay as they are.
    """
    from langchain_core.documents import Document

    shown = [
        Document(
            chunk.text,
            metadata={_PLACE: place, "file_id": chunk.file_id, _SCORE: chunk.score},
        )
        for place, chunk in enumerate(chunks[:MOST_RERANKED])
    ]
    try:
        kept = await reranker.acompress_documents(shown, query)
    except Exception as error:
        logger.warning("reranker_failed", extra={"error": type(error).__name__})
        logger.debug("reranker_failed_by", exc_info=error)
        return list(chunks)
    return [_scored(chunks[document.metadata[_PLACE]], document) for document in kept]


def _scored(chunk: FoundChunk, document: Document) -> FoundChunk:
    score = document.metadata.get(_SCORE)
    if isinstance(score, int | float) and 0 <= score <= 1:
        return replace(chunk, score=float(score))
    return chunk
