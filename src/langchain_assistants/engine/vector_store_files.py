"""The files in a vector store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import Unpack

from langchain_assistants.engine.file_rows import PREFIX as FILE_PREFIX
from langchain_assistants.engine.listing import Slice
from langchain_assistants.engine.portal import blocking
from langchain_assistants.engine.resource import ObjectList, Resource, read_slice
from langchain_assistants.engine.vector_store_file_rows import (
    LISTINGS,
    attach_files,
    batch_row,
    detach_file,
    set_attributes,
    store_file_row,
    to_store_file,
)
from langchain_assistants.engine.vector_store_rows import (
    PREFIX,
    living_store_row,
    refuse_other_vectors,
    store_row,
)
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.errors import NotFoundError
from langchain_assistants.retrieval import index
from langchain_assistants.storage.database import Row, Transaction
from langchain_assistants.types.base import Deleted
from langchain_assistants.types.pages import AsyncPaginator, Page
from langchain_assistants.types.validation import check_id, validate
from langchain_assistants.types.vector_stores import (
    FileContentPage,
    FileText,
    VectorStoreFile,
    VectorStoreFileCreate,
    VectorStoreFileListParams,
    VectorStoreFileUpdate,
)


class VectorStoreFiles(Resource):
    """The files in vector stores of one tenant, each under the file's own id.

    Example:
        >>> engine = AssistantsEngine("sqlite:///app.db")  # doctest: +SKIP
        >>> engine.vector_stores.files.create("vs_abc", file_id="file-abc")
    """

    async def acreate(
        self, vector_store_id: str, **fields: Unpack[VectorStoreFileCreate]
    ) -> VectorStoreFile:
        """Attach a file to a vector store; one that is in it is attached anew.

        Raises:
            NotFoundError: There is no such store or file.
            InvalidRequestError: A field breaks a rule, or the store has expired.
        """
        check_id(vector_store_id, "vector_store_id", PREFIX)
        body = validate(VectorStoreFileCreate, fields)
        file_id = check_id(body["file_id"], "file_id", FILE_PREFIX)
        now = self._workplace.clock()

        def attach() -> Transaction[Row]:
            row = yield from living_store_row(vector_store_id, self._tenant, now)
            refuse_other_vectors(row, self._workplace.chunks.model)
            yield from attach_files(
                vector_store_id, [body], tenant=self._tenant, now=now
            )
            return (yield from store_file_row(vector_store_id, file_id))

        attached = await self._workplace.database.write(attach())
        self._workplace.attached.ring()
        return to_store_file(attached)

    async def aretrieve(self, vector_store_id: str, file_id: str) -> VectorStoreFile:
        """Return a file of a vector store.

        Raises:
            NotFoundError: There is no such store, or the file is not in it.
        """
        return to_store_file(await self._row(vector_store_id, file_id))

    async def aupdate(
        self,
        vector_store_id: str,
        file_id: str,
        **fields: Unpack[VectorStoreFileUpdate],
    ) -> VectorStoreFile:
        """Replace all attributes of a file.

        Raises:
            NotFoundError: There is no such store, or the file is not in it.
            InvalidRequestError: An attribute breaks a rule, or the store has expired.
        """
        _check_ids(vector_store_id, file_id)
        attributes = validate(VectorStoreFileUpdate, fields)["attributes"] or {}
        now = self._workplace.clock()

        def store() -> Transaction[Row]:
            yield from living_store_row(vector_store_id, self._tenant, now)
            yield from store_file_row(vector_store_id, file_id)
            yield from set_attributes(vector_store_id, file_id, attributes, now)
            return (yield from store_file_row(vector_store_id, file_id))

        return to_store_file(await self._workplace.database.write(store()))

    async def adelete(self, vector_store_id: str, file_id: str) -> Deleted:
        """Take a file out of a vector store; the file itself stays.

        Raises:
            NotFoundError: There is no such store, or the file is not in it.
        """
        _check_ids(vector_store_id, file_id)
        now = self._workplace.clock()

        def remove() -> Transaction[None]:
            yield from store_row(vector_store_id, self._tenant)
            yield from store_file_row(vector_store_id, file_id)
            yield from detach_file(vector_store_id, file_id, now)

        if (outside := self._workplace.chunks.outside) is not None:
            await self._row(vector_store_id, file_id)
            await outside.forget(store_id=vector_store_id, file_id=file_id)
        await self._workplace.database.write(remove())
        return Deleted(id=file_id, object="vector_store.file.deleted")

    async def acontent(self, vector_store_id: str, file_id: str) -> FileContentPage:
        """Return the text that was read from a file: none, before it is indexed.

        Raises:
            NotFoundError: There is no such store, or the file is not in it.
        """
        _check_ids(vector_store_id, file_id)

        def read() -> Transaction[str]:
            yield from store_row(vector_store_id, self._tenant)
            yield from store_file_row(vector_store_id, file_id)
            return (yield from index.stored_text(vector_store_id, file_id))

        text = await self._workplace.database.survey(read())
        return FileContentPage(data=[FileText(text=text)] if text else [])

    async def _row(self, vector_store_id: str, file_id: str) -> Row:
        _check_ids(vector_store_id, file_id)

        def read() -> Transaction[Row]:
            yield from store_row(vector_store_id, self._tenant)
            return (yield from store_file_row(vector_store_id, file_id))

        return await self._workplace.database.read(read())

    def alist(
        self, vector_store_id: str, **params: Unpack[VectorStoreFileListParams]
    ) -> AsyncPaginator[VectorStoreFile]:
        """List a store's files: await the first page, or iterate over all of them."""
        given = file_list_params(params)
        return self._list(vector_store_id, given).paginate(given)

    def list(
        self, vector_store_id: str, **params: Unpack[VectorStoreFileListParams]
    ) -> Page[VectorStoreFile]:
        """List a store's files; iterating over the page goes on over all pages."""
        given = file_list_params(params)
        return self._list(vector_store_id, given).page(given)

    def _list(self, vector_store_id: str, params: Mapping[str, Any]) -> ObjectList:
        return files_list(
            self._workplace, self._tenant, vector_store_id, status=params["filter"]
        )

    create = blocking(acreate)
    retrieve = blocking(aretrieve)
    update = blocking(aupdate)
    delete = blocking(adelete)
    content = blocking(acontent)


