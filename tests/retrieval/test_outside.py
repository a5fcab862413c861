"""A user's own LangChain store or retriever in place of ours."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore
from tests.conftest import EngineFactory
from tests.retrieval.library import Library, Words

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import ConfigurationError, NotFoundError
from langchain_assistants.retrieval.outside import OURS

MODEL = Words("reset restart", "machine device", "warranty")
RESET = "Press the button to reset the machine."
WARRANTY = "The warranty ends after two years."


class Places(dict[str, InMemoryVectorStore]):
    """What `retrieval=` has made, by vector store."""

    def __call__(self, vector_store_id: str) -> InMemoryVectorStore:
        """Make a place for a vector store."""
        self[vector_store_id] = InMemoryVectorStore(MODEL)
        return self[vector_store_id]


def make_store(vector_store_id: str) -> InMemoryVectorStore:
    """Make a place, as a module's function does."""
    return InMemoryVectorStore(MODEL)


@pytest.fixture
def places() -> Places:
    return Places()


@pytest.fixture
def engine(engine_factory: EngineFactory, places: Places) -> AssistantsEngine:
    return engine_factory(retrieval=places)


def library_of(engine: AssistantsEngine) -> Library:
    """Return a store with two files, that are outside too."""
    library = Library(engine)
    for name, text in (("reset.txt", RESET), ("warranty.txt", WARRANTY)):
        put_outside(library, library.add(text, filename=name, attributes={"n": name}))
    return library


def put_outside(library: Library, file_id: str, *texts: str) -> None:
    """Put a file outside as indexing does, before it is stored here."""
    outside = library.engine._workplace.chunks.outside
    assert outside is not None

    stored = library.chunks(texts or library.stored(file_id))

    async def put() -> None:
        await outside.put(library.id, file_id, "x.txt", stored)

    library.engine.portal.call(put)


def test_a_file_is_found_in_the_users_store_until_it_is_deleted(
    engine: AssistantsEngine, places: Places
) -> None:
    stores = engine.vector_stores
    ids = [
        engine.files.create(file=(name, text.encode()), purpose="assistants").id
        for name, text in (("reset.txt", RESET), ("warranty.txt", WARRANTY))
    ]
    store = stores.create(file_ids=ids)
    assert stores.wait(store.id).file_counts.completed == 2
    assert set(places[store.id].store) == {f"{id}:0" for id in ids}
    [result] = stores.search(store.id, query="restart the device").data
    assert (result.file_id, result.filename) == (ids[0], "reset.txt")
    assert (result.start, result.end, result.chunk_index) == (0, len(RESET), 0)
    assert result.score == pytest.approx(1.0)
    stores.files.delete(store.id, ids[0])
    assert set(places[store.id].store) == {f"{ids[1]}:0"}
    engine.files.delete(ids[1])
    assert places[store.id].store == {}


def test_putting_a_file_again_changes_nothing(
    engine: AssistantsEngine, places: Places
) -> None:
    library = library_of(engine)
    before = dict(places[library.id].store)
    [result] = library.search("restart")
    put_outside(library, result.file_id)
    assert set(places[library.id].store) == set(before)
    longer = Library(engine)
    file_id = longer.add(RESET, WARRANTY)
    put_outside(longer, file_id)
    put_outside(longer, file_id, "Only a device.")
    assert set(places[longer.id].store) == {f"{file_id}:0"}


def test_what_is_not_in_the_store_any_more_is_not_shown(
    engine: AssistantsEngine, places: Places
) -> None:
    library = library_of(engine)
    [result] = library.search("restart")
    kept = dict(places[library.id].store)
    engine.vector_stores.files.delete(library.id, result.file_id)
    places[library.id].store |= kept
    assert library.texts("restart") == []


def test_filters_thresholds_and_tenants_hold_outside_too(
    engine: AssistantsEngine,
) -> None:
    library = library_of(engine)
    both = "reset warranty"
    assert len(library.search(both)) == 2
    reset = {"type": "eq", "key": "n", "value": "reset.txt"}
    assert library.texts(both, filters=reset) == [RESET]
    least = {"score_threshold": 0.99}
    assert library.texts("reset the machine", ranking_options=least) == [RESET]
    assert library.texts([" ", ""]) == []
    with pytest.raises(NotFoundError):
        engine.for_tenant("another").vector_stores.search(library.id, query="reset")


def test_nothing_is_left_outside_of_a_deleted_store(
    engine: AssistantsEngine, places: Places
) -> None:
    library = library_of(engine)
    with pytest.raises(NotFoundError):
        engine.for_tenant("another").vector_stores.delete(library.id)
    assert len(places[library.id].store) == 2
    engine.vector_stores.delete(library.id)
    assert places[library.id].store == {}


class Notes(BaseRetriever):
    """A retriever of somebody's own documents."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [
            Document(query, metadata={"source": "notes.md", "page": 3}, id="note-1"),
            Document("scored", metadata={"score": 0.25}),
            Document("ours", metadata={OURS: "another store"}),
            Document("last"),
        ]


def test_a_retriever_of_other_documents_stands_in(
    engine_factory: EngineFactory,
) -> None:
    library = Library(engine_factory(retrieval=lambda vector_store_id: Notes()))
    found = library.search("tide")
    assert [(one.content[0].text, one.score) for one in found] == [
        ("tide", 1.0),
        ("scored", 0.25),
        ("last", 0.25),
    ]
    first = found[0]
    assert (first.file_id, first.filename, first.page) == ("note-1", "notes.md", 3)
    assert library.search("tide", filters={"type": "ne", "key": "a", "value": 1}) == []
    put_outside(library, library.add("tide"))
    assert len(library.search("tide")) == 3


def test_the_function_is_named_by_its_module(engine_factory: EngineFactory) -> None:
    engine = engine_factory(retrieval="tests.retrieval.test_outside:make_store")
    assert library_of(engine).texts("restart") == [RESET]


@pytest.mark.parametrize(
    "name", ["nothing", "no.such.module:f", "tests.retrieval.library:nothing", ":f"]
)
def test_a_function_that_is_not_there_is_told(
    engine_factory: EngineFactory, name: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"mypackage\.module:make_store"):
        engine_factory(retrieval=name)


def test_what_is_no_store_is_told(engine_factory: EngineFactory) -> None:
    made: Any = lambda vector_store_id: "a store"  # noqa: E731
    library = Library(engine_factory(retrieval=made))
    with pytest.raises(ConfigurationError, match="must make a LangChain VectorStore"):
        library.search("tide")


def test_a_store_that_fails_fails_the_file(engine_factory: EngineFactory) -> None:
    class Broken(InMemoryVectorStore):
        async def aadd_documents(self, *args: Any, **kwargs: Any) -> list[str]:
            msg = "no connection"
            raise ConnectionError(msg)

    engine = engine_factory(retrieval=lambda vector_store_id: Broken(MODEL))
    file = engine.files.create(file=("a.txt", RESET.encode()), purpose="assistants")
    store = engine.vector_stores.create(file_ids=[file.id])
    engine.vector_stores.wait(store.id)
    shown = engine.vector_stores.files.retrieve(store.id, file.id)
    assert shown.status == "failed"
    assert shown.last_error is not None
    assert shown.last_error.code == "server_error"
    assert "ConnectionError" in shown.last_error.message
