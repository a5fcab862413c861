"""A vector store whose files are indexed without being parsed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine.vector_store_rows import change_store
from langchain_assistants.retrieval import index
from langchain_assistants.retrieval.index import StoredChunk
from langchain_assistants.storage.database import Statement, Transaction, param
from langchain_assistants.storage.tables import vector_store_files

_columns = [column.name for column in vector_store_files.c if column.name != "seq"]
_ATTACH = Statement(
    insert(vector_store_files).values({name: param(name) for name in _columns})
)


class Shelf:
    """A new vector store of an engine."""

    def __init__(self, engine: AssistantsEngine) -> None:
        """Make the store."""
        self._engine = engine
        self.id = engine.vector_stores.create().id

    def add(
        self, chunks: Sequence[StoredChunk], *, embedding_model: str | None = None
    ) -> str:
        """Put in a file of these chunks; return its id."""
        file_id = self._engine.files.create(file=b"x", purpose="assistants").id

        def added() -> Transaction[None]:
            columns = dict.fromkeys(_columns) | {
                "vector_store_id": self.id,
                "file_id": file_id,
                "created_at": 0.0,
                "status": "completed",
                "attributes": "{}",
                "chunking_strategy": '{"type":"other"}',
                "usage_bytes": 0,
                "attempt": 1,
            }
            yield _ATTACH(**columns)
            yield from index.put(
                self.id, file_id, chunks, embedding_model=embedding_model
            )
            yield from change_store(self.id, 0.0)

        async def write() -> None:
            await self._engine.database.write(added())

        self._engine.portal.call(write)
        return file_id