def files_list(
    workplace: Workplace,
    tenant: str,
    vector_store_id: str,
    *,
    status: str | None,
    batch_id: str | None = None,
) -> ObjectList:
    """Return the list of a store's files, or of those of a batch.

    Args:
        workplace: Where they are stored.
        tenant: Whose the store is.
        vector_store_id: The store.
        status: Only files of this status.
        batch_id: Only files of this batch.
    """
    check_id(vector_store_id, "vector_store_id", PREFIX)
    listing = LISTINGS[batch_id is not None, status is not None]
    scope: dict[str, Any] = {"batch_id": batch_id, "status": status}
    scope = {name: value for name, value in scope.items() if value is not None}

    def anchor(file_id: str) -> Transaction[int]:
        row = yield from store_file_row(vector_store_id, file_id)
        if batch_id not in (None, row["batch_id"]):
            raise NotFoundError(
                f"No file found with id '{file_id}' in file batch '{batch_id}'."
            )
        return int(row["seq"])

    def read(params: Mapping[str, Any]) -> Transaction[Slice]:
        yield from store_row(vector_store_id, tenant)
        if batch_id is not None:
            yield from batch_row(batch_id, vector_store_id)
        return (
            yield from read_slice(
                listing, params, anchor, vector_store_id=vector_store_id, **scope
            )
        )

    return ObjectList(workplace, read, to_store_file)


def file_list_params(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check list parameters and fill in the defaults: 20, newest first, any status."""
    params = validate(VectorStoreFileListParams, given)
    return {
        "limit": params.get("limit") or 20,
        "order": params.get("order") or "desc",
        "after": params.get("after"),
        "before": params.get("before"),
        "filter": params.get("filter"),
    }


def _check_ids(vector_store_id: str, file_id: str) -> None:
    check_id(vector_store_id, "vector_store_id", PREFIX)
    check_id(file_id, "file_id", FILE_PREFIX)
