"""The hosted file search: the model's queries in the vector stores of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_assistants.engine.call_types import QUERY
from langchain_assistants.engine.exhibits import Exhibits
from langchain_assistants.engine.hosted import HostedCall, HostedResult
from langchain_assistants.engine.run_resources import run_resources
from langchain_assistants.engine.vector_store_rows import (
    counted,
    is_worth_a_touch,
    living_store_row,
    touch_store,
)
from langchain_assistants.engine.vector_store_search import to_page
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.retrieval.ask import Ask
from langchain_assistants.retrieval.found import FoundChunk
from langchain_assistants.storage.database import (
    Row,
    Transaction,
    from_json,
    storable,
)
from langchain_assistants.tools.file_search import (
    FileSearchResult,
    numbered,
    shown,
)

_SCHEMA: dict[str, Any] = {
    "name": "file_search",
    "description": (
        "Searches the user's files. Returns passages, each under a marker such as "
        "【0:1†name】. Where your answer uses a passage, put its marker right behind, "
        "unchanged. Ask in the words that the passage may use, in its language; "
        "search again with others where nothing fits."
    ),
    "parameters": {
        "type": "object",
        "properties": {
            QUERY: {"type": "string", "description": "What the passage is about."}
        },
        "required": [QUERY],
    },
}
# The original's, for its models and by its documentation.
_RESULTS = 20
_RESULTS_OF_SMALL_MODELS = 5
_SMALL_MODELS = "gpt-3.5"
_RANKER = "default_2024_08_21"
_MOST_CHARACTERS = 64_000
"""Of all passages of a search: about the 16,000 tokens of the original."""

_PATIENCE = 60.0
_LOOK_SECONDS = 0.1


class FileSearch:
    """The file search of one engine.

    Args:
        place: Database and index.
    """

    schema: Mapping[str, Any] = _SCHEMA

    def __init__(self, place: Workplace) -> None:
        """Search nothing yet."""
        self._place = place

    async def open(
        self, run: Row, entry: Mapping[str, Any], exhibits: Exhibits
    ) -> _OpenedSearch:
        """Return the search of a run; files of its thread are waited for a minute.

        Raises:
            NotFoundError: A vector store is no more.
            InvalidRequestError: A vector store has expired.
        """
        database, now = self._place.database, self._place.clock()
        ids = await database.read(_store_ids(run))
        rows = await database.read(self._stores([*ids.values()], run["tenant"], now))
        for row in rows:
            if is_worth_a_touch(row, now):
                await database.write(touch_store(row["id"], now))
        if "thread" in ids:
            await self._await_files([row for row in rows if row["id"] == ids["thread"]])
        small = from_json(run["settings"])["model"].startswith(_SMALL_MODELS)
        options = entry.get("file_search") or {}
        most = options.get("max_num_results")
        ranking = options.get("ranking_options") or {}
        return _OpenedSearch(
            self._place,
            lambda: self._stores([*ids.values()], run["tenant"], now),
            exhibits,
            most or (_RESULTS_OF_SMALL_MODELS if small else _RESULTS),
            ranking.get("score_threshold") or 0.0,
        )

    def _stores(
        self, ids: Sequence[str], tenant: str, now: float
    ) -> Transaction[list[Row]]:
        rows = []
        for store_id in dict.fromkeys(ids):
            rows.append((yield from living_store_row(store_id, tenant, now)))
        return rows

    async def _await_files(self, stores: Sequence[Row]) -> None:
        """Wait until no file of a store is in progress, for as long as the original."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE
        while loop.time() < until:
            found = await self._place.database.read(counted(stores))
            if not any(store["file_counts"].in_progress for store in found):
                return
            await asyncio.sleep(_LOOK_SECONDS)


class _OpenedSearch:
    """The file search as one run uses it."""

    note = None

    def __init__(
        self,
        place: Workplace,
        stores: Callable[[], Transaction[list[Row]]],
        exhibits: Exhibits,
        most: int,
        threshold: float,
    ) -> None:
        self._place = place
        self._stores = stores
        self._exhibits = exhibits
        self._most = most
        self._threshold = threshold

    async def execute(self, call: HostedCall) -> HostedResult:
        """Search for the query of a call.

        Raises:
            TypeError: The query is no text.
        """
        query = call.arguments.get(QUERY)
        if not isinstance(query, str):
            raise TypeError(f"'{QUERY}' has to be a text.")
        ask = Ask([storable(query)], limit=self._most, score_threshold=self._threshold)
        now = self._place.clock()
        chunks = await self._place.chunks.search(self._stores, ask, now)
        page = to_page(ask, _within_budget(chunks))
        results = numbered(page.data, self._exhibits.next_search())
        ranking = {"ranker": _RANKER, "score_threshold": self._threshold}
        return HostedResult(
            shown(results),
            {"results": [*map(_on_wire, results)], "ranking_options": ranking},
        )


def _store_ids(run: Row) -> Transaction[dict[str, str]]:
    """Return the ids of the assistant's and the thread's vector store, if they are."""
    resources = yield from run_resources(run, "file_search")
    return {
        owner: store_id
        for owner, held in resources._asdict().items()
        for store_id in held.get("vector_store_ids") or ()
    }


def _within_budget(chunks: Sequence[FoundChunk]) -> list[FoundChunk]:
    kept: list[FoundChunk] = []
    left = _MOST_CHARACTERS
    for chunk in chunks:
        left -= len(chunk.text)
        if left < 0 and kept:
            break
        kept.append(chunk)
    return kept


def _on_wire(result: FileSearchResult) -> dict[str, Any]:
    """Return a result as a step holds it."""
    held = {
        "file_id": result["file_id"],
        "file_name": result["filename"],
        "score": round(result["score"], 6),
        "content": [{"type": "text", "text": result["text"]}],
        "marker": result["marker"].removeprefix("【").partition("†")[0],
    }
    return held if result["page"] is None else {**held, "page": result["page"]}
