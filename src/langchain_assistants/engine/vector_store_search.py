"""Searches in vector stores: between the wire's words and those of `retrieval`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_assistants.retrieval.ask import Ask
from langchain_assistants.retrieval.found import FoundChunk
from langchain_assistants.retrieval.tokenizer import telling_words
from langchain_assistants.types.vector_store_search import (
    SearchResult,
    SearchResultsPage,
)
from langchain_assistants.types.vector_stores import FileText

_RESULTS = 10


def to_ask(body: Mapping[str, Any]) -> Ask:
    """Return what a checked request searches for.

    A query is rewritten to the words that tell what it is about: no model is asked.
    """
    given = body["query"]
    queries = [given] if isinstance(given, str) else list(given)
    if body.get("rewrite_query"):
        queries = [" ".join(telling_words(query)) or query for query in queries]
    options = body.get("ranking_options") or {}
    weights = options.get("hybrid_search") or {}
    return Ask(
        queries,
        limit=body.get("max_num_results") or _RESULTS,
        filter=body.get("filters"),
        score_threshold=options.get("score_threshold") or 0.0,
        rerank=options.get("ranker") != "none",
        **weights,
    )


def to_page(ask: Ask, found: Sequence[FoundChunk]) -> SearchResultsPage:
    """Return the wire's object for what was found."""
    return SearchResultsPage(
        search_query=list(ask.queries), data=[_to_result(chunk) for chunk in found]
    )


def _to_result(chunk: FoundChunk) -> SearchResult:
    return SearchResult(
        file_id=chunk.file_id,
        filename=chunk.filename,
        score=chunk.score,
        attributes=chunk.attributes,
        content=[FileText(text=chunk.text)],
        chunk_index=chunk.index,
        page=chunk.page,
        start=chunk.start,
        end=chunk.end,
    )
