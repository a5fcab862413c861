"""What becomes of a file in a vector store, as transactions: from claimed to indexed.

Each change of a file checks its claim again: it may have been cancelled, detached,
attached anew or taken over meanwhile, and then nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, exists, null, or_, select, text, update

from langchain_assistants.retrieval import index
from langchain_assistants.retrieval.chunking import Chunking
from langchain_assistants.retrieval.documents import RefusedFile
from langchain_assistants.retrieval.index import StoredChunk
from langchain_assistants.retrieval.parsing import extension_of
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
    from_json,
    param,
    to_json,
)
from langchain_assistants.storage.functions import strings_of
from langchain_assistants.storage.tables import TO_INDEX, files
from langchain_assistants.storage.tables import vector_store_files as table
from langchain_assistants.storage.tables import vector_stores as stores

MAX_ATTEMPTS = 5
"""How often indexing a file is begun before it counts as what kills its workers."""

# Files of equal content that are looked at: most have been indexed.
_DONORS = 20

_is_free = or_(table.c.lease_until.is_(None), table.c.lease_until <= param("now"))
_is_ours = exists().where(
    stores.c.id == table.c.vector_store_id,
    or_(stores.c.embedding_model.is_(None), stores.c.embedding_model == param("model")),
)
_next = (
    select(table.c.seq)
    .where(TO_INDEX, _is_free, _is_ours)
    .order_by(table.c.seq)
    .limit(1)
)
_NEXT = Statement(_next)
_CLAIM = Statement(
    update(table)
    .where(table.c.seq.in_(_next))
    .values(
        worker=param("worker"),
        attempt=table.c.attempt + 1,
        lease_until=param("lease_until"),
    )
    .returning(table.c.seq, table.c.attempt)
)
_another = table.alias()
_CLAIMED = Statement(
    select(
        table,
        files.c.filename,
        files.c.sha256,
        stores.c.tenant,
        stores.c.embedding_model,
        exists()
        .where(
            _another.c.vector_store_id == table.c.vector_store_id,
            _another.c.status == "completed",
        )
        .label("begun"),
    )
    .join(files, files.c.id == table.c.file_id)
    .join(stores, stores.c.id == table.c.vector_store_id)
    .where(table.c.seq == param("seq"))
)
_asked = strings_of(param("workers")).table_valued("value")
_RENEW = Statement(
    update(table)
    .where(TO_INDEX, table.c.worker.in_(select(_asked.c.value)))
    .values(lease_until=param("lease_until"))
)
_held = and_(table.c.seq == param("seq"), table.c.worker == param("worker"), TO_INDEX)
_HELD = Statement(select(table.c.seq).where(_held))
# A None would become a parameter of the column's name: the one in `_held`.
_ended: dict[str, Any] = {"worker": null(), "lease_until": null()}
_GIVE_BACK = Statement(
    update(table).where(_held).values(_ended | {"attempt": table.c.attempt - 1})
)
_COMPLETE = Statement(
    update(table)
    .where(_held)
    .values(_ended | {"status": "completed", "usage_bytes": param("usage_bytes")})
)
_FAIL = Statement(
    update(table)
    .where(_held)
    .values(_ended | {"status": "failed", "last_error": param("last_error")})
)
_CHANGED = Statement(
    update(stores)
    .where(stores.c.id == param("id"))
    .values(version=stores.c.version + 1)
)
_EQUAL = Statement(
    select(table.c.vector_store_id, table.c.file_id, files.c.filename)
    .join(files, files.c.id == table.c.file_id)
    .join(stores, stores.c.id == table.c.vector_store_id)
    .where(
        files.c.sha256 == param("sha256"),
        files.c.tenant == param("tenant"),
        text("status = 'completed'"),
        table.c.chunking_strategy == param("chunking_strategy"),
        stores.c.embedding_model.is_not_distinct_from(param("model")),
    )
    .limit(_DONORS)
)


class ClaimedFile(NamedTuple):
    """A file in a vector store that is this worker's to index.

    Attributes:
        seq: The number of its row.
        worker: The name of the claim.
        store_id: The vector store.
        file_id: The file.
        filename: What its owner calls it.
        sha256: The digest of its content.
        tenant: Whose it is.
        strategy: How to cut it, as it is stored.
        attempt: How often this has been begun.
        embedding_model: What makes its vectors; None: it gets none.
    """

    seq: int
    worker: str
    store_id: str
    file_id: str
    filename: str
    sha256: str
    tenant: str
    strategy: str
    attempt: int
    embedding_model: str | None

    @property
    def chunking(self) -> Chunking:
        """How to cut it."""
        sizes: Mapping[str, int] = from_json(self.strategy)["static"]
        return Chunking(sizes["max_chunk_size_tokens"], sizes["chunk_overlap_tokens"])


def is_any_waiting(model: str | None, now: float) -> Transaction[bool]:
    """Tell whether there is a file to claim."""
    return bool((yield _NEXT(model=model, now=now)))


def claim_file(
    worker: str, model: str | None, now: float, lease_until: float
) -> Transaction[ClaimedFile | None]:
    """Claim the file that waits longest, unless none does.

    Files of stores whose vectors are of another model are left to others. A store that
    was begun without vectors stays so: half of its files would be found worse.

    Args:
        worker: The name of this claim.
        model: The name of the embedding model here; None: there is none.
        now: The time.
        lease_until: How long the file is claimed.
    """
    claimed = first(
        (yield _CLAIM(worker=worker, model=model, now=now, lease_until=lease_until))
    )
    if claimed is None:
        return None
    [row] = yield _CLAIMED(seq=claimed["seq"])
    without = row["embedding_model"] is None and row["begun"]
    return ClaimedFile(
        seq=row["seq"],
        worker=worker,
        store_id=row["vector_store_id"],
        file_id=row["file_id"],
        filename=row["filename"],
        sha256=row["sha256"],
        tenant=row["tenant"],
        strategy=row["chunking_strategy"],
        attempt=row["attempt"],
        embedding_model=None if without else model,
    )


def renew_claims(workers: Iterable[str], lease_until: float) -> Transaction[None]:
    """Renew claims that are still held."""
    yield _RENEW(workers=to_json(list(workers)), lease_until=lease_until)


def give_back(file: ClaimedFile) -> Transaction[None]:
    """Let others index a file at once; the attempt does not count."""
    yield _GIVE_BACK(seq=file.seq, worker=file.worker)


def complete_file(
    file: ClaimedFile, chunks: Sequence[StoredChunk]
) -> Transaction[bool]:
    """Index a file, whole; tell whether it was still waited for.

    Raises:
        InvalidRequestError: The store's vectors are of another embedding model.
    """
    if not (yield _HELD(seq=file.seq, worker=file.worker)):
        return False
    yield from index.put(
        file.store_id, file.file_id, chunks, embedding_model=file.embedding_model
    )
    used = sum(len(chunk.text.encode()) + len(chunk.vector or b"") for chunk in chunks)
    yield _COMPLETE(seq=file.seq, worker=file.worker, usage_bytes=used)
    yield _CHANGED(id=file.store_id)
    return True


def fail_file(file: ClaimedFile, refused: RefusedFile) -> Transaction[None]:
    """Write down why a file cannot be searched, if it is still waited for."""
    error = {"code": refused.code, "message": refused.message}
    yield _FAIL(seq=file.seq, worker=file.worker, last_error=to_json(error))


def equal_file(file: ClaimedFile) -> Transaction[Row | None]:
    """Find a file that was indexed already, and would be in the very same way."""
    rows = yield _EQUAL(
        sha256=file.sha256,
        tenant=file.tenant,
        chunking_strategy=file.strategy,
        model=file.embedding_model,
    )
    kind = extension_of(file.filename)
    equal = (row for row in rows if extension_of(row["filename"]) == kind)
    return next(equal, None)


def copy_file(file: ClaimedFile, equal: Row) -> Transaction[bool]:
    """Index a file as an equal one was; tell whether there was anything to copy."""
    chunks = yield from index.stored_chunks(equal["vector_store_id"], equal["file_id"])
    if not chunks:  # it has just been detached
        return False
    yield from complete_file(file, chunks)
    return True
