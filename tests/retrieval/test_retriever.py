"""Vector stores as LangChain's retriever, beyond the standard tests."""

from __future__ import annotations

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from tests.retrieval.library import Library

from langchain_assistants.errors import InvalidRequestError

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
