"""What makes a retriever of a vector store, and its options; nothing is searched."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from langchain_assistants.types.records import Origin

if TYPE_CHECKING:
    from langchain_core.retrievers import BaseRetriever


class RetrieverOptions(TypedDict, total=False):
    """Options of a retriever: those of a search, and LangChain's."""

    k: int
    filters: Mapping[str, Any] | None
    ranking_options: Mapping[str, Any] | None
    rewrite_query: bool
    tags: list[str] | None
    metadata: dict[str, Any] | None


class SearchedOrigin(Origin):
    """Where a vector store came from, and where it is searched."""

    @abstractmethod
    def retriever(
        self, vector_store_id: str, options: RetrieverOptions
    ) -> BaseRetriever:
        """Return a retriever of one of the vector stores that came from here."""
