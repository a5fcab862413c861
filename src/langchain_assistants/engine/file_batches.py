"""Batches: files that are attached to a vector store together."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

from typing_extensions import Unpack

from langchain_assistants.engine.ingestion_progress import Progress
from langchain_assistants.engine.portal import blocking
from langchain_assistants.engine.resource import Resource
from langchain_assistants.engine.vector_store_file_rows import (
    BATCH_PREFIX,
    CountedBatch,
    attach_files,
    batch_row,
    cancel_batch,
    insert_batch,
    to_batch,
)
from langchain_assistants.engine.vector_store_files import (
    file_list_params,
    files_list,
)
from langchain_assistants.engine.vector_store_rows import (
    PREFIX,
    living_store_row,
    refuse_other_vectors,
    store_row,
)
from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.storage.database import Transaction
from langchain_assistants.types.pages import AsyncPaginator, Page
from langchain_assistants.types.validation import check_id, validate
from langchain_assistants.types.vector_store_events import VectorStoreEvent
from langchain_assistants.types.vector_stores import (
    FileBatchCreate,
    VectorStoreFile,
    VectorStoreFileBatch,
    VectorStoreFileListParams,
)


class FileBatches(Resource):
    """Batches of the files in vector stores of one tenant.

    Example:
        >>> engine = AssistantsEngine("sqlite:///app.db")  # doctest: +SKIP
        >>> engine.vector_stores.file_batches.create("vs_abc", file_ids=["file-abc"])
    """

    async def acreate(
        self, vector_store_id: str, **fields: Unpack[FileBatchCreate]
    ) -> VectorStoreFileBatch:
        """Attach files to a vector store together, all of them or none.

        Raises:
            NotFoundError: There is no such store, or one of the files is not there.
            InvalidRequestError: A field breaks a rule, or the store has expired.
        """
        check_id(vector_store_id, "vector_store_id", PREFIX)
        files = _files(validate(FileBatchCreate, fields))
        place, now = self._workplace, self._workplace.clock()
        batch_id = place.new_id(BATCH_PREFIX)

        def attach() -> Transaction[CountedBatch]:
            row = yield from living_store_row(vector_store_id, self._tenant, now)
            refuse_other_vectors(row, self._workplace.chunks.model)
            yield from insert_batch(batch_id, vector_store_id, now)
            yield from attach_files(
                vector_store_id,
                files,
                tenant=self._tenant,
                now=now,
                batch_id=batch_id,
            )
            return (yield from batch_row(batch_id, vector_store_id))

        batch = await place.database.write(attach())
        place.attached.ring()
        return to_batch(batch)

    async def aretrieve(
        self, vector_store_id: str, batch_id: str
    ) -> VectorStoreFileBatch:
        """Return a batch with the counts of its files.

        Raises:
            NotFoundError: There is no such store, or no such batch of it.
        """
        _check_ids(vector_store_id, batch_id)
        read = self._read(vector_store_id, batch_id)
        return await self._workplace.database.read(read)

    async def afollow(
        self, vector_store_id: str, batch_id: str
    ) -> AsyncGenerator[VectorStoreEvent, None]:
        """Yield what becomes of a batch's files until none is awaited (extension).

        First comes the batch, where files are `in_progress`; then each file that has
        ended or ends, once each; the batch again is the last.

        Raises:
            NotFoundError: There is no such store, or no such batch of it, or no more.
        """
        _check_ids(vector_store_id, batch_id)
        progress = Progress(
            self._workplace,
            lambda: self._read(vector_store_id, batch_id),
            store_id=vector_store_id,
            batch_id=batch_id,
        )
        async for event in progress.events():
            yield event

    def follow(
        self, vector_store_id: str, batch_id: str
    ) -> Generator[VectorStoreEvent, None, None]:
        """Return an iterator of what becomes of a batch's files; see `afollow`."""
        return self.portal.iterate(lambda: self.afollow(vector_store_id, batch_id))

    def _read(
        self, vector_store_id: str, batch_id: str
    ) -> Transaction[VectorStoreFileBatch]:
        yield from store_row(vector_store_id, self._tenant)
        return to_batch((yield from batch_row(batch_id, vector_store_id)))

    async def acancel(
        self, vector_store_id: str, batch_id: str
    ) -> VectorStoreFileBatch:
        """Cancel what is still to be indexed; a batch that has ended stays as it is.

        Raises:
            NotFoundError: There is no such store, or no such batch of it.
        """
        _check_ids(vector_store_id, batch_id)

        def cancel() -> Transaction[CountedBatch]:
            yield from store_row(vector_store_id, self._tenant)
            yield from batch_row(batch_id, vector_store_id)
            yield from cancel_batch(batch_id)
            return (yield from batch_row(batch_id, vector_store_id))

        batch = await self._workplace.database.write(cancel())
        self._workplace.indexed.ring(vector_store_id)
        return to_batch(batch)

    def alist_files(
        self,
        vector_store_id: str,
        batch_id: str,
        **params: Unpack[VectorStoreFileListParams],
    ) -> AsyncPaginator[VectorStoreFile]:
        """List a batch's files: await the first page, or iterate over all of them."""
        _check_ids(vector_store_id, batch_id)
        given = file_list_params(params)
        return files_list(
            self._workplace,
            self._tenant,
            vector_store_id,
            status=given["filter"],
            batch_id=batch_id,
        ).paginate(given)

    def list_files(
        self,
        vector_store_id: str,
        batch_id: str,
        **params: Unpack[VectorStoreFileListParams],
    ) -> Page[VectorStoreFile]:
        """List a batch's files; iterating over the page goes on over all pages."""
        _check_ids(vector_store_id, batch_id)
        given = file_list_params(params)
        return files_list(
            self._workplace,
            self._tenant,
            vector_store_id,
            status=given["filter"],
            batch_id=batch_id,
        ).page(given)

    create = blocking(acreate)
    retrieve = blocking(aretrieve)
    cancel = blocking(acancel)


def _files(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a body for each file.

    Raises:
        InvalidRequestError: Not exactly one of `file_ids` and `files` is given.
    """
    file_ids, files = body.get("file_ids"), body.get("files")
    if file_ids is None and files is None:
        raise InvalidRequestError(
            "Missing required parameter: 'file_ids'.",
            code="missing_required_parameter",
            param="file_ids",
        )
    if file_ids is None:
        return list(files or ())
    if files is not None:
        raise InvalidRequestError(
            "Mutually exclusive parameters: 'files'. Ensure you are only providing "
            "one of: 'file_ids' or 'files'.",
            code="mutually_exclusive_parameters",
            param="files",
        )
    return [
        {
            "file_id": file_id,
            "attributes": body.get("attributes"),
            "chunking_strategy": body.get("chunking_strategy"),
        }
        for file_id in file_ids
    ]


def _check_ids(vector_store_id: str, batch_id: str) -> None:
    check_id(vector_store_id, "vector_store_id", PREFIX)
    check_id(batch_id, "batch_id", BATCH_PREFIX)
