"""Searches by words: what is found, in which order, with which scores."""

# ruff: noqa: RUF001 -- other scripts have signs of their own
from __future__ import annotations

import math
import socket
from typing import Any, NoReturn

import pytest
from tests.conftest import Clock, EngineFactory
from tests.retrieval.library import Library
from tests.stored import rows

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import InvalidRequestError, NotFoundError
from langchain_assistants.storage.database import Transaction

RESET = "Press the red button for ten seconds to reset the machine."
WARRANTY = "The warranty ends two years after the purchase."
CLEANING = "Clean the filter of the machine with warm water every week."
MANUAL = (RESET, WARRANTY, CLEANING)


def test_a_question_in_a_sentence_finds_the_answer(library: Library) -> None:
    library.add(*MANUAL, filename="manual.pdf", attributes={"lang": "en", "year": 2026})
    [found, *others] = library.search("How can I reset my machine, please?")
    assert found.to_dict() == {
        "file_id": found.file_id,
        "filename": "manual.pdf",
        "score": found.score,
        "attributes": {"lang": "en", "year": 2026},
        "content": [{"type": "text", "text": RESET}],
        "chunk_index": 0,
        "page": 1,
        "start": 0,
        "end": len(RESET),
    }
    assert [other.chunk_index for other in others] == [2]
    assert others[0].score < found.score


def test_the_openai_client_searches(library: Library) -> None:
    file_id = library.add(*MANUAL)
    client = library.engine.openai()
    page = client.vector_stores.search(library.id, query="When does the warranty end?")
    [result] = page.data
    assert (result.file_id, result.content[0].text) == (file_id, WARRANTY)
    assert result.chunk_index == 1
    client.close()


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "'",
        "reset AND",
        "NOT reset",
        "reset NEAR/2 machine",
        "NEAR(reset machine)",
        'text: "reset',
        "reset*",
        "^reset",
        "{reset} (machine",
        "-reset + machine;",
        "reset'); DROP TABLE chunks; --",
        "%s :p_terms ? reset",
    ],
)
def test_operators_and_quotes_in_a_query_are_text(library: Library, query: str) -> None:
    library.add(*MANUAL)
    found = library.texts(query)
    assert found[:1] == ([RESET] if "reset" in query else [])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", []),
        (" ?!", []),
        ("nothing of this kind", []),
        ("resetting machines", [RESET, CLEANING]),
        ("RÉSET", [RESET]),
        ("the", [RESET, CLEANING, WARRANTY]),
    ],
)
def test_words_are_found_by_their_stems(
    library: Library, query: str, found: list[str]
) -> None:
    library.add(*MANUAL)
    assert sorted(library.texts(query)) == sorted(found)


@pytest.mark.parametrize("queries", [["reset", "warranty"], ["warranty", "reset"]])
def test_several_queries_find_what_answers_any(
    library: Library, queries: list[str]
) -> None:
    library.add(*MANUAL)
    alone = {query: library.search(query)[0].score for query in queries}
    found = library.search(queries)
    assert {result.content[0].text for result in found} == {RESET, WARRANTY}
    assert [result.score for result in found] == sorted(alone.values(), reverse=True)


def test_a_rewritten_query_keeps_the_telling_words(library: Library) -> None:
    library.add(*MANUAL)
    page = library.engine.vector_stores.search(
        library.id, query="How do I reset it?", rewrite_query=True
    )
    assert page.search_query == ["reset"]
    assert page.data[0].content[0].text == RESET


def test_scores_are_parts_of_the_query_that_are_answered(library: Library) -> None:
    library.add("apple", "apple pear", "apple pear plum", "apple " * 200)
    scores = {r.content[0].text: r.score for r in library.search("apple pear plum")}
    assert all(0 < score <= 1 for score in scores.values())
    assert scores["apple"] < scores["apple pear"] < scores["apple pear plum"]
    [nearly_all, *_] = library.search("apple")
    assert nearly_all.content[0].text == "apple " * 200
    assert 0.5 < nearly_all.score <= 1
    # What is asked besides, and is not there, takes away from the answer.
    worse = library.search("apple pear plum quince")[0].score
    assert worse < scores["apple pear plum"]


@pytest.mark.parametrize("texts", [1, 3, 30, 300])
def test_a_score_means_the_same_in_a_small_store_and_a_large(
    engine: AssistantsEngine, texts: int
) -> None:
    library = Library(engine)
    others = [f"sentence number {number} of its kind" for number in range(texts - 1)]
    library.add("the quick brown fox", *others)
    found = library.search("quick brown bear")
    assert found[0].content[0].text == "the quick brown fox"
    assert found[0].score == pytest.approx(0.33, abs=0.08)


