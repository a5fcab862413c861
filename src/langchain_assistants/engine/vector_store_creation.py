"""New vector stores: made by themselves, or together with an assistant or a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_assistants.engine.ids import NewId
from langchain_assistants.engine.vector_store_file_rows import attach_files
from langchain_assistants.engine.vector_store_rows import (
    PREFIX,
    insert_store,
    new_store_columns,
)
from langchain_assistants.storage.database import Transaction

THREAD_STORES_LIVE = {"anchor": "last_active_at", "days": 7}
"""The policy of stores that are made with a thread."""


class NewVectorStore:
    """A vector store that a transaction is about to insert."""

    def __init__(
        self, body: Mapping[str, Any], *, id: str, tenant: str, now: float
    ) -> None:
        """Prepare the columns from a checked body."""
        self.id = id
        self._tenant = tenant
        self._now = now
        self._columns = new_store_columns(body, id=id, tenant=tenant, now=now)
        self._files = [
            {"file_id": file_id, "chunking_strategy": body.get("chunking_strategy")}
            for file_id in body.get("file_ids") or ()
        ]

    @property
    def has_files(self) -> bool:
        """Whether files wait to be indexed with it."""
        return bool(self._files)

    def insert(self) -> Transaction[None]:
        """Insert the store with its files.

        Raises:
            NotFoundError: One of the files does not exist.
        """
        yield from insert_store(self._columns)
        if self._files:
            yield from attach_files(
                self.id, self._files, tenant=self._tenant, now=self._now
            )


def stored_resources(resources: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return checked resources to store: what is null in them is absent."""
    return {
        tool: {name: value for name, value in given.items() if value is not None}
        for tool, given in (resources or {}).items()
        if given is not None
    }


class NewToolResources:
    """The tool resources of an object that a transaction is about to insert.

    Attributes:
        stored: The resources, with the ids of the stores that are to be made.
    """

    def __init__(
        self, stored: dict[str, Any], stores: Sequence[NewVectorStore]
    ) -> None:
        """Put together the resources and the stores that they name."""
        self.stored = stored
        self._stores = stores

    @property
    def has_files(self) -> bool:
        """Whether files wait to be indexed with them."""
        return any(store.has_files for store in self._stores)

    @classmethod
    def of(
        cls,
        resources: Mapping[str, Any] | None,
        *,
        tenant: str,
        now: float,
        new_id: NewId,
        expires_after: Mapping[str, Any] | None = None,
    ) -> NewToolResources:
        """Take checked resources apart.

        Args:
            resources: With `file_search.vector_stores` where stores are to be made.
            tenant: Whose they are.
            now: The time.
            new_id: Makes ids.
            expires_after: The policy of the new stores.
        """
        stored = stored_resources(resources)
        file_search = stored.get("file_search", {})
        bodies = file_search.pop("vector_stores", ())
        stores = [
            NewVectorStore(
                body | {"expires_after": expires_after},
                id=new_id(PREFIX),
                tenant=tenant,
                now=now,
            )
            for body in bodies
        ]
        if stores:
            file_search["vector_store_ids"] = [store.id for store in stores]
        return cls(stored, stores)

    def insert(self) -> Transaction[None]:
        """Insert the vector stores.

        Raises:
            NotFoundError: One of their files does not exist.
        """
        for store in self._stores:
            yield from store.insert()
