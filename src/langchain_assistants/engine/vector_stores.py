"""Vector stores: files that are searched together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any

from typing_extensions import Unpack

from langchain_assistants.engine.file_batches import FileBatches
from langchain_assistants.engine.ingestion_progress import Progress
from langchain_assistants.engine.listing import Slice
from langchain_assistants.engine.origin import EngineOrigin
from langchain_assistants.engine.portal import blocking
from langchain_assistants.engine.resource import (
    ObjectList,
    Resource,
    list_params,
    read_slice,
)
from langchain_assistants.engine.vector_store_creation import NewVectorStore
from langchain_assistants.engine.vector_store_files import VectorStoreFiles
from langchain_assistants.engine.vector_store_rows import (
    ALL,
    PREFIX,
    Counted,
    counted,
    delete_store,
    is_worth_a_touch,
    living_store_row,
    store_row,
    to_store,
    touch_store,
    update_store,
)
from langchain_assistants.engine.vector_store_search import to_ask, to_page
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.retrieval.retriever import StoreRetriever
from langchain_assistants.storage.database import Row, Transaction
from langchain_assistants.types.base import Deleted
from langchain_assistants.types.pages import AsyncPaginator, ListParams, Page
from langchain_assistants.types.retrievers import RetrieverOptions, SearchedOrigin
from langchain_assistants.types.validation import check_id, validate
from langchain_assistants.types.vector_store_events import VectorStoreEvent
from langchain_assistants.types.vector_store_search import (
    SearchResultsPage,
    VectorStoreSearch,
)
from langchain_assistants.types.vector_stores import (
    VectorStore,
    VectorStoreCreate,
    VectorStoreUpdate,
)

# Other processes ring no bell here.
_LOOK_SECONDS = 0.5


class VectorStores(Resource):
    """Vector stores of one tenant.

    Attributes:
        files: The files in them.
        file_batches: Files that are attached together.

    Example:
        >>> engine = AssistantsEngine("sqlite:///app.db")  # doctest: +SKIP
        >>> store = engine.vector_stores.create(name="Manuals", file_ids=["file-abc"])
        >>> engine.vector_stores.search(store.id, query="How do I reset it?")
    """

    def __init__(self, workplace: Workplace, *, tenant: str) -> None:
        """Bind the resource, and those of the files, to what the engine works with."""
        super().__init__(workplace, tenant=tenant)
        self._origin = _StoresOrigin(workplace, tenant)
        self.files = VectorStoreFiles(workplace, tenant=tenant)
        self.file_batches = FileBatches(workplace, tenant=tenant)

    async def acreate(self, **fields: Unpack[VectorStoreCreate]) -> VectorStore:
        """Store a new vector store, with files if any are given.

        Raises:
            InvalidRequestError: A field breaks a rule.
            NotFoundError: One of the files does not exist.
        """
        body = validate(VectorStoreCreate, fields)
        place, now = self._workplace, self._workplace.clock()
        store = NewVectorStore(
            body, id=place.new_id(PREFIX), tenant=self._tenant, now=now
        )

        def insert() -> Transaction[Counted]:
            yield from store.insert()
            return (yield from self._counted(store.id))

        row = await place.database.write(insert())
        if store.has_files:
            place.attached.ring()
        return self.bound(to_store(row, now))

    async def aretrieve(self, vector_store_id: str) -> VectorStore:
        """Return a vector store with the counts of its files.

        Raises:
            NotFoundError: There is none with this id.
        """
        check_id(vector_store_id, "vector_store_id", PREFIX)
        return await self._workplace.database.read(self._read(vector_store_id))

    async def await_(
        self, vector_store_id: str, timeout: float | None = None
    ) -> VectorStore:
        """Wait until none of a store's files is `in_progress` (extension).

        The twin of `wait`.

        Raises:
            NotFoundError: There is none with this id.
            TimeoutError: Some still are after `timeout` seconds; they are not given up.
        """
        bells = self._workplace.indexed
        async with asyncio.timeout(timeout):
            while True:
                with bells.listening(vector_store_id) as rung:
                    store = await self.aretrieve(vector_store_id)
                    if not store.file_counts.in_progress:
                        return store
                    await asyncio.wait([rung], timeout=_LOOK_SECONDS)

    def wait(self, vector_store_id: str, timeout: float | None = None) -> VectorStore:
        """Wait until none of a store's files is `in_progress`; see `await_`."""
        return self.portal.call(lambda: self.await_(vector_store_id, timeout))

    async def afollow(
        self, vector_store_id: str
    ) -> AsyncGenerator[VectorStoreEvent, None]:
        """Yield what becomes of a store's files until none is awaited (extension).

        First comes the store, where files are `in_progress`; then each of them that
        ends, and those that are attached meanwhile; the store again is the last.

        Raises:
            NotFoundError: There is none with this id, or no more.
        """
        check_id(vector_store_id, "vector_store_id", PREFIX)
        progress = Progress(
            self._workplace,
            lambda: self._read(vector_store_id),
            store_id=vector_store_id,
        )
        async for event in progress.events():
            yield event

    def follow(self, vector_store_id: str) -> Generator[VectorStoreEvent, None, None]:
        """Return an iterator of what becomes of a store's files; see `afollow`."""
        return self.portal.iterate(lambda: self.afollow(vector_store_id))

    async def aupdate(
        self, vector_store_id: str, **fields: Unpack[VectorStoreUpdate]
    ) -> VectorStore:
        """Replace the given fields; an absent one is kept, a null cleared.

        That counts as a use of the store. One that has expired stays so.
        """
        check_id(vector_store_id, "vector_store_id", PREFIX)
        body = validate(VectorStoreUpdate, fields)
        now = self._workplace.clock()

        def store() -> Transaction[Counted]:
            row = yield from store_row(vector_store_id, self._tenant)
            yield from update_store(row, body, now)
            return (yield from self._counted(vector_store_id))

        row = await self._workplace.database.write(store())
        return self.bound(to_store(row, now))

    async def adelete(self, vector_store_id: str) -> Deleted:
        """Delete a vector store; the files that were in it stay."""
        check_id(vector_store_id, "vector_store_id", PREFIX)

        def remove() -> Transaction[None]:
            yield from store_row(vector_store_id, self._tenant)
            yield from delete_store(vector_store_id)

        if (outside := self._workplace.chunks.outside) is not None:
            await self.aretrieve(vector_store_id)
            await outside.forget(store_id=vector_store_id)
        await self._workplace.database.write(remove())
        return Deleted(id=vector_store_id, object="vector_store.deleted")

    async def asearch(
        self,
        vector_store_id: str | Sequence[str],
        **fields: Unpack[VectorStoreSearch],
    ) -> SearchResultsPage:
        """Search a vector store, or several (extension); see `ChunkSearch`.

        Raises:
            NotFoundError: There is none with this id.
            InvalidRequestError: A field breaks a rule, the store has expired, or its
                vectors are of another embedding model than the engine's.
        """
        ids = _ids(vector_store_id)
        for store_id in ids:
            check_id(store_id, "vector_store_id", PREFIX)
        ask = to_ask(validate(VectorStoreSearch, fields))
        database, now = self._workplace.database, self._workplace.clock()

        def stores() -> Transaction[list[Row]]:
            rows = []
            for store_id in ids:
                rows.append((yield from living_store_row(store_id, self._tenant, now)))
            return rows

        for row in await database.read(stores()):
            if is_worth_a_touch(row, now):
                await database.write(self._touch(row["id"], now))
        found = await self._workplace.chunks.search(stores, ask, now)
        return to_page(ask, found)

    def as_retriever(
        self, vector_store_id: str | Sequence[str], **options: Unpack[RetrieverOptions]
    ) -> StoreRetriever:
        """Return a LangChain retriever of a vector store, or of several."""
        ids = _ids(vector_store_id)
        return StoreRetriever(stores=self, vector_store_ids=ids, **options)

    def _touch(self, store_id: str, now: float) -> Transaction[None]:
        yield from living_store_row(store_id, self._tenant, now)
        yield from touch_store(store_id, now)

    def _read(self, store_id: str) -> Transaction[VectorStore]:
        found = yield from self._counted(store_id)
        return self.bound(to_store(found, self._workplace.clock()))

    def _counted(self, store_id: str) -> Transaction[Counted]:
        row = yield from store_row(store_id, self._tenant)
        [found] = yield from counted([row])
        return found

    def _list(self) -> ObjectList:
        def anchor(store_id: str) -> Transaction[int]:
            return int((yield from store_row(store_id, self._tenant))["seq"])

        def read(params: Mapping[str, Any]) -> Transaction[Slice]:
            rows, has_more = yield from read_slice(
                ALL, params, anchor, tenant=self._tenant
            )
            return Slice([*(yield from counted(rows))], has_more)

        now = self._workplace.clock()
        return ObjectList(
            self._workplace, read, lambda row: self.bound(to_store(row, now))
        )

    def alist(self, **params: Unpack[ListParams]) -> AsyncPaginator[VectorStore]:
        """List vector stores: await the first page, or iterate over all of them."""
        return self._list().paginate(list_params(**params))

    def list(self, **params: Unpack[ListParams]) -> Page[VectorStore]:
        """List vector stores; iterating over the page goes on over all pages."""
        return self._list().page(list_params(**params))

    create = blocking(acreate)
    retrieve = blocking(aretrieve)
    update = blocking(aupdate)
    delete = blocking(adelete)
    search = blocking(asearch)


class _StoresOrigin(EngineOrigin, SearchedOrigin):
    """Reads and searches as the tenant's own vector stores do."""

    def retriever(
        self, vector_store_id: str, options: RetrieverOptions
    ) -> StoreRetriever:
        """Return a retriever of a vector store.

        Raises:
            ConfigurationError: The engine is gone.
        """
        stores = VectorStores(self._living_workplace(), tenant=self._tenant)
        return stores.as_retriever(vector_store_id, **options)


def _ids(given: str | Sequence[str]) -> Sequence[str]:
    """Return several ids; what is neither is told of as one."""
    return given if isinstance(given, list | tuple) else [given]  # type: ignore[list-item]
