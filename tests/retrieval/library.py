"""Files in vector stores, indexed without being parsed: for tests of searching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.embeddings import Embeddings
from sqlalchemy import insert

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine.tenant import TenantResources
from langchain_assistants.engine.vector_store_rows import change_store
from langchain_assistants.retrieval import index
from langchain_assistants.retrieval.index import StoredChunk
from langchain_assistants.storage.database import (
    Statement,
    Transaction,
    param,
    to_json,
)
from langchain_assistants.storage.tables import vector_store_files
from langchain_assistants.types.vector_store_search import SearchResult

_columns = [column.name for column in vector_store_files.c if column.name != "seq"]
_ATTACH = Statement(
    insert(vector_store_files).values({name: param(name) for name in _columns})
)


class Words(Embeddings):
    """An embedding model for tests: one dimension for each word that it knows."""

    def __init__(self, *words: str, model: str = "words") -> None:
        """Learn the words; several in a string, with spaces between, mean the same."""
        self.model = model
        self.asked: list[str] = []
        self._words = [meaning.split() for meaning in words]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Count the words."""
        return [self._vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Count the words, and remember that somebody asked."""
        self.asked.append(text)
        return self._vector(text)

    def _vector(self, text: str) -> list[float]:
        found = text.lower().replace(".", " ").replace("?", " ").split()
        return [
            float(sum(found.count(word) for word in meaning)) for meaning in self._words
        ]


class Library:
    """A vector store into which texts are put, one chunk each."""

    def __init__(
        self,
        engine: AssistantsEngine,
        *,
        name: str = "",
        tenant: str | None = None,
        embeddings: Embeddings | None = None,
    ) -> None:
        """Make the store."""
        self.engine = engine
        self.place: AssistantsEngine | TenantResources = (
            engine if tenant is None else engine.for_tenant(tenant)
        )
        self._embeddings = embeddings
        self.id = self.place.vector_stores.create(name=name).id

    def write(self, transaction: Transaction[None]) -> None:
        """Execute a transaction."""

        async def call() -> None:
            await self.engine.database.write(transaction)

        self.engine.portal.call(call)

    def add(
        self,
        *texts: str,
        filename: str = "file.txt",
        attributes: Mapping[str, Any] | None = None,
    ) -> str:
        """Put in a file of these chunks; return its id."""
        content = "".join(texts).encode(errors="replace")
        file = self.place.files.create(file=(filename, content), purpose="assistants")
        self.attach(file.id, texts, attributes)
        return file.id

    def attach(
        self,
        file_id: str,
        texts: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Attach a file with these chunks."""

        def attached() -> Transaction[None]:
            columns = dict.fromkeys(_columns) | {
                "vector_store_id": self.id,
                "file_id": file_id,
                "created_at": 0.0,
                "status": "completed",
                "attributes": to_json(attributes or {}),
                "chunking_strategy": to_json({"type": "other"}),
                "usage_bytes": 0,
                "attempt": 1,
            }
            yield _ATTACH(**columns)
            yield from self.replaced(file_id, texts)

        self.write(attached())

    def put(self, file_id: str, *texts: str) -> None:
        """Replace the chunks of a file."""
        self.write(self.replaced(file_id, texts))

    def replaced(self, file_id: str, texts: Sequence[str]) -> Transaction[None]:
        """Return the transaction that replaces the chunks of a file."""
        yield from index.put(
            self.id,
            file_id,
            self.chunks(texts),
            embedding_model=self.model,
        )
        yield from change_store(self.id, self.engine._workplace.clock())

    def stored(self, file_id: str) -> list[str]:
        """Return the texts of a file's chunks."""

        async def read() -> list[StoredChunk]:
            return await self.engine.database.read(
                index.stored_chunks(self.id, file_id)
            )

        return [chunk.text for chunk in self.engine.portal.call(read)]

    @property
    def model(self) -> str | None:
        """The name under which the vectors are stored."""
        if self._embeddings is None:
            return None
        from langchain_assistants.retrieval.embedder import Embedder

        return Embedder(self._embeddings).name

    def chunks(self, texts: Sequence[str]) -> list[StoredChunk]:
        """Return texts as chunks that follow each other."""
        vectors: list[bytes | None] = [None] * len(texts)
        if self._embeddings is not None:
            from langchain_assistants.retrieval.vectors import pack

            vectors = [*pack(self._embeddings.embed_documents(list(texts)))]
        found, start = [], 0
        for number, text in enumerate(texts):
            end = start + len(text)
            found.append(
                StoredChunk(number, start, end, number + 1, 1, text, vectors[number])
            )
            start = end
        return found

    def search(self, query: str | list[str], **fields: Any) -> list[SearchResult]:
        """Search the store."""
        stores = self.place.vector_stores
        return stores.search(self.id, query=query, **fields).data

    def texts(self, query: str | list[str], **fields: Any) -> list[str]:
        """Search the store; return the texts found, best first."""
        return [result.content[0].text for result in self.search(query, **fields)]
