"""Objects that are taken in with their ids and times, from wherever they were saved."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import IO

from langchain_assistants.engine.file_contents import read_in_pieces
from langchain_assistants.engine.import_outcomes import Imported, Outcome, Take
from langchain_assistants.engine.import_rows import (
    take_assistants,
    take_messages,
    take_runs,
    take_steps,
    take_threads,
)
from langchain_assistants.engine.import_store_rows import (
    compare_file,
    known_file,
    take_file,
    take_store_files,
    take_stores,
)
from langchain_assistants.engine.portal import blocking
from langchain_assistants.engine.resource import Resource
from langchain_assistants.errors import FileTooLargeError
from langchain_assistants.storage.blobs import Stored

_TAKES: Mapping[str, Take] = {
    "assistant": take_assistants,
    "thread": take_threads,
    "thread.message": take_messages,
    "thread.run": take_runs,
    "thread.run.step": take_steps,
    "vector_store": take_stores,
    "vector_store.file": take_store_files,
}


class Imports(Resource):
    """Takes objects of one tenant in; `langchain_assistants.importers` reads them."""

    async def atake(self, items: Sequence[Imported]) -> list[Outcome]:
        """Store objects in one transaction, all of one kind but files.

        What they name has to be there. An object that is there already stays as it
        is; one that cannot be taken changes nothing.

        Args:
            items: Those of a parent together, the oldest first.

        Returns:
            What became of each.
        """
        if not items:
            return []
        place = self._workplace
        take = _TAKES[items[0].kind]
        return await place.database.write(take(items, self._tenant, place.clock()))

    async def atake_file(
        self, item: Imported, content: IO[bytes], *, store: bool = True
    ) -> Outcome:
        """Store a file with its content.

        Args:
            item: The file.
            content: What is in it.
            store: Whether to keep the content; without, the file's row alone is
                stored, to see what would become of it.

        Raises:
            StorageError: It cannot be written.
            OSError: The content cannot be read.
        """
        place = self._workplace
        expires_at = item.body.get("expires_at")
        if expires_at is not None and expires_at <= place.clock():
            return Outcome(refusal="it has expired")
        limit = place.settings.max_file_bytes
        row = await place.database.read(known_file(item.id))
        try:
            if row is None and store:
                async with read_in_pieces(content) as pieces:
                    stored = await place.blobs.store(item.id, pieces, limit=limit)
            else:
                stored = await _measured(content, limit)
        except FileTooLargeError as error:
            return Outcome(refusal=str(error))
        columns = {
            "id": item.id,
            "tenant": self._tenant,
            "created_at": item.created_at,
            "expires_at": expires_at,
            "bytes": stored.bytes,
            "filename": item.body["filename"],
            "purpose": item.body["purpose"],
            "mime_type": None,
            "sha256": stored.sha256,
        }
        if row is not None:
            return compare_file(item, row, columns)
        try:
            outcome = await place.database.write(take_file(columns))
        except Exception:
            await place.blobs.delete([item.id])
            raise
        if stored.bytes != item.body["bytes"]:
            repair = f"its content has {stored.bytes} bytes, not {item.body['bytes']}"
            return outcome._replace(repair=repair)
        return outcome

    take = blocking(atake)
    take_file = blocking(atake_file)


async def _measured(content: IO[bytes], limit: int) -> Stored:
    digest, size = hashlib.sha256(), 0
    async with read_in_pieces(content) as pieces:
        async for piece in pieces:
            digest.update(piece)
            size += len(piece)
            if size > limit:
                raise FileTooLargeError(limit)
    return Stored(size, digest.hexdigest())
