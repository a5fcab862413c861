"""A graph's tasks whose runs are on a server: done again, gone back, handed over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from tests.conftest import EngineFactory
from tests.langchain.arithmetic import add, calls
from tests.langchain.graph_stage import (
    HERE,
    assert_at_rest,
    conversation,
    echo,
    graph_of,
    last,
    recorded,
    say,
    statuses,
    told,
)
from tests.langchain.places import over_the_wire

from langchain_assistants import AssistantRunnable
from langchain_assistants.backends.wire.backend import WireBackend
from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.testing import Reply, ScriptedChatModel, call


@pytest.mark.parametrize("method", ["run", "submit"])
async def test_a_task_that_is_executed_again_finds_its_run(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    done = getattr(WireBackend, method)

    async def dies(self: WireBackend, *given: Any) -> Any:
        await done(self, *given)
        raise OSError("the process died")

    with ScriptedChatModel([calls((add, 1, 2)), "Three."]) as model:
        engine = engine_factory(model)
        saver = InMemorySaver()
        graph = graph_of(engine, [add], checkpointer=saver, bind=over_the_wire)
        with monkeypatch.context() as patched:
            patched.setattr(WireBackend, method, dies)
            with pytest.raises(OSError, match="died"):
                await graph.ainvoke(say("1 + 2?"), HERE)
        state = await graph.ainvoke(None, HERE)
    assert told(state["messages"])[1:] == [("ai", ""), ("tool", "3"), ("ai", "Three.")]
    assert conversation(engine, "mine") == [("user", "1 + 2?"), ("assistant", "Three.")]
    assert statuses(engine) == ["completed"]


def test_a_runnable_in_a_task_that_is_executed_again_finds_its_run(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(["Three."]) as model:
        engine = engine_factory(model)
        stored, thread = engine.assistants.create(model="m"), engine.threads.create()
        agent = AssistantRunnable(assistant_id=stored.id, **over_the_wire(engine))

        def node(state: MessagesState) -> dict[str, Any]:
            (answer,) = agent.invoke({"content": "1 + 2?", "thread_id": thread.id})
            return {"messages": f"{answer.text} {interrupt('Right?')}"}

        builder = StateGraph(MessagesState)
        builder.add_node("node", node)
        builder.add_edge(START, "node")
        graph = builder.compile(checkpointer=InMemorySaver())
        graph.invoke({"messages": []}, HERE)
        state = graph.invoke(Command(resume="Right."), HERE)
    assert last(state) == "Three. Right."
    assert statuses(engine) == ["completed"]


async def test_going_back_to_an_older_state_is_refused(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(echo())
    graph = graph_of(engine, checkpointer=InMemorySaver(), bind=over_the_wire)
    await graph.ainvoke(say("One"), HERE)
    older = await graph.aget_state(HERE)
    await graph.ainvoke(say("Two"), HERE)
    before = conversation(engine, "mine")
    with pytest.raises(InvalidRequestError, match="cannot be forked") as raised:
        await graph.ainvoke(say("Three"), older.config)
    assert raised.value.param == "thread_id"
    assert conversation(engine, "mine") == before


async def test_going_back_into_the_tools_of_a_run_that_ended_is_refused(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([calls((add, 1, 2)), "Three."])
    graph = graph_of(engine, [add], checkpointer=InMemorySaver(), bind=over_the_wire)
    await graph.ainvoke(say("1 + 2?"), HERE)
    states = [state async for state in graph.aget_state_history(HERE)]
    (older,) = [state for state in states if state.next == ("tools",)]
    with pytest.raises(InvalidRequestError, match="cannot be forked"):
        await graph.ainvoke(None, older.config)
    assert statuses(engine) == ["completed"]


async def test_a_direct_return_leaves_the_outputs_in_the_thread(
    engine_factory: EngineFactory,
) -> None:
    @tool(return_direct=True)
    def final(q: str) -> str:
        """Give the final answer."""
        return f"final {q}"

    never = asyncio.Event()

    def respond(messages: list[BaseMessage], _: Any) -> Reply:
        if isinstance(messages[-1], ToolMessage):
            return Reply("Unheard.", wait_for=never)
        if len(messages) == 1:
            return Reply(tool_calls=[call("final", {"q": "x"})])
        return Reply("Next.")

    engine = engine_factory(ScriptedChatModel(respond=respond))
    graph = graph_of(engine, [final], checkpointer=InMemorySaver(), bind=over_the_wire)
    state = await graph.ainvoke(say("Go"), HERE)
    assert (last(state), state["status"]) == ("final x", "completed")
    assert [output for _, _, output in recorded(engine, "mine")] == ["final x"]
    again = await graph.ainvoke(say("And?"), HERE)
    assert told(again["messages"]) == [("human", "And?"), ("ai", "Next.")]
    assert statuses(engine) == ["cancelled", "completed"]
    assert_at_rest(engine)
