"""Uploads: files that arrive in parts, in any order and several at once."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from typing_extensions import Unpack

from langchain_assistants.engine.file_contents import (
    FileInput,
    base_name,
    named_content,
    read_in_pieces,
    required,
)
from langchain_assistants.engine.file_rows import PREFIX as FILE_PREFIX
from langchain_assistants.engine.file_rows import (
    insert_file,
    new_file_columns,
    to_file,
)
from langchain_assistants.engine.portal import blocking
from langchain_assistants.engine.resource import Resource
from langchain_assistants.engine.upload_rows import (
    PART_PREFIX,
    PREFIX,
    end_upload,
    insert_part,
    insert_upload,
    parts_of,
    pending_upload,
    to_upload,
)
from langchain_assistants.errors import InvalidRequestError, StorageError
from langchain_assistants.storage.database import Row, Transaction
from langchain_assistants.types.uploads import (
    MAX_PART_BYTES,
    MAX_UPLOAD_BYTES,
    Upload,
    UploadComplete,
    UploadCreate,
    UploadPart,
)
from langchain_assistants.types.validation import check_id, validate

_LIFETIME = 3_600.0


class Uploads(Resource):
    """Uploads of one tenant.

    Example:
        >>> engine = AssistantsEngine("sqlite:///app.db")  # doctest: +SKIP
        >>> upload = engine.uploads.create(
        ...     filename="a.txt", purpose="assistants", bytes=5, mime_type="text/plain"
        ... )
        >>> part = engine.uploads.add_part(upload.id, data=b"Hello")
        >>> engine.uploads.complete(upload.id, part_ids=[part.id]).file.bytes
        5
    """

    async def acreate(self, **fields: Unpack[UploadCreate]) -> Upload:
        """Begin an upload; it expires after an hour unless it is completed.

        Raises:
            InvalidRequestError: A field breaks a rule.
        """
        body = validate(UploadCreate, fields)
        now, expires_after = self._workplace.clock(), body.get("expires_after")
        columns = {
            "id": self._workplace.new_id(PREFIX),
            "tenant": self._tenant,
            "created_at": now,
            "expires_at": now + _LIFETIME,
            "status": "pending",
            "bytes": body["bytes"],
            "filename": base_name(body["filename"]),
            "purpose": body["purpose"],
            "mime_type": body["mime_type"],
            "file_expires_after": expires_after and expires_after["seconds"],
        }
        row = await self._workplace.database.write(insert_upload(columns))
        return to_upload(row)

    async def aadd_part(self, upload_id: str, *, data: FileInput) -> UploadPart:
        """Store a part; which place it has is told when the upload is completed.

        Raises:
            NotFoundError: There is no such upload.
            InvalidRequestError: It is not pending, or it would hold more than 8 GB.
            FileTooLargeError: The part has more than 64 MB.
        """
        required(data, "data")
        check_id(upload_id, "upload_id", PREFIX)
        content = named_content(data).content
        # Nothing is stored for an upload that takes no parts.
        await self._pending(upload_id)
        place, part_id = self._workplace, self._workplace.new_id(PART_PREFIX)
        async with read_in_pieces(content) as pieces:
            stored = await place.blobs.store(part_id, pieces, limit=MAX_PART_BYTES)
        now = place.clock()

        def insert() -> Transaction[None]:
            yield from pending_upload(upload_id, self._tenant, now)
            parts = yield from parts_of(upload_id)
            total = stored.bytes + sum(part["bytes"] for part in parts)
            if total > MAX_UPLOAD_BYTES:
                raise InvalidRequestError(
                    f"Upload {upload_id} would hold more than {MAX_UPLOAD_BYTES} bytes."
                )
            yield from insert_part(part_id, upload_id, stored.bytes, now)

        try:
            await place.database.write(insert())
        except Exception:
            await place.blobs.delete([part_id])
            raise
        return UploadPart(id=part_id, created_at=int(now), upload_id=upload_id)

    async def acomplete(
        self, upload_id: str, **fields: Unpack[UploadComplete]
    ) -> Upload:
        """Make a file of an upload's parts; the parts are gone then.

        Args:
            upload_id: The upload.
            **fields: See `UploadComplete`.

        Raises:
            NotFoundError: There is no such upload.
            InvalidRequestError: It is not pending, a part is not its own, or the bytes
                are not as many, or not the same, as they should be.
        """
        check_id(upload_id, "upload_id", PREFIX)
        body = validate(UploadComplete, fields)
        place, now = self._workplace, self._workplace.clock()
        upload, parts = await self._pending(upload_id)
        _check_parts(upload, parts, body["part_ids"])
        file_id, md5 = place.new_id(FILE_PREFIX), hashlib.md5(usedforsecurity=False)

        async def joined() -> AsyncGenerator[bytes, None]:
            for part_id in body["part_ids"]:
                async for piece in await place.blobs.open(part_id):
                    md5.update(piece)
                    yield piece

        try:
            async with aclosing(joined()) as pieces:
                stored = await place.blobs.store(file_id, pieces, limit=upload["bytes"])
        except StorageError:
            # Its parts go when somebody else ends it meanwhile.
            await self._pending(upload_id)
            raise
        seconds = upload["file_expires_after"]
        columns = new_file_columns(
            {
                "purpose": upload["purpose"],
                "expires_after": None if seconds is None else {"seconds": seconds},
            },
            stored,
            id=file_id,
            tenant=self._tenant,
            filename=upload["filename"],
            mime_type=upload["mime_type"],
            now=now,
        )

        def complete() -> Transaction[tuple[Row, list[str]]]:
            yield from pending_upload(upload_id, self._tenant, now)
            yield from insert_file(columns)
            return (yield from end_upload(upload_id, "completed"))

        try:
            _check_md5(body.get("md5"), md5.hexdigest())
            row, part_ids = await place.database.write(complete())
        except Exception:
            await place.blobs.delete([file_id])
            raise
        await place.blobs.delete(part_ids)
        return to_upload(row, to_file(columns))

    async def acancel(self, upload_id: str) -> Upload:
        """Give an upload up; its parts are deleted.

        Raises:
            NotFoundError: There is no such upload.
            InvalidRequestError: It is not pending.
        """
        check_id(upload_id, "upload_id", PREFIX)
        now = self._workplace.clock()

        def cancel() -> Transaction[tuple[Row, list[str]]]:
            yield from pending_upload(upload_id, self._tenant, now)
            return (yield from end_upload(upload_id, "cancelled"))

        row, part_ids = await self._workplace.database.write(cancel())
        await self._workplace.blobs.delete(part_ids)
        return to_upload(row)

    async def _pending(self, upload_id: str) -> tuple[Row, Sequence[Row]]:
        now = self._workplace.clock()

        def read() -> Transaction[tuple[Row, Sequence[Row]]]:
            upload = yield from pending_upload(upload_id, self._tenant, now)
            return upload, (yield from parts_of(upload_id))

        return await self._workplace.database.read(read())

    create = blocking(acreate)
    add_part = blocking(aadd_part)
    complete = blocking(acomplete)
    cancel = blocking(acancel)


def _check_parts(upload: Row, parts: Sequence[Row], part_ids: Sequence[str]) -> None:
    sizes: Mapping[str, int] = {part["id"]: part["bytes"] for part in parts}
    seen: set[str] = set()
    for index, part_id in enumerate(part_ids):
        if part_id not in sizes or part_id in seen:
            fault = "is named twice" if part_id in seen else "is no part"
            raise InvalidRequestError(
                f"Invalid 'part_ids[{index}]': it {fault} of upload {upload['id']}.",
                code="invalid_value",
                param=f"part_ids[{index}]",
            )
        seen.add(part_id)
    total = sum(sizes[part_id] for part_id in part_ids)
    if total != upload["bytes"]:
        raise InvalidRequestError(
            f"The parts have {total} bytes, but upload {upload['id']} was created for "
            f"{upload['bytes']} bytes.",
            code="invalid_value",
            param="part_ids",
        )


def _check_md5(expected: Any, found: str) -> None:
    if expected is not None and not hmac.compare_digest(
        expected.lower().encode(), found.encode()
    ):
        raise InvalidRequestError(
            f"Invalid 'md5': the parts have the checksum {found}.",
            code="invalid_value",
            param="md5",
        )
