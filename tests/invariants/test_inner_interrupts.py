"""What an assistant's middleware asks people, asked by the graph around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command
from tests.conftest import EngineFactory

from langchain_assistants import (
    AssistantRunnable,
    AssistantsEngine,
    create_assistant_graph,
)
from langchain_assistants.errors import ApprovalRequired, InvalidRequestError
from langchain_assistants.testing import Reply, ScriptedChatModel, call

CONFIG: Any = {"configurable": {"thread_id": "outer"}}
APPROVED = {"decisions": [{"type": "approve"}]}
wiped: list[str] = []


@tool
def wipe(disk: str) -> str:
    """Wipe a disk."""
    wiped.append(disk)
    return f"{disk} is empty"


@pytest.fixture(autouse=True)
def nothing_wiped() -> None:
    wiped.clear()


@pytest.fixture
def engine(engine_factory: EngineFactory) -> AssistantsEngine:
    """An engine whose runs ask a person before they wipe."""
    steps = [Reply(tool_calls=[call("wipe", {"disk": "sda"})]), "It is empty."]
    return engine_factory(steps, middleware=[HumanInTheLoopMiddleware({"wipe": True})])


def cleaner(engine: AssistantsEngine) -> AssistantRunnable:
    options: Any = {"engine": engine, "run_tools": True, "as_message": True}
    return AssistantRunnable.create_assistant("Cleaner", "", [wipe], "x", **options)


def as_function(engine: AssistantsEngine) -> Any:
    assistant = AssistantRunnable.create_assistant(
        "Cleaner",
        "",
        [wipe],
        "scripted",
        engine=engine,
        run_tools=True,
        as_message=True,
    )

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [assistant.invoke(state["messages"][-1].text)]}

    return node


def as_async_function(engine: AssistantsEngine) -> Any:
    assistant = AssistantRunnable.create_assistant(
        "Cleaner",
        "",
        [wipe],
        "scripted",
        engine=engine,
        run_tools=True,
        as_message=True,
    )

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await assistant.ainvoke(state["messages"][-1].text)]}

    return node


def as_subgraph(engine: AssistantsEngine) -> Any:
    entry = {"type": "function", "function": {"name": "wipe"}, "run_on": "engine"}
    assistant = engine.assistants.create(model="scripted", tools=[entry])
    return create_assistant_graph(assistant, engine=engine)


def outer(node: Any) -> CompiledStateGraph[Any, Any, Any, Any]:
    builder = StateGraph(MessagesState)
    builder.add_node("clean", node)
    builder.add_edge(START, "clean")
    return builder.compile(checkpointer=InMemorySaver())


@pytest.mark.parametrize("face", [as_function, as_subgraph])
def test_an_inner_interrupt_reaches_the_outer_graph(
    engine_factory: EngineFactory, face: Callable[[AssistantsEngine], Any]
) -> None:
    steps = [Reply(tool_calls=[call("wipe", {"disk": "sda"})]), "It is empty."]
    model = ScriptedChatModel(steps)
    engine = engine_factory(
        model, tools=[wipe], middleware=[HumanInTheLoopMiddleware({"wipe": True})]
    )
    graph = outer(face(engine))
    asked = graph.invoke({"messages": "wipe sda"}, CONFIG)
    (interrupt,) = asked["__interrupt__"]
    assert interrupt.value["action_requests"][0]["args"] == {"disk": "sda"}
    assert wiped == []
    done = graph.invoke(Command(resume=APPROVED), CONFIG)
    assert done["messages"][-1].text == "It is empty."
    assert wiped == ["sda"]
    assert len(model.calls) == 2  # the question was not asked again
    (thread,) = engine.threads.list()
    assert [m.text for m in engine.messages.list(thread.id, order="asc")] == [
        "wipe sda",
        "It is empty.",
    ]


async def test_an_inner_interrupt_reaches_the_outer_graph_on_its_loop(
    engine: AssistantsEngine,
) -> None:
    graph = outer(as_async_function(engine))
    asked = await graph.ainvoke({"messages": "wipe sda"}, CONFIG)
    assert len(asked["__interrupt__"]) == 1
    done = await graph.ainvoke(Command(resume=APPROVED), CONFIG)
    assert done["messages"][-1].text == "It is empty."
    assert wiped == ["sda"]


def test_a_refusal_reaches_the_model(engine: AssistantsEngine) -> None:
    graph = outer(as_function(engine))
    graph.invoke({"messages": "wipe sda"}, CONFIG)
    refused = {"decisions": [{"type": "reject", "message": "It is in use."}]}
    graph.invoke(Command(resume=refused), CONFIG)
    assert wiped == []
    (thread,) = engine.threads.list()
    (run,) = engine.runs.list(thread.id)
    (step,) = [s for s in engine.steps.list(run.id) if s.type == "tool_calls"]
    assert "It is in use." in step.step_details.tool_calls[0].function.output


def test_an_answer_of_another_shape_leaves_the_question_open(
    engine: AssistantsEngine,
) -> None:
    graph = outer(as_function(engine))
    graph.invoke({"messages": "wipe sda"}, CONFIG)
    with pytest.raises(InvalidRequestError, match="still waits for approval"):
        graph.invoke(Command(resume="yes"), CONFIG)
    done = graph.invoke(Command(resume=APPROVED), CONFIG)
    assert done["messages"][-1].text == "It is empty."
    assert wiped == ["sda"]


def test_a_node_that_is_executed_again_asks_no_assistant_twice(
    engine_factory: EngineFactory,
) -> None:
    model = ScriptedChatModel(
        ["First.", Reply(tool_calls=[call("wipe", {"disk": "sda"})]), "Second."]
    )
    engine = engine_factory(
        model, middleware=[HumanInTheLoopMiddleware({"wipe": True})]
    )
    assistant = AssistantRunnable.create_assistant(
        "Cleaner",
        "",
        [wipe],
        "scripted",
        engine=engine,
        run_tools=True,
        as_message=True,
    )

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [assistant.invoke("one"), assistant.invoke("two")]}

    graph = outer(node)
    graph.invoke({"messages": "go"}, CONFIG)
    done = graph.invoke(Command(resume=APPROVED), CONFIG)
    assert [m.text for m in done["messages"]] == ["go", "First.", "Second."]
    assert len(model.calls) == 3
    assert len(list(engine.threads.list())) == 2


def test_without_a_checkpointer_the_caller_is_told(engine: AssistantsEngine) -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("clean", as_function(engine))
    builder.add_edge(START, "clean")
    with pytest.raises(ApprovalRequired):
        builder.compile().invoke({"messages": "wipe sda"})
