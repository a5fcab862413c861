"""File search over 100,000 chunks: by words, by words and vectors, and deletion.

A process of its own searches, so that its memory is that of searching alone.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from langchain_core.embeddings import Embeddings

from benchmarks.measure import Effort, Sample, peak_megabytes, seconds
from benchmarks.rows import Budget, Row
from benchmarks.shelf import Shelf
from langchain_assistants import AssistantsEngine
from langchain_assistants.retrieval.index import StoredChunk
from langchain_assistants.retrieval.vectors import pack
from langchain_assistants.testing import ScriptedChatModel

_ROOT = Path(__file__).parents[1]
_CHUNKS_A_FILE = 500
_WORDS_A_CHUNK = 120
_WORDS_A_QUERY = 6
_VOCABULARY = 60_000
_CLUSTERS = 2_000
_DIMENSIONS = 384

_KEYWORD = Budget(30, "value")
_HYBRID = Budget(60, "value")
_MEMORY = Budget(300, "value")
_DELETE = Budget(50, "value")


class Synthetic(Embeddings):
    """An embedding model that costs nothing: vectors near one of 2,000 points."""

    model = "synthetic"

    def __init__(self) -> None:
        """Choose the points."""
        self._numbers = np.random.default_rng(1)
        self._points = self._numbers.normal(size=(_CLUSTERS, _DIMENSIONS))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text."""
        near = self._numbers.integers(_CLUSTERS, size=len(texts))
        noise = self._numbers.normal(scale=0.5, size=(len(texts), _DIMENSIONS))
        vectors: list[list[float]] = (self._points[near] + noise).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Return a vector."""
        return self.embed_documents([text])[0]


class Words:
    """Texts of made-up words, as frequent as in a language (Zipf's law)."""

    def __init__(self, seed: int) -> None:
        """Make up the words, always the same."""
        fixed = random.Random(0)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self._words = [
            "".join(fixed.choices(letters, k=fixed.randint(3, 9)))
            for _ in range(_VOCABULARY)
        ]
        self._random = random.Random(seed)
        self._in_texts = self._shares(1.05)
        # People ask for rarer words than they write, but not only for these.
        self._in_queries = self._shares(0.8)

    def text(self) -> str:
        """Return a text."""
        return self._some(self._in_texts, _WORDS_A_CHUNK)

    def query(self) -> str:
        """Return a query."""
        return self._some(self._in_queries, _WORDS_A_QUERY)

    def _some(self, shares: Sequence[float], count: int) -> str:
        words = self._random.choices(self._words, cum_weights=shares, k=count)
        return " ".join(words)

    def _shares(self, steepness: float) -> list[float]:
        return list(accumulate(rank**-steepness for rank in range(1, _VOCABULARY + 1)))


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Fill a store, search it in another process, then delete files of it."""
    path = folder / "search.db"
    files = effort.of(full=200, short=4)
    with _engine(path) as engine:
        shelf = Shelf(engine)
        filled = [_fill(shelf, number) for number in range(files)]
    chunks = files * _CHUNKS_A_FILE
    taken = sum(one.seconds for one in filled)
    what = f"store {chunks:,} chunks with their vectors"
    yield Row("file_search", what, chunks / taken, "chunks/s")
    searches = effort.of(full=100, short=5)
    found = _searched(path, shelf.id, searches)
    for kind, budget in (("keyword", _KEYWORD), ("hybrid", _HYBRID)):
        sample = Sample(found[kind])
        what = f"{kind} search in {chunks:,} chunks"
        yield Row("file_search", what, sample.median, "ms", budget=budget)
        yield Row("file_search", f"{what}, p95", sample.p95, "ms")
    yield Row(
        "file_search",
        f"memory of a process that searched {chunks:,} chunks",
        found["megabytes"],
        "MB",
        budget=_MEMORY,
    )
    with _engine(path) as engine:
        delete = engine.vector_stores.files.delete
        sample = Sample(
            [seconds(partial(delete, shelf.id, one.id)) for one in filled[:20]]
        )
    what = f"delete a file of {_CHUNKS_A_FILE} chunks"
    yield Row("file_search", what, sample.median, "ms", budget=_DELETE)


def _engine(path: Path, embeddings: Embeddings | None = None) -> AssistantsEngine:
    return AssistantsEngine(
        f"sqlite:///{path}", chat_model=ScriptedChatModel([]), embeddings=embeddings
    )


class _Filled(NamedTuple):
    """A file that was put into the store, and what that took."""

    id: str
    seconds: float


def _fill(shelf: Shelf, number: int) -> _Filled:
    words, model = Words(number), Synthetic()
    texts = [words.text() for _ in range(_CHUNKS_A_FILE)]
    vectors = pack(model.embed_documents(texts))
    chunks = [
        StoredChunk(place, 0, len(text), None, _WORDS_A_CHUNK, text, vector)
        for place, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]
    begun = time.perf_counter()
    id = shelf.add(chunks, embedding_model="Synthetic:synthetic")
    return _Filled(id, time.perf_counter() - begun)


def _searched(path: Path, store_id: str, searches: int) -> dict[str, Any]:
    """Search in a process of its own; return its times in seconds, and its memory."""
    command = [sys.executable, "-m", "benchmarks.file_search"]
    child = subprocess.run(
        [*command, str(path), store_id, str(searches)],
        check=True,
        cwd=_ROOT,
        capture_output=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(child.stdout)
    return result


def _search(path: Path, store_id: str, searches: int) -> dict[str, Any]:
    words = Words(-1)
    with _engine(path, Synthetic()) as engine:

        def search(*, embedding_weight: float) -> None:
            weights = {"embedding_weight": embedding_weight, "text_weight": 0.5}
            engine.vector_stores.search(
                store_id,
                query=words.query(),
                ranking_options={"hybrid_search": weights},
            )

        times: dict[str, Any] = {}
        for kind, weight in (("keyword", 0.0), ("hybrid", 0.5)):
            act = partial(search, embedding_weight=weight)
            act()  # reads the vectors, and what SQLite keeps of its file
            times[kind] = [seconds(act) for _ in range(searches)]
    return times | {"megabytes": peak_megabytes()}


if __name__ == "__main__":
    database, store, count = sys.argv[1:]
    print(json.dumps(_search(Path(database), store, int(count))))