def test_two_stores_never_influence_each_others_scores(
    engine: AssistantsEngine,
) -> None:
    first, second = Library(engine), Library(engine)
    first.add(*MANUAL)
    before = [result.to_dict() for result in first.search("reset the machine")]
    second.add(*(f"machine {number} reset" for number in range(200)))
    assert [result.to_dict() for result in first.search("reset the machine")] == before
    engine.vector_stores.delete(second.id)
    assert [result.to_dict() for result in first.search("reset the machine")] == before


def test_several_stores_are_searched_together(engine: AssistantsEngine) -> None:
    first, second = Library(engine), Library(engine)
    first.add(RESET)
    second.add(CLEANING)
    both = engine.vector_stores.search([first.id, second.id], query="reset machine")
    assert [result.content[0].text for result in both.data] == [RESET, CLEANING]
    alone = first.search("reset machine") + second.search("reset machine")
    assert [result.score for result in both.data] == [r.score for r in alone]


def test_the_best_results_come_first_and_no_more_than_asked(library: Library) -> None:
    library.add(*(f"{'tide ' * number} and sea" for number in range(1, 31)))
    found = library.search("tide", max_num_results=7)
    scores = [result.score for result in found]
    assert scores == sorted(scores, reverse=True)
    assert len(found) == 7
    assert len(library.search("tide")) == 10
    assert len(library.search("tide", max_num_results=50)) == 30


def test_the_threshold_comes_before_the_number_of_results(library: Library) -> None:
    library.add(*MANUAL)
    scores = [result.score for result in library.search("reset the machine")]
    for least, count in ((0.0, 2), (scores[1], 2), (scores[0], 1), (1.0, 0)):
        options = {"score_threshold": least}
        found = library.search(
            "reset the machine", ranking_options=options, max_num_results=2
        )
        assert [result.score for result in found] == scores[:count]


def test_a_query_of_common_words_looks_at_the_rarest_first(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add(*("common words all over" for _ in range(50)), "common but rare")
    complete = library.texts("common rare")
    assert len(complete) == 10
    monkeypatch.setattr("langchain_assistants.retrieval.full_text.MOST_POSTINGS", 10)
    assert library.texts("common rare") == ["common but rare"]
    # The rarest of all is looked at in any case.
    assert len(library.texts("common")) == 10


def test_a_file_is_found_by_its_newest_text_only(library: Library) -> None:
    file_id = library.add(*MANUAL)
    library.put(file_id, "Something else about tides.")
    assert library.texts("reset machine warranty") == []
    assert library.texts("tide") == ["Something else about tides."]
    library.put(file_id)
    assert library.texts("tide") == []


@pytest.mark.parametrize("deleted", ["from the store", "altogether"])
def test_a_deleted_file_is_not_found(library: Library, deleted: str) -> None:
    file_id = library.add(*MANUAL)
    kept = library.add("A machine that stays.")
    alone = Library(library.engine)
    alone.add("A machine that stays.")
    if deleted == "altogether":
        library.engine.files.delete(file_id)
    else:
        library.engine.vector_stores.files.delete(library.id, file_id)
    [found] = library.search("reset the machine")
    assert found.file_id == kept
    assert found.score == alone.search("reset the machine")[0].score
    assert left(library) == (1, 0)


def test_nothing_is_left_of_a_deleted_store(library: Library) -> None:
    library.add(*MANUAL)
    [store] = rows(
        library.engine, "SELECT * FROM vector_stores WHERE id = ?", library.id
    )
    table = f"vs_fts_{store['fts_number']}"
    named = "SELECT name FROM sqlite_master WHERE name LIKE ?"
    assert rows(library.engine, named, f"{table}%")
    library.engine.vector_stores.delete(library.id)
    assert not rows(library.engine, named, f"{table}%")
    assert left(library) == (0, 0)
    with pytest.raises(NotFoundError):
        library.search("reset")


def left(library: Library) -> tuple[int, int]:
    """Count the chunks of a store, and vectors without a chunk."""
    [chunks] = rows(
        library.engine,
        "SELECT count(*) AS n FROM chunks WHERE vector_store_id = ?",
        library.id,
    )
    [vectors] = rows(
        library.engine,
        "SELECT count(*) AS n FROM chunk_vectors "
        "WHERE chunk_id NOT IN (SELECT id FROM chunks)",
    )
    return chunks["n"], vectors["n"]


def test_an_indexing_that_fails_leaves_the_file_as_it_was(library: Library) -> None:
    file_id = library.add(*MANUAL)
    before = [result.to_dict() for result in library.search("reset machine")]

    def failing() -> Transaction[None]:
        yield from library.replaced(file_id, ["Quite another text."])
        msg = "the process is killed here"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="killed"):
        library.write(failing())
    assert [result.to_dict() for result in library.search("reset machine")] == before
    assert library.texts("quite another") == []


def test_the_first_indexing_of_a_store_may_fail_and_be_repeated(
    library: Library,
) -> None:
    file_id = library.engine.files.create(file=b"x", purpose="assistants").id

    def failing() -> Transaction[None]:
        yield from library.replaced(file_id, MANUAL)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        library.write(failing())
    assert library.texts("reset") == []
    library.attach(file_id, MANUAL)
    assert library.texts("reset") == [RESET]


