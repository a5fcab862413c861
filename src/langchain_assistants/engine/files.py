"""Files: uploaded or produced content under an id."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from typing_extensions import Unpack

from langchain_assistants.engine.file_contents import (
    FileInput,
    NamedContent,
    named_content,
    read_in_pieces,
    required,
)
from langchain_assistants.engine.file_rows import (
    ALL,
    OF_PURPOSE,
    PREFIX,
    delete_file,
    file_row,
    insert_file,
    new_file_columns,
    to_file,
)
from langchain_assistants.engine.listing import Slice
from langchain_assistants.engine.portal import blocking
from langchain_assistants.engine.resource import ObjectList, Resource, read_slice
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.storage.blobs import OpenBlob
from langchain_assistants.storage.database import Row, Transaction
from langchain_assistants.types.base import Deleted
from langchain_assistants.types.files import (
    File,
    FileCreate,
    FileListParams,
    FileNames,
)
from langchain_assistants.types.pages import AsyncPaginator, Page
from langchain_assistants.types.validation import check_id, validate

# What was uploaded for assistants is theirs alone, as in the original.
_NOT_DOWNLOADED = {"assistants"}


class OpenFile:
    """A file that is being read: iterate once over its pieces, or close it.

    Attributes:
        file: The file.
        mime_type: As its uploader said, if he did.
    """

    def __init__(self, file: File, mime_type: str | None, blob: OpenBlob) -> None:
        """Take over an open blob."""
        self.file = file
        self.mime_type = mime_type
        self._blob = blob

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the content in pieces of at most 1 MB."""
        return aiter(self._blob)

    async def aclose(self) -> None:
        """Close it before its end."""
        await self._blob.aclose()


class Files(Resource):
    """Files of one tenant.

    Example:
        >>> engine = AssistantsEngine("sqlite:///app.db")  # doctest: +SKIP
        >>> engine.files.create(file=Path("report.pdf"), purpose="assistants")
    """

    async def acreate(self, *, file: FileInput, **fields: Unpack[FileCreate]) -> File:
        """Store a file.

        Args:
            file: A path, bytes, a binary file object or an async iterable of bytes;
                or one of them in a tuple (name, content[, MIME type]). Folders are
                dropped from the name.
            **fields: See `FileCreate`.

        Raises:
            InvalidRequestError: A field breaks a rule.
            FileTooLargeError: It has more than `Settings.max_file_bytes`.
            StorageError: It cannot be written.
        """
        body = validate(FileCreate, fields)
        required(file, "file")
        named = named_content(file)
        validate(FileNames, {"filename": named.filename, "mime_type": named.mime_type})
        return await store_file(self._workplace, self._tenant, body, named)

    async def aretrieve(self, file_id: str) -> File:
        """Return a file.

        Raises:
            NotFoundError: There is none with this id, or it has expired.
        """
        return to_file(await self._row(file_id))

    async def acontent(self, file_id: str) -> bytes:
        """Return a file's content.

        Raises:
            NotFoundError: There is none with this id, or it has expired.
            InvalidRequestError: Its purpose is `assistants`.
            StorageError: It is missing on the disk, or cannot be read.
        """
        _refuse_download(await self._row(file_id))
        return await self._workplace.blobs.read(file_id)

    async def aopen(self, file_id: str) -> OpenFile:
        """Open a file to read its content in pieces, in constant memory.

        The file may be deleted meanwhile; its reader gets the whole of it.

        Raises:
            NotFoundError: There is none with this id, or it has expired.
            InvalidRequestError: Its purpose is `assistants`.
            StorageError: It is missing on the disk, or cannot be read.
        """
        row = await self._row(file_id)
        _refuse_download(row)
        blob = await self._workplace.blobs.open(file_id)
        return OpenFile(to_file(row), row["mime_type"], blob)

    async def adelete(self, file_id: str) -> Deleted:
        """Delete a file, and take it out of every vector store."""
        check_id(file_id, "file_id", PREFIX)
        now = self._workplace.clock()

        def remove() -> Transaction[None]:
            yield from file_row(file_id, self._tenant, now)
            yield from delete_file(file_id)

        if (outside := self._workplace.chunks.outside) is not None:
            await self._row(file_id)
            await outside.forget(file_id=file_id)
        await self._workplace.database.write(remove())
        await self._workplace.blobs.delete([file_id])
        return Deleted(id=file_id, object="file")

    async def _row(self, file_id: str) -> Row:
        check_id(file_id, "file_id", PREFIX)
        now = self._workplace.clock()
        return await self._workplace.database.read(file_row(file_id, self._tenant, now))

    def _list(self, purpose: str | None) -> ObjectList:
        listing = ALL if purpose is None else OF_PURPOSE
        scope: dict[str, Any] = {} if purpose is None else {"purpose": purpose}

        def read(params: Mapping[str, Any]) -> Transaction[Slice]:
            now = self._workplace.clock()

            def anchor(file_id: str) -> Transaction[int]:
                return int((yield from file_row(file_id, self._tenant, now))["seq"])

            return (
                yield from read_slice(
                    listing, params, anchor, tenant=self._tenant, now=now, **scope
                )
            )

        return ObjectList(self._workplace, read, to_file)

    def alist(self, **params: Unpack[FileListParams]) -> AsyncPaginator[File]:
        """List files: await the first page, or iterate over all of them."""
        given = _list_params(params)
        return self._list(params.get("purpose")).paginate(given)

    def list(self, **params: Unpack[FileListParams]) -> Page[File]:
        """List files; iterating over the page goes on over all pages."""
        given = _list_params(params)
        return self._list(params.get("purpose")).page(given)

    create = blocking(acreate)
    retrieve = blocking(aretrieve)
    content = blocking(acontent)
    delete = blocking(adelete)


async def store_file(
    place: Workplace, tenant: str, body: Mapping[str, Any], named: NamedContent
) -> File:
    """Store a file of a checked body.

    Raises:
        FileTooLargeError: It has more than `Settings.max_file_bytes`.
        StorageError: It cannot be written.
    """
    file_id = place.new_id(PREFIX)
    limit = place.settings.max_file_bytes
    async with read_in_pieces(named.content) as pieces:
        stored = await place.blobs.store(file_id, pieces, limit=limit)
    columns = new_file_columns(
        body,
        stored,
        id=file_id,
        tenant=tenant,
        filename=named.filename,
        mime_type=named.mime_type,
        now=place.clock(),
    )
    try:
        return to_file(await place.database.write(insert_file(columns)))
    except Exception:
        await place.blobs.delete([file_id])
        raise


async def store_output(place: Workplace, tenant: str, named: NamedContent) -> File:
    """Store a file that an assistant has made.

    Raises:
        As `store_file`.
    """
    return await store_file(place, tenant, {"purpose": "assistants_output"}, named)


def _list_params(given: Mapping[str, Any]) -> dict[str, Any]:
    params = validate(FileListParams, given)
    return {
        "limit": params.get("limit") or 10_000,
        "order": params.get("order") or "desc",
        "after": params.get("after"),
        "before": None,
    }


def _refuse_download(row: Row) -> None:
    if row["purpose"] in _NOT_DOWNLOADED:
        raise InvalidRequestError(
            f"Not allowed to download files of purpose: {row['purpose']}"
        )
