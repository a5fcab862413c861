"""Vector stores as a LangChain retriever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, SkipValidation
from typing_extensions import Unpack

from langchain_assistants.types.vector_store_search import (
    SearchResult,
    SearchResultsPage,
    VectorStoreSearch,
)


class SearchesStores(Protocol):
    """What searches vector stores: `engine.vector_stores`, in the first place."""

    async def asearch(
        self, vector_store_id: str | Sequence[str], **fields: Unpack[VectorStoreSearch]
    ) -> SearchResultsPage:
        """Return what answers a query best in one store, or in several."""
        ...

    def search(
        self, vector_store_id: str | Sequence[str], **fields: Unpack[VectorStoreSearch]
    ) -> SearchResultsPage:
        """Do the same from synchronous code."""
        ...


class StoreRetriever(BaseRetriever):
    """Retrieve pieces of the files in vector stores.

    Each document's metadata are `file_id`, `filename`, `attributes`, `chunk_index`,
    `page`, `start`, `end` and `score`.

    Attributes:
        stores: What searches.
        vector_store_ids: The stores that are searched together.
        k: How many documents, 1 to 50.
        filters: An attribute filter of the files, as on the wire.
        ranking_options: As on the wire.
        rewrite_query: Whether a question is shortened to its telling words.

    Example:
        ```python
        from langchain_assistants import AssistantsEngine

        with AssistantsEngine("sqlite:///:memory:") as engine:
            store = engine.vector_stores.create(name="Manuals")
            retriever = store.as_retriever(k=3)
            assert retriever.invoke("How do I reset it?") == []
        ```
    """

    model_config = ConfigDict(extra="forbid")

    stores: Annotated[Any, SkipValidation] = Field(repr=False)
    vector_store_ids: Sequence[str]
    k: int = Field(default=10, ge=1, le=50)
    filters: Mapping[str, Any] | None = None
    ranking_options: Mapping[str, Any] | None = None
    rewrite_query: bool = False

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        """Search from synchronous code; `k` and `filters` may be given anew."""
        page = self.stores.search(self.vector_store_ids, **self._fields(query, kwargs))
        return [to_document(result) for result in page.data]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        **kwargs: Any,
    ) -> list[Document]:
        """Search; `k` and `filters` may be given anew."""
        page = await self.stores.asearch(
            self.vector_store_ids, **self._fields(query, kwargs)
        )
        return [to_document(result) for result in page.data]

    def _fields(self, query: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of the request; unknown arguments are refused there."""
        others = {name: value for name, value in given.items() if name != "k"}
        return {
            "query": query,
            "max_num_results": given.get("k", self.k),
            "filters": self.filters,
            "ranking_options": self.ranking_options,
            "rewrite_query": self.rewrite_query,
            **others,
        }


def to_document(result: SearchResult) -> Document:
    """Return what was found as LangChain's document."""
    return Document(
        "".join(part.text for part in result.content),
        metadata={
            "file_id": result.file_id,
            "filename": result.filename,
            "attributes": result.attributes or {},
            "chunk_index": result.chunk_index,
            "page": result.page,
            "start": result.start,
            "end": result.end,
            "score": result.score,
        },
    )