def test_an_expired_store_refuses_to_be_searched(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    library = Library(engine_factory(clock=clock))
    library.add(*MANUAL)
    policy = {"anchor": "last_active_at", "days": 1}
    library.engine.vector_stores.update(library.id, expires_after=policy)
    assert library.texts("reset") == [RESET]
    clock.advance(86_400)
    with pytest.raises(InvalidRequestError, match="has expired"):
        library.search("reset")


def test_an_expired_file_is_not_found(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    library = Library(engine_factory(clock=clock))
    policy = {"anchor": "created_at", "seconds": 3_600}
    file = library.engine.files.create(
        file=b"x", purpose="assistants", expires_after=policy
    )
    library.attach(file.id, [RESET])
    assert library.texts("reset") == [RESET]
    clock.advance(3_601)
    assert library.texts("reset") == []


def test_another_tenants_store_is_not_there(engine: AssistantsEngine) -> None:
    theirs = Library(engine, tenant="another")
    theirs.add(*MANUAL)
    assert theirs.texts("reset") == [RESET]
    for ids in (theirs.id, [Library(engine).id, theirs.id]):
        with pytest.raises(NotFoundError, match=theirs.id):
            engine.vector_stores.search(ids, query="reset")


def test_no_socket_is_opened(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> NoReturn:
        msg = "somebody wanted the network"
        raise AssertionError(msg)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    library.add(*MANUAL)
    assert library.texts("reset", rewrite_query=True) == [RESET]


def test_a_database_in_memory_is_searched_too() -> None:
    with AssistantsEngine("sqlite:///:memory:") as engine:
        library = Library(engine)
        library.add(*MANUAL)
        assert library.texts("reset") == [RESET]


@pytest.mark.parametrize(
    ("language", "least"), [("zh", 0.93), ("hi", 0.92), ("th", 0.90)]
)
def test_scripts_without_spaces_or_with_marks_are_searched(
    library: Library, language: str, least: float
) -> None:
    """The floors are those of `benchmarks/retrieval_quality.py`, on texts of ours."""
    pairs = SENTENCES[language]
    library.add(*(text for text, _ in pairs))
    gain = 0.0
    for text, question in pairs:
        found = library.texts(question)
        gain += 1 / math.log2(found.index(text) + 2) if text in found else 0.0
    assert gain / len(pairs) >= least


SENTENCES = {
    "zh": [
        ("按住红色按钮十秒钟即可重置机器。", "怎样重置这台机器？"),
        ("保修期在购买两年后结束。", "保修期什么时候结束？"),
        ("每周用温水清洗过滤器。", "过滤器应该用什么清洗？"),
        ("打印机需要安装新的墨盒。", "打印机要换墨盒吗？"),
        ("月球的引力引起海洋的潮汐。", "什么引起潮汐？"),
        ("水在一百度时沸腾。", "水在多少度沸腾？"),
    ],
    "hi": [
        ("मशीन को रीसेट करने के लिए लाल बटन दस सेकंड तक दबाएँ।", "मशीन को रीसेट कैसे करें?"),
        ("वारंटी खरीद के दो साल बाद समाप्त होती है।", "वारंटी कब समाप्त होती है?"),
        ("फ़िल्टर को हर हफ्ते गुनगुने पानी से साफ करें।", "फ़िल्टर को किससे साफ करें?"),
        ("प्रिंटर में नई स्याही लगानी पड़ती है।", "प्रिंटर में स्याही कैसे लगाएँ?"),
        ("चंद्रमा का गुरुत्वाकर्षण समुद्र में ज्वार लाता है।", "समुद्र में ज्वार क्यों आता है?"),
        ("पानी सौ डिग्री पर उबलता है।", "पानी कितने डिग्री पर उबलता है?"),
    ],
    "th": [
        ("กดปุ่มสีแดงค้างไว้สิบวินาทีเพื่อรีเซ็ตเครื่อง", "รีเซ็ตเครื่องอย่างไร"),
        ("การรับประกันสิ้นสุดสองปีหลังจากวันที่ซื้อ", "การรับประกันสิ้นสุดเมื่อไร"),
        ("ล้างแผ่นกรองด้วยน้ำอุ่นทุกสัปดาห์", "ล้างแผ่นกรองด้วยอะไร"),
        ("เครื่องพิมพ์ต้องใส่ตลับหมึกใหม่", "เครื่องพิมพ์ใช้ตลับหมึกอะไร"),
        ("แรงดึงดูดของดวงจันทร์ทำให้เกิดน้ำขึ้นน้ำลง", "น้ำขึ้นน้ำลงเกิดจากอะไร"),
        ("น้ำเดือดที่อุณหภูมิหนึ่งร้อยองศา", "น้ำเดือดที่กี่องศา"),
    ],
}
