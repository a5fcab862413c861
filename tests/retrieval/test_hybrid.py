"""Searches by words and vectors together; what the vectors are is told by names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from tests.conftest import EngineFactory
from tests.retrieval.library import Library, Words

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import ConfigurationError, InvalidRequestError
from langchain_assistants.retrieval import vectors
from langchain_assistants.retrieval.embedder import Embedder

RESET = "Press the red button to reset the machine."
RESTART = "Hold the crimson knob: anew and anew the device starts."
WARRANTY = "The warranty ends after two years."
MODEL = Words("reset restart anew", "machine device", "red crimson", "warranty")


def shelf(engine: AssistantsEngine, *texts: str) -> Library:
    library = Library(engine, embeddings=MODEL)
    library.add(*(texts or (RESET, RESTART, WARRANTY)))
    return library


def weights(embedding: float, text: float) -> dict[str, Any]:
    return {"hybrid_search": {"embedding_weight": embedding, "text_weight": text}}


def test_vectors_find_what_has_none_of_the_words(
    engine_factory: EngineFactory,
) -> None:
    library = shelf(engine_factory(embeddings=MODEL))
    assert library.texts("restart") == [RESTART, RESET]
    assert library.texts("restart", ranking_options=weights(0, 1)) == []


def test_a_score_is_the_weighted_mean_of_words_and_vectors(
    engine_factory: EngineFactory,
) -> None:
    library = shelf(engine_factory(embeddings=MODEL))

    def scores(embedding: float, text: float) -> dict[str, float]:
        found = library.search(
            "reset the red machine", ranking_options=weights(embedding, text)
        )
        return {result.content[0].text: result.score for result in found}

    by_words, by_vectors = scores(0, 1), scores(1, 0)
    assert by_vectors[RESET] == pytest.approx(1.0, abs=0.001)
    assert set(by_words) == {RESET}
    default = library.search("reset the red machine")
    assert default[0].score == pytest.approx(
        (by_words[RESET] + by_vectors[RESET]) / 2, abs=0.001
    )
    mixed = scores(0.25, 0.75)
    assert mixed[RESET] == pytest.approx(
        0.75 * by_words[RESET] + 0.25 * by_vectors[RESET], abs=0.001
    )
    assert all(0 < score <= 1 for score in (*mixed.values(), *by_vectors.values()))


def test_both_weights_cannot_be_zero(engine_factory: EngineFactory) -> None:
    library = shelf(engine_factory(embeddings=MODEL))
    with pytest.raises(InvalidRequestError, match="to be greater than 0"):
        library.search("reset", ranking_options=weights(0, 0))


def test_filters_and_changes_reach_the_vectors(engine_factory: EngineFactory) -> None:
    library = shelf(engine_factory(embeddings=MODEL))
    other = library.add("A device.", attributes={"kind": "device"})
    kind = {"type": "eq", "key": "kind", "value": "device"}
    assert library.texts("machine", filters=kind) == ["A device."]
    library.put(other, "A machine, and a device.")
    assert library.texts("machine", filters=kind) == ["A machine, and a device."]
    library.engine.files.delete(other)
    assert library.texts("machine", filters=kind) == []
    assert library.texts("machine") == [RESET, RESTART]


def test_vectors_beyond_the_memory_limit_are_read_for_each_search(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_AT_ONCE", 2)
    kept = shelf(engine_factory(embeddings=MODEL))
    wanted = [result.to_dict() for result in kept.search("restart device")]
    monkeypatch.setattr(vectors.StoreVectors.__init__, "__defaults__", (0,))
    streamed = shelf(engine_factory(embeddings=MODEL))
    found = [result.to_dict() for result in streamed.search("restart device")]
    assert [{**result, "file_id": ""} for result in found] == [
        {**result, "file_id": ""} for result in wanted
    ]


def test_the_least_recent_store_leaves_the_memory() -> None:
    cache = vectors.StoreVectors(limit=3 * 8)
    for number in (1, 2, 3, 2, 4):
        matrix = np.ones((1, 4), np.int16)
        cache._keep(str(number), vectors._Kept(1, np.array([number]), matrix))
    assert list(cache._kept) == ["3", "2", "4"]


def test_only_new_vectors_are_read_after_a_change(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = shelf(engine_factory(embeddings=MODEL))
    library.search("reset")
    read: list[int] = []
    original = vectors._read

    def counting(ids: Any) -> Any:
        read.append(len(ids))
        return (yield from original(ids))

    monkeypatch.setattr(vectors, "_read", counting)
    library.search("restart")
    library.add("A device.")
    assert library.texts("machine")[-1] == RESTART
    assert read == [1]


def test_a_store_without_vectors_is_searched_by_words(
    engine_factory: EngineFactory,
) -> None:
    model = Words("reset")
    engine = engine_factory(embeddings=model)
    library = Library(engine)
    library.add(RESET)
    assert library.texts("reset") == [RESET]
    assert model.asked == []


def test_an_engine_without_embeddings_searches_vectors_stores_by_words(
    engine_factory: EngineFactory,
) -> None:
    library = shelf(engine_factory())
    assert library.texts("restart") == []
    assert library.texts("reset") == [RESET]


def test_a_blank_query_is_never_embedded(engine_factory: EngineFactory) -> None:
    model = Words("reset")
    library = Library(engine_factory(embeddings=model), embeddings=model)
    library.add(RESET)
    assert library.texts(" ") == []
    assert library.texts([" ", "reset"]) == [RESET]
    assert model.asked == ["reset"]


def test_vectors_of_another_model_are_refused(engine_factory: EngineFactory) -> None:
    engine = engine_factory(embeddings=MODEL)
    library = shelf(engine)
    other = Library(engine, embeddings=Words("reset", "b", "c", "d", model="other"))
    other.id = library.id
    with pytest.raises(InvalidRequestError, match="cannot be compared"):
        other.add("reset")
    assert library.texts("restart") == [RESTART, RESET]

    again = engine_factory.reopen(embeddings=Words("reset", model="other"))
    with pytest.raises(InvalidRequestError) as error:
        again.vector_stores.search(library.id, query="reset")
    assert "Words:words" in str(error.value)
    assert "Words:other" in str(error.value)
    assert library.id in str(error.value)


def test_vectors_of_another_length_are_refused(engine_factory: EngineFactory) -> None:
    library = shelf(engine_factory(embeddings=MODEL))
    again = engine_factory.reopen(embeddings=Words("reset"))
    with pytest.raises(InvalidRequestError, match="4 dimensions"):
        again.vector_stores.search(library.id, query="reset")
    shorter = Library(library.engine, embeddings=Words("reset"))
    shorter.id = library.id
    with pytest.raises(InvalidRequestError, match="cannot be compared"):
        shorter.add("reset")


class ByLength(BaseDocumentCompressor):
    """A reranker that likes short texts, and leaves out what is long."""

    scored: bool = True
    seen: list[int]

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,
    ) -> list[Document]:
        self.seen.append(len(documents))
        kept = sorted(documents, key=lambda document: len(document.page_content))
        for place, document in enumerate(kept):
            if self.scored:
                document.metadata["relevance_score"] = 1 - place / 100
        return kept[:-1]


def test_a_reranker_orders_the_best_fifty(engine_factory: EngineFactory) -> None:
    reranker = ByLength(seen=[])
    library = Library(engine_factory(reranker=reranker))
    library.add(*(f"tide {'high ' * number}" for number in range(60)))
    options = {"score_threshold": 0.98}
    found = library.search("high tide", max_num_results=2, ranking_options=options)
    assert reranker.seen == [50]
    assert [result.score for result in found] == [1.0, 0.99]
    lengths = [len(result.content[0].text) for result in found]
    assert lengths == sorted(lengths)
    plain = library.search("high tide", ranking_options={"ranker": "none"})
    assert reranker.seen == [50]
    assert [result.score for result in plain] != [result.score for result in found]


def test_a_reranker_without_scores_only_orders(engine_factory: EngineFactory) -> None:
    library = Library(engine_factory(reranker=ByLength(scored=False, seen=[])))
    library.add("tide", "tide of the sea in spring", "tide " * 9)
    assert library.texts("tide") == ["tide", "tide of the sea in spring"]


class Broken(BaseDocumentCompressor):
    """A reranker that cannot be reached."""

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,
    ) -> list[Document]:
        msg = "no connection"
        raise ConnectionError(msg)


def test_a_reranker_that_fails_leaves_the_order(
    engine_factory: EngineFactory, caplog: pytest.LogCaptureFixture
) -> None:
    library = Library(engine_factory(reranker=Broken()))
    library.add(RESET, WARRANTY)
    assert library.texts("reset") == [RESET]
    assert "reranker_failed" in caplog.messages


def test_the_name_of_a_model_tells_it_from_others() -> None:
    assert Embedder(MODEL).name == "Words:words"
    fake = DeterministicFakeEmbedding(size=3)
    assert Embedder(fake).name == "DeterministicFakeEmbedding"


@pytest.mark.parametrize("embeddings", ["no-such-provider:x", "nothing", 3])
def test_embeddings_that_cannot_be_made_are_told(
    embeddings: Any, engine_factory: EngineFactory
) -> None:
    with pytest.raises(ConfigurationError, match=str(embeddings)):
        engine_factory(embeddings=embeddings)


async def test_texts_are_packed_as_they_are_compared() -> None:
    texts = [f"reset {'machine ' * number}" for number in range(130)]
    packed = await Embedder(MODEL).texts(texts)
    assert len(packed) == 130
    assert {len(blob) for blob in packed} == {8}
    query = await Embedder(MODEL).query("reset")
    first = np.frombuffer(packed[0], "<i2").astype(np.float32) / 32_767
    assert float(first @ query) == pytest.approx(1.0, abs=0.001)
