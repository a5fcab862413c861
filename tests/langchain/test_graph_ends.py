"""How the runs of an assistant graph end badly, and that its thread goes on."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from tests.conftest import Clock, EngineFactory
from tests.langchain.arithmetic import add, calls
from tests.langchain.conftest import Ask
from tests.langchain.graph_stage import (
    assert_at_rest,
    conversation,
    echo,
    graph_of,
    last,
    on,
    outputs,
    say,
    statuses,
)
from tests.langchain.places import Bind
from tests.stored import rows

from langchain_assistants import (
    AssistantsEngine,
)
from langchain_assistants.errors import (
    RunCancelled,
    RunExpired,
    RunFailed,
    RunIncomplete,
)
from langchain_assistants.testing import Reply, call


async def run_out(graph: Any, ask: Ask, error: type[Exception]) -> Any:
    with pytest.raises(error) as raised:
        await ask(graph, say("First"), on("mine"))
    return raised.value


async def test_a_failed_run_raises_and_the_thread_goes_on(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    engine = engine_factory([ValueError("boom"), "Better."])
    graph = graph_of(engine, checkpointer=InMemorySaver(), bind=bind)
    error = await run_out(graph, ask, RunFailed)
    assert error.run.status == "failed"
    state = await ask(graph, say("Again"), on("mine"))
    assert last(state) == "Better."
    assert [t for _, t in conversation(engine, "mine")] == ["First", "Again", "Better."]


async def test_a_failed_run_is_tried_again_without_new_input(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    engine = engine_factory([ValueError("boom"), "Better."])
    graph = graph_of(engine, checkpointer=InMemorySaver(), bind=bind)
    await run_out(graph, ask, RunFailed)
    state = await ask(graph, None, on("mine"))
    assert last(state) == "Better."
    assert [t for _, t in conversation(engine, "mine")] == ["First", "Better."]
    assert statuses(engine) == ["failed", "completed"]


async def test_an_incomplete_run_raises_and_the_thread_goes_on(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    engine = engine_factory([Reply("So mu", finish_reason="length"), "Better."])
    graph = graph_of(engine, checkpointer=InMemorySaver())
    error = await run_out(graph, ask, RunIncomplete)
    assert error.run.incomplete_details.reason == "max_completion_tokens"
    assert last(await ask(graph, say("Shorter"), on("mine"))) == "Better."


async def test_a_run_that_expires_while_tools_run_raises_and_the_thread_goes_on(
    engine_factory: EngineFactory, ask: Ask, clock: Clock
) -> None:
    def wait() -> str:
        """Wait for long."""
        clock.advance(601)
        return "late"

    engine = engine_factory([Reply(tool_calls=[call("wait")]), "Fine."], clock=clock)
    graph = graph_of(engine, [wait], checkpointer=InMemorySaver())
    error = await run_out(graph, ask, RunExpired)
    assert error.run.status == "expired"
    assert last(await ask(graph, say("Again"), on("mine"))) == "Fine."
    assert_at_rest(engine)


async def test_a_run_that_is_cancelled_while_tools_run_raises_and_the_thread_goes_on(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    engines: list[AssistantsEngine] = []

    def stop() -> str:
        """Stop everything."""
        (run,) = rows(engines[0], "SELECT id FROM runs")
        engines[0].runs.cancel(run["id"])
        return "stopped"

    engine = engine_factory([Reply(tool_calls=[call("stop")]), "Fine."])
    engines.append(engine)
    graph = graph_of(engine, [stop], checkpointer=InMemorySaver(), bind=bind)
    error = await run_out(graph, ask, RunCancelled)
    assert error.run.status == "cancelled"
    assert last(await ask(graph, say("Again"), on("mine"))) == "Fine."
    assert_at_rest(engine)


class Forgetful(InMemorySaver):
    """A checkpointer whose database is empty again for each invocation."""

    def forget(self) -> None:
        self.storage.clear()
        self.writes.clear()
        self.blobs.clear()


async def test_a_checkpointer_that_forgets_between_turns_loses_no_conversation(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    engine = engine_factory(echo())
    saver = Forgetful()
    graph = graph_of(engine, checkpointer=saver, bind=bind)
    for text in ("One", "Two"):
        await ask(graph, say(text), on("mine"))
        saver.forget()
    assert [text for _, text in conversation(engine, "mine")] == [
        "One",
        "You said: One",
        "Two",
        "You said: Two",
    ]


async def test_a_checkpointer_that_forgets_an_open_question_leaves_the_thread_usable(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    engine = engine_factory([calls((add, 1, 2)), "Fine."])
    saver = Forgetful()
    graph = graph_of(
        engine, [add], checkpointer=saver, interrupt_before_tools=True, bind=bind
    )
    asked = await ask(graph, say("1 + 2?"), on("mine"))
    assert asked["__interrupt__"]
    saver.forget()
    state = await ask(graph, say("Hello?"), on("mine"))
    assert last(state) == "Fine."
    assert outputs(state["messages"]) == []
    assert_at_rest(engine)
