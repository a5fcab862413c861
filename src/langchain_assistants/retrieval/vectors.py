"""Vectors of chunks: packed for the database, kept in memory, compared exactly.

Each number between -1 and 1 is an integer of 16 bits: more exact than a half float, and
faster to compare than floats of 32 bits, which memory has to deliver (measured). It
needs numpy: whoever works without embeddings does not import it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    param,
    to_json,
)
from langchain_assistants.storage.functions import strings_of
from langchain_assistants.storage.tables import chunk_vectors, chunks

Floats: TypeAlias = npt.NDArray[np.float32]
Packed: TypeAlias = npt.NDArray[np.int16]
Ids: TypeAlias = npt.NDArray[np.int64]

_BYTES_A_NUMBER = 2
CACHE_BYTES = 512 * 2**20
_AT_ONCE = 2_048
_PACKED = "<i2"
_ONE = 32_767
# Rows that are made floats at a time: they stay in the processor's cache.
_COMPARED_AT_ONCE = 256

_asked = strings_of(param("ids")).table_valued("value")
_IDS = Statement(
    select(chunk_vectors.c.chunk_id)
    .join(chunks, chunks.c.id == chunk_vectors.c.chunk_id)
    .where(chunks.c.vector_store_id == param("store_id"))
)
_VECTORS = Statement(
    select(chunk_vectors.c.vector)
    .where(chunk_vectors.c.chunk_id.in_(select(_asked.c.value)))
    .order_by(chunk_vectors.c.chunk_id)
)


def pack(vectors: Sequence[Sequence[float]]) -> list[bytes]:
    """Return vectors as they are stored: of length 1, two bytes a number."""
    return [row.tobytes() for row in np.rint(_unit(vectors) * _ONE).astype(_PACKED)]


def unit(vector: Sequence[float]) -> Floats:
    """Return a vector of length 1 to compare others with."""
    found: Floats = _unit([vector])[0]
    return found


def _unit(vectors: Sequence[Sequence[float]]) -> Floats:
    matrix = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    found: Floats = matrix / np.maximum(lengths, np.finfo(np.float32).tiny)
    return found


class Cosines(NamedTuple):
    """How near each chunk of a store is to a query: 0 to 1; ids ascend."""

    ids: Ids
    values: Floats

    def only(self, ids: Sequence[int]) -> Cosines:
        """Return those of some chunks."""
        chosen = np.isin(self.ids, ids)
        return Cosines(self.ids[chosen], self.values[chosen])

    def best(self, count: int) -> dict[int, float]:
        """Return the nearest chunks."""
        if len(self.ids) > count:
            chosen = np.argpartition(self.values, -count)[-count:]
        else:
            chosen = np.arange(len(self.ids))
        found = zip(self.ids[chosen], self.values[chosen], strict=True)
        return {int(id): float(value) for id, value in found}

    def of(self, id: int) -> float:
        """Return that of one chunk; 0 if it has no vector."""
        at = int(self.ids.searchsorted(id))
        there = at < len(self.ids) and self.ids[at] == id
        return float(self.values[at]) if there else 0.0


class _Kept(NamedTuple):
    """The vectors of a store at a version, one in a row."""

    version: int
    ids: Ids
    matrix: Packed


class StoreVectors:
    """The vectors of the stores that were searched last, as far as memory goes.

    Transactions of one database call it, all on the database's own thread.

    Args:
        limit: Bytes to keep. A store of more is read anew for each search.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        """Begin with none."""
        self._limit = limit
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def compared(
        self, store: Row, queries: Sequence[Floats]
    ) -> Transaction[list[Cosines]]:
        """Return how near every chunk of a store is to each of some queries."""
        kept = self._kept.get(store["id"])
        if kept is None or kept.version != store["version"]:
            rows = yield _IDS(store_id=store["id"])
            ids = np.fromiter((row["chunk_id"] for row in rows), np.int64, len(rows))
            ids.sort()
            size = len(ids) * store["embedding_dimensions"] * _BYTES_A_NUMBER
            if size > self._limit:
                self._kept.pop(store["id"], None)
                return (yield from _streamed(ids, queries))
            kept = yield from self._loaded(store, ids, kept)
        self._keep(store["id"], kept)
        return [Cosines(kept.ids, _cosines(kept.matrix, query)) for query in queries]

    def _loaded(self, store: Row, ids: Ids, old: _Kept | None) -> Transaction[_Kept]:
        """Read the vectors of these chunks, but for those that are known already."""
        matrix = np.empty((len(ids), store["embedding_dimensions"]), np.int16)
        absent = np.ones(len(ids), bool)
        if old is not None:
            known = np.isin(ids, old.ids, assume_unique=True)
            matrix[known] = old.matrix[old.ids.searchsorted(ids[known])]
            absent = ~known
        places = np.flatnonzero(absent)
        for part in _parts(places):
            matrix[part] = yield from _read(ids[part])
        return _Kept(store["version"], ids, matrix)

    def _keep(self, store_id: str, kept: _Kept) -> None:
        self._kept[store_id] = kept
        self._kept.move_to_end(store_id)
        while sum(other.matrix.nbytes for other in self._kept.values()) > self._limit:
            self._kept.popitem(last=False)


def _streamed(ids: Ids, queries: Sequence[Floats]) -> Transaction[list[Cosines]]:
    """Compare vectors that are too many to keep."""
    found = [np.empty(len(ids), np.float32) for _ in queries]
    for part in _parts(np.arange(len(ids))):
        block = yield from _read(ids[part])
        for values, query in zip(found, queries, strict=True):
            values[part] = _cosines(block, query)
    return [Cosines(ids, values) for values in found]


def _read(ids: Ids) -> Transaction[Packed]:
    """Read the vectors of chunks whose ids ascend."""
    rows = yield _VECTORS(ids=to_json(ids.tolist()))
    packed = np.frombuffer(b"".join(row["vector"] for row in rows), _PACKED)
    return packed.reshape(len(rows), -1)


def _cosines(matrix: Packed, query: Floats) -> Floats:
    """Return the cosines of a query with each row; 0 for an obtuse angle."""
    values = np.empty(len(matrix), np.float32)
    block = np.empty((_COMPARED_AT_ONCE, matrix.shape[1]), np.float32)
    for begin in range(0, len(matrix), _COMPARED_AT_ONCE):
        rows = matrix[begin : begin + _COMPARED_AT_ONCE]
        np.copyto(block[: len(rows)], rows, casting="unsafe")
        values[begin : begin + len(rows)] = block[: len(rows)] @ query
    cosines: Floats = (values / _ONE).clip(0.0, 1.0)
    return cosines


def _parts(places: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.intp]]:
    for begin in range(0, len(places), _AT_ONCE):
        yield places[begin : begin + _AT_ONCE]
