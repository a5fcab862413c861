"""Which thread of the engine a graph speaks on: alone, and among other agents."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from tests.conftest import EngineFactory
from tests.langchain.conftest import Ask
from tests.langchain.graph_stage import (
    HERE,
    conversation,
    echo,
    graph_of,
    keys,
    on,
    say,
    thread_id_of,
)
from tests.langchain.places import Bind
from tests.stored import rows

from langchain_assistants import (
    AssistantsEngine,
)
from langchain_assistants.errors import (
    InvalidRequestError,
    NotFoundError,
)
from langchain_assistants.testing import ScriptedChatModel


def threads(engine: AssistantsEngine) -> list[str]:
    """The ids of all threads, oldest first."""
    return [row["id"] for row in rows(engine, "SELECT id FROM threads ORDER BY seq")]


async def test_a_thread_id_becomes_the_threads_key_and_leads_back(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    engine = engine_factory(echo())
    graph = graph_of(engine)
    first = await ask(graph, say("One"), on("customer:42"))
    second = await ask(graph, say("Two"), on("customer:42"))
    assert first["thread_id"] == second["thread_id"]
    assert engine.threads.retrieve(first["thread_id"]).key == "customer:42"
    assert len(conversation(engine, "customer:42")) == 4
    known = engine.threads.get_or_create(key="customer:42")
    assert known.id == first["thread_id"]


async def test_the_thread_of_a_key_that_exists_is_used(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    engine = engine_factory(echo())
    made = engine.threads.create(
        key="mine", messages=[{"role": "user", "content": "A"}]
    )
    state = await ask(graph_of(engine), say("B"), HERE)
    assert state["thread_id"] == made.id
    assert [text for _, text in conversation(engine, made.id)][:2] == ["A", "B"]


async def test_an_id_of_a_thread_is_used_as_it_is(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    engine = engine_factory(echo())
    made = engine.threads.create()
    state = await ask(graph_of(engine), say("Hi"), on(made.id))
    assert state["thread_id"] == made.id
    assert engine.threads.retrieve(made.id).key is None


async def test_an_id_of_a_thread_that_does_not_exist_is_not_found(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    engine = engine_factory(echo())
    with pytest.raises(NotFoundError, match="thread_gone"):
        await ask(graph_of(engine), say("Hi"), on("thread_gone"))
    assert threads(engine) == []


async def test_a_thread_id_in_the_state_wins(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    engine = engine_factory(echo())
    made = engine.threads.create()
    graph = graph_of(engine, checkpointer=InMemorySaver(), bind=bind)
    state = await ask(graph, say("Hi", thread_id=made.id), HERE)
    assert state["thread_id"] == made.id
    assert keys(engine) == {None}
    # The state remembers it.
    state = await ask(graph, say("Again"), HERE)
    assert state["thread_id"] == made.id
    assert len(conversation(engine, made.id)) == 4


async def test_a_key_in_the_state_wins_too(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    engine = engine_factory(echo())
    state = await ask(graph_of(engine), say("Hi", thread_id="yours"), HERE)
    assert keys(engine) == {"yours"}
    assert state["thread_id"] == thread_id_of(engine, "yours")


async def test_without_a_thread_id_each_invocation_has_a_thread(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    engine = engine_factory(echo())
    graph = graph_of(engine)
    found = [(await ask(graph, say("Hi")))["thread_id"] for _ in range(2)]
    assert len(set(found)) == 2
    assert keys(engine) == {None}


def test_a_thread_is_found_again_after_a_restart(
    engine_factory: EngineFactory,
) -> None:
    before = engine_factory(["One."])
    state = graph_of(before).invoke(say("First"), HERE)
    before.close()
    after = engine_factory.reopen(ScriptedChatModel(["Two."]))
    again = graph_of(after).invoke(say("Second"), HERE)
    assert again["thread_id"] == state["thread_id"]
    assert [text for _, text in conversation(after, "mine")] == [
        "First",
        "One.",
        "Second",
        "Two.",
    ]


@pytest.mark.parametrize("odd", [" ", "k" * 512, "a/b:c", "größe", 42])
async def test_any_text_is_a_key(engine_factory: EngineFactory, odd: Any) -> None:
    engine = engine_factory(echo())
    await graph_of(engine).ainvoke(say("Hi"), on(odd))
    assert keys(engine) == {str(odd)}


@pytest.mark.parametrize("odd", ["", "k" * 513])
async def test_a_thread_id_that_can_be_no_key_is_refused(
    engine_factory: EngineFactory, odd: str
) -> None:
    engine = engine_factory(echo())
    with pytest.raises(InvalidRequestError, match="key"):
        await graph_of(engine).ainvoke(say("Hi"), on(odd))
    assert threads(engine) == []
