"""The hosted file search in runs: stores, results, citations."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.acceptance.engine_program import look_again
from tests.conftest import EngineFactory
from tests.conversations import data_of, names, thread_with, user, wait

from langchain_assistants import AssistantsEngine
from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.types import Run

HOSTED = {"type": "file_search"}
CATS = "Cats purr when they are content. A purr is a low hum."
DOGS = "Dogs bark at night. The bark of a beagle carries far."


def searches(*queries: str) -> Reply:
    return Reply(tool_calls=[call("file_search", {"query": q}) for q in queries])


class Library:
    """An engine whose model searches in stores of small files."""

    def __init__(
        self,
        engine_factory: EngineFactory,
        *script: Any,
        clock: Any = time.time,
        **tool: Any,
    ) -> None:
        self.model = ScriptedChatModel(list(script))
        self.engine: AssistantsEngine = engine_factory(self.model, clock=clock)
        self.store_id = self.store(cats=CATS, dogs=DOGS)
        self.assistant = self.engine.assistants.create(
            model="m",
            tools=[{**HOSTED, **tool}],
            tool_resources={"file_search": {"vector_store_ids": [self.store_id]}},
        )
        self.thread = thread_with(self.engine)

    def store(self, **files: str) -> str:
        stores = self.engine.vector_stores
        ids = [
            self.engine.files.create(
                file=(f"{name}.md", text.encode()), purpose="assistants"
            ).id
            for name, text in files.items()
        ]
        store = stores.create(file_ids=ids)
        while stores.retrieve(store.id).file_counts.in_progress:
            look_again()
        assert stores.retrieve(store.id).file_counts.completed == len(ids)
        return store.id

    def ask(self, text: str = "Go") -> Run:
        self.engine.messages.create(self.thread.id, **user(text))
        run = self.engine.runs.create(self.thread.id, assistant_id=self.assistant.id)
        return wait(self.engine, run)

    def call_of(self, run: Run) -> Any:
        steps = self.engine.steps.list(run.id, order="desc")
        found = next(s for s in steps if s.type == "tool_calls")
        return found.step_details.tool_calls[-1].file_search

    def answer(self) -> Any:
        return next(iter(self.engine.messages.list(self.thread.id)))


def test_results_are_in_the_step_and_cited_in_the_answer(
    engine_factory: EngineFactory,
) -> None:
    library = Library(
        engine_factory,
        searches("Why do cats purr?"),
        "They are content【0:0†cats.md】.",
    )
    run = library.ask()
    assert run.status == "completed"
    held = library.call_of(run)
    assert held.query == "Why do cats purr?"
    assert held.ranking_options.ranker == "default_2024_08_21"
    [result] = held.results
    assert (result.file_name, result.marker, result.page) == ("cats.md", "0:0", None)
    assert result.content[0].text == CATS
    assert 0 < result.score <= 1
    text = library.answer().content[0].text
    [mark] = text.annotations
    assert text.value[mark.start_index : mark.end_index] == "【0:0†cats.md】"
    assert mark.file_citation.file_id == result.file_id
    assert mark.file_citation.quote == CATS
    seen = str(library.model.calls[1].messages[-1].content)
    assert seen == f"【0:0†cats.md】\n{CATS}"


def test_a_citation_is_a_delta_of_its_own(engine_factory: EngineFactory) -> None:
    library = Library(
        engine_factory, searches("purr"), "Content 【0:0†source】 indeed."
    )
    library.engine.messages.create(library.thread.id, **user("Go"))
    events = list(
        library.engine.runs.stream(library.thread.id, assistant_id=library.assistant.id)
    )
    [begun] = [
        e.data.model_dump(mode="json")["delta"]["step_details"]["tool_calls"][0]
        for e in events
        if e.event == "thread.run.step.delta"
    ]
    assert (begun["type"], begun["file_search"]) == ("file_search", {})
    parts = [
        e.data.delta.content[0].text
        for e in events
        if e.event == "thread.message.delta"
    ]
    [cited] = [part for part in parts if part.annotations]
    assert cited.value == "【0:0†source】"
    assert cited.annotations[0]["index"] == 0
    assert (
        "".join(part.value for part in parts)
        == data_of(events, "message.completed").content[0].text.value
    )
    assert names(events)[3:7] == [
        "run.step.created",
        "run.step.in_progress",
        "run.step.delta",
        "run.step.completed",
    ]


def test_the_thread_has_a_store_of_its_own(engine_factory: EngineFactory) -> None:
    library = Library(engine_factory, searches("owls at night"), "Hoot.")
    own = library.store(owls="Owls hoot at night.")
    library.thread = library.engine.threads.create(
        tool_resources={"file_search": {"vector_store_ids": [own]}}
    )
    results = library.call_of(library.ask()).results
    assert {result.file_name for result in results} == {"owls.md", "dogs.md"}


def test_markers_of_later_searches_are_others(engine_factory: EngineFactory) -> None:
    library = Library(
        engine_factory,
        searches("purr", "bark"),
        "Both.",
        searches("purr"),
        "Cats【2:0†cats.md】, dogs【1:0†dogs.md】 and 【5:5†nobody】.",
    )
    library.ask()
    later = library.ask()
    assert [r.marker for r in library.call_of(later).results] == ["2:0"]
    marks = library.answer().content[0].text.annotations
    assert [mark.text for mark in marks] == ["【2:0†cats.md】", "【1:0†dogs.md】"]


def test_texts_of_earlier_searches_are_not_shown_again(
    engine_factory: EngineFactory,
) -> None:
    library = Library(engine_factory, searches("purr"), "ok", "Fine.")
    library.ask()
    library.ask()
    shown = [str(m.content) for m in library.model.calls[2].messages]
    assert "【0:0†cats.md】" in shown
    assert not any(CATS in text for text in shown)


def test_options_limit_what_is_found(engine_factory: EngineFactory) -> None:
    ranking = {"ranker": "auto", "score_threshold": 0.99}
    library = Library(
        engine_factory,
        searches("cats dogs purr bark"),
        "ok",
        searches("cats dogs purr bark"),
        "ok",
        file_search={"max_num_results": 1},
    )
    assert len(library.call_of(library.ask()).results) == 1
    library.assistant = library.engine.assistants.update(
        library.assistant.id,
        tools=[{**HOSTED, "file_search": {"ranking_options": ranking}}],
    )
    held = library.call_of(library.ask())
    assert held.results == []
    assert held.ranking_options.score_threshold == 0.99
    assert "Nothing was found" in str(library.model.calls[-1].messages[-1].content)


def test_a_search_without_a_store_finds_nothing(engine_factory: EngineFactory) -> None:
    library = Library(engine_factory, searches("purr"), "ok")
    library.assistant = library.engine.assistants.create(model="m", tools=[HOSTED])
    run = library.ask()
    assert run.status == "completed"
    assert library.call_of(run).results == []


def test_a_run_with_an_expired_or_deleted_store_fails(
    engine_factory: EngineFactory, clock: Any
) -> None:
    library = Library(engine_factory, "never", "never", clock=clock)
    expiring = library.engine.vector_stores.create(
        expires_after={"anchor": "last_active_at", "days": 1}
    )
    library.assistant = library.engine.assistants.create(
        model="m",
        tools=[HOSTED],
        tool_resources={"file_search": {"vector_store_ids": [expiring.id]}},
    )
    clock.advance(2 * 86_400)
    error = library.ask().last_error
    assert error is not None
    assert f"Vector store '{expiring.id}' has expired" in error.message
    library.engine.vector_stores.delete(expiring.id)
    error = library.ask().last_error
    assert error is not None
    assert expiring.id in error.message


@pytest.mark.parametrize("arguments", [{}, {"query": ["a"]}])
def test_a_call_without_a_query_is_answered_with_an_error(
    engine_factory: EngineFactory, arguments: dict[str, Any]
) -> None:
    asks = Reply(tool_calls=[call("file_search", arguments)])
    library = Library(engine_factory, asks, "Sorry.")
    run = library.ask()
    assert run.status == "completed"
    seen = str(library.model.calls[1].messages[-1].content)
    assert seen == "Error: TypeError: 'query' has to be a text."
