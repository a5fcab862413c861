"""LangChain's LLM cache under an assistant's runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from tests.conftest import EngineFactory
from tests.dialogue import Dialogue, ended, heard_text, names, open_calls

from langchain_assistants.testing import Reply, ScriptedChatModel, call


@pytest.fixture(autouse=True)
def cache() -> Iterator[InMemoryCache]:
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_the_same_question_on_another_thread_is_answered_from_the_cache(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(["Hello there."]) as model:
        engine = engine_factory(model)
        first, second = Dialogue(engine), Dialogue(engine)
        first.ask("Hi")
        second.ask("Hi")
    assert len(model.calls) == 1
    assert first.texts == second.texts == ["Hi", "Hello there."]
    assert first.messages[-1].id != second.messages[-1].id


def test_a_cached_answer_is_one_delta(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel(["Hello there, all of you."]) as model:
        engine = engine_factory(model)
        Dialogue(engine).ask("Hi")
        talk = Dialogue(engine)
        events = talk.hear("Hi")
    assert ended(events).status == "completed"
    assert heard_text(events) == talk.texts[-1] == "Hello there, all of you."
    assert names(events).count("thread.message.delta") == 1


def test_a_streamed_answer_fills_the_cache(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel(["Hello there."]) as model:
        engine = engine_factory(model)
        events = Dialogue(engine).hear("Hi")
        talk = Dialogue(engine)
        talk.ask("Hi")
    assert heard_text(events) == talk.texts[-1] == "Hello there."


def test_cached_tool_calls_are_executed_anew(engine_factory: EngineFactory) -> None:
    executed: list[int] = []

    def count(number: int) -> int:
        """Count."""
        executed.append(number)
        return number

    counts = Reply(tool_calls=[call("count", {"number": 3}, id="call_count")])
    # LangChain notes in a cached answer that it cost nothing: the prompt that has it
    # is another one, and the model is asked what it makes of the output.
    with ScriptedChatModel([counts, "3", "Three."]) as model:
        engine = engine_factory(model, tools=[count])
        first, second = (Dialogue(engine, executed=[count]) for _ in range(2))
        first.ask("Count")
        events = second.hear("Count")
    run = ended(events)
    assert executed == [3, 3]
    assert second.outputs(run) == ["3"]
    assert second.texts == ["Count", "Three."]
    assert names(events).count("thread.run.step.delta") == 2


def test_a_cached_call_of_the_callers_function_on_one_thread(
    engine_factory: EngineFactory,
) -> None:
    adds = Reply(tool_calls=[call("add", {"a": 1, "b": 2}, id="call_add")])
    with ScriptedChatModel([adds, "3", "Three."]) as model:
        talk = Dialogue(engine_factory(model), functions=[add])
        strategy = {"type": "last_messages", "last_messages": 1}
        for _ in range(2):
            waiting = talk.ask("1 + 2?", truncation_strategy=strategy)
            assert open_calls(waiting) == ["call_add"]
            assert talk.submit(waiting, {"call_add": "3"}).status == "completed"
    assert talk.texts == ["1 + 2?", "3", "1 + 2?", "Three."]


def test_other_settings_are_another_question(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel(["cold", "hot"]) as model:
        engine = engine_factory(model)
        for temperature, answer in ((0.0, "cold"), (1.0, "hot")):
            talk = Dialogue(engine)
            talk.ask("Hi", temperature=temperature)
            assert talk.texts[-1] == answer
