"""Vector stores as LangChain's retriever, beyond the standard tests."""

from __future__ import annotations

import gc
import pickle

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from tests.retrieval.library import Library

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
)
from langchain_assistants.types import VectorStore

RESET = "Press the red button to reset the machine."


def test_a_document_tells_where_it_was_found(library: Library) -> None:
    file_id = library.add(
        "First page.", RESET, filename="manual.pdf", attributes={"lang": "en"}
    )
    retriever = library.engine.vector_stores.as_retriever(library.id, k=1)
    [document] = retriever.invoke("How do I reset it?")
    assert document.page_content == RESET
    score = document.metadata.pop("score")
    assert 0 < score <= 1
    assert document.metadata == {
        "file_id": file_id,
        "filename": "manual.pdf",
        "attributes": {"lang": "en"},
        "chunk_index": 1,
        "page": 2,
        "start": 11,
        "end": 11 + len(RESET),
    }


async def test_it_is_part_of_a_chain_sync_and_async(library: Library) -> None:
    library.add(RESET)
    chain = (
        library.engine.vector_stores.as_retriever([library.id])
        | RunnableLambda(lambda found: found[0].page_content)
        | StrOutputParser()
    )
    assert await chain.ainvoke("reset") == RESET
    assert [text async for text in chain.astream("reset")] == [RESET]


def test_options_are_those_of_a_search(library: Library) -> None:
    library.add(RESET, attributes={"lang": "en"})
    library.add("Den Automaten mit dem Knopf: reset.", attributes={"lang": "de"})
    retriever = library.engine.vector_stores.as_retriever(
        library.id,
        filters={"type": "eq", "key": "lang", "value": "de"},
        ranking_options={"score_threshold": 0.1},
        rewrite_query=True,
    )
    [german] = retriever.invoke("reset")
    assert german.metadata["attributes"] == {"lang": "de"}
    [english] = retriever.invoke(
        "reset", filters={"type": "eq", "key": "lang", "value": "en"}
    )
    assert english.page_content == RESET
    with pytest.raises(InvalidRequestError):
        retriever.invoke("reset", k=51)
    with pytest.raises(TypeError, match="colour"):
        retriever.invoke("reset", colour="red")


async def test_every_vector_store_that_an_engine_returns_is_a_retriever(
    library: Library,
) -> None:
    library.add(RESET)
    stores = library.engine.vector_stores
    returned = {
        "create": stores.create(),
        "retrieve": await stores.aretrieve(library.id),
        "update": stores.update(library.id, name="Manual"),
        "wait": stores.wait(library.id),
        "list": {each.id: each for each in stores.list()}[library.id],
        "alist": {each.id: each async for each in stores.alist()}[library.id],
        "follow": [event.data async for event in stores.afollow(library.id)][-1],
    }
    for verb, store in returned.items():
        assert isinstance(store, VectorStore), verb
        retriever = store.as_retriever(k=1, filters=None, tags=["manual"])
        found = [document.page_content for document in await retriever.ainvoke("reset")]
        assert found == ([] if verb == "create" else [RESET]), verb
        assert retriever.tags == ["manual"]


def test_a_vector_store_is_the_same_object_with_an_engine_behind_it(
    library: Library,
) -> None:
    store = library.engine.vector_stores.retrieve(library.id)
    bare = VectorStore(**store.to_dict())
    assert store == bare
    assert store.model_dump_json() == bare.model_dump_json()
    assert repr(store) == repr(bare)
    assert pickle.loads(pickle.dumps(store)) == store


def test_a_vector_store_of_no_engine_says_what_to_do(library: Library) -> None:
    store = library.engine.vector_stores.retrieve(library.id)
    for copy in (
        VectorStore(**store.to_dict()),
        store.model_copy(),
        pickle.loads(pickle.dumps(store)),
    ):
        with pytest.raises(
            ConfigurationError, match=f"vector_stores.as_retriever.'{store.id}'"
        ):
            copy.as_retriever()


def test_a_vector_store_keeps_no_engine_alive() -> None:
    with AssistantsEngine("sqlite:///:memory:") as engine:
        store = engine.vector_stores.create()
    del engine
    gc.collect()
    with pytest.raises(ConfigurationError, match="engine of this object is gone"):
        store.as_retriever()


def test_a_vector_store_is_searched_as_its_tenants(engine: AssistantsEngine) -> None:
    theirs = Library(engine, tenant="another")
    theirs.add(RESET)
    [document] = (
        theirs.place.vector_stores.retrieve(theirs.id).as_retriever().invoke("reset")
    )
    assert document.page_content == RESET
    ours = engine.vector_stores.create().model_copy(update={"id": theirs.id})
    with pytest.raises(ConfigurationError):
        ours.as_retriever()
    with pytest.raises(NotFoundError):
        engine.vector_stores.as_retriever(theirs.id).invoke("reset")
