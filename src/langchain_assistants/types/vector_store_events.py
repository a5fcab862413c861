"""Events of files on their way into vector stores (an extension)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from langchain_assistants.types.vector_stores import (
    VectorStore,
    VectorStoreFile,
    VectorStoreFileBatch,
)

Followed: TypeAlias = VectorStore | VectorStoreFileBatch
"""What has files that are waited for."""


@dataclass(frozen=True, slots=True)
class VectorStoreEvent:
    """Tell what has become of a file, or of all that are followed.

    Attributes:
        data: The object as it is now.

    Example:
        >>> counts = FileCounts(completed=1, total=1)
        >>> batch = VectorStoreFileBatch(
        ...     id="vsfb_1", created_at=0, vector_store_id="vs_1", status="completed",
        ...     file_counts=counts,
        ... )
        >>> VectorStoreEvent(batch).event
        'vector_store.file_batch.completed'
    """

    data: VectorStoreFile | Followed

    @property
    def event(self) -> str:
        """The name: the object's type and its status, in the wire's words."""
        return f"{self.data.object}.{self.data.status}"
