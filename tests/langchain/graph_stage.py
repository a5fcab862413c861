"""Short ways to set a scene for assistant graphs, and to see what they left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Interrupt
from tests.conftest import EngineFactory
from tests.langchain.arithmetic import add, multiply
from tests.langchain.places import Bind, embedded
from tests.stored import broken_invariants, rows

from langchain_assistants import (
    AssistantRunnable,
    AssistantsEngine,
    create_assistant_graph,
)
from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.types.steps import FunctionCall, ToolCallsDetails

BOTH = Reply(
    tool_calls=[
        call("add", {"a": 1, "b": 2}, "call_add"),
        call("multiply", {"a": 3, "b": 4}, "call_multiply"),
    ]
)
APPROVE = {"type": "approve"}


def echo(**fields: Any) -> ScriptedChatModel:
    """A model that answers with what it was last told, without end."""
    return ScriptedChatModel(
        respond=lambda messages, asked: f"You said: {messages[-1].text}", **fields
    )


def graph_of(
    engine: AssistantsEngine,
    tools: Sequence[Any] = (),
    *,
    model: str = "scripted",
    assistant: dict[str, Any] | None = None,
    bind: Bind = embedded,
    **options: Any,
) -> Any:
    """A graph of a new assistant that names none of its tools."""
    stored = engine.assistants.create(model=model, **(assistant or {}))
    runnable = AssistantRunnable(assistant_id=stored.id, **bind(engine))
    return create_assistant_graph(runnable, tools, **options)


def on(thread_id: str | None, **fields: Any) -> RunnableConfig:
    """A configuration with a thread id."""
    found: Any = {"configurable": {"thread_id": thread_id}, **fields}
    return found


HERE = on("mine")


def say(text: str, **fields: Any) -> dict[str, Any]:
    """An input with one message of a person."""
    return {"messages": [HumanMessage(text)], **fields}


def asking(engine_factory: EngineFactory, *steps: Any, **options: Any) -> Any:
    """A graph that asks before it executes tools."""
    options = {
        "interrupt_before_tools": True,
        "checkpointer": InMemorySaver(),
        **options,
    }
    return graph_of(engine_factory(list(steps)), [add, multiply], **options)


def question(state: dict[str, Any]) -> Any:
    """The value of the one interrupt."""
    [asked] = state["__interrupt__"]
    assert isinstance(asked, Interrupt)
    return asked.value


def last(state: Any) -> str:
    """The text of a state's last message."""
    return str(state["messages"][-1].text)


def told(messages: Sequence[BaseMessage]) -> list[tuple[str, str]]:
    """Types and texts of messages."""
    return [(message.type, str(message.text)) for message in messages]


def outputs(messages: Sequence[BaseMessage]) -> list[str]:
    """Texts of the tool messages."""
    return [str(m.text) for m in messages if isinstance(m, ToolMessage)]


def made_calls(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """All calls of the AI messages."""
    return [
        dict(made)
        for m in messages
        if isinstance(m, AIMessage)
        for made in m.tool_calls
    ]


def thread_id_of(engine: AssistantsEngine, named: str) -> str:
    """The id of the thread that a graph's thread id leads to."""
    if named.startswith("thread_"):
        return named
    [row] = rows(engine, "SELECT id FROM threads WHERE key = ?", named)
    return str(row["id"])


def keys(engine: AssistantsEngine) -> set[str | None]:
    """The keys of all threads."""
    return {row["key"] for row in rows(engine, "SELECT key FROM threads")}


def conversation(engine: AssistantsEngine, named: str) -> list[tuple[str, str]]:
    """Roles and texts of a thread, oldest first."""
    thread_id = thread_id_of(engine, named)
    listed = engine.messages.list(thread_id, order="asc")
    return [(message.role, message.text) for message in listed]


def statuses(engine: AssistantsEngine, named: str | None = None) -> list[str]:
    """Statuses of the runs of a thread, or of all, oldest first."""
    found = rows(engine, "SELECT status, thread_id FROM runs ORDER BY seq")
    wanted = None if named is None else thread_id_of(engine, named)
    return [row["status"] for row in found if wanted in (None, row["thread_id"])]


def recorded(engine: AssistantsEngine, named: str) -> Iterator[tuple[str, Any, Any]]:
    """Name, arguments and output of each call in the steps of a thread."""
    runs = engine.runs.list(thread_id_of(engine, named), order="asc")
    for run in runs:
        for step in engine.steps.list(run.id, order="asc"):
            if not isinstance(step.step_details, ToolCallsDetails):
                continue
            for made in step.step_details.tool_calls:
                assert isinstance(made, FunctionCall)
                function = made.function
                yield function.name, json.loads(function.arguments), function.output


def assert_at_rest(engine: AssistantsEngine) -> None:
    """The file keeps every invariant, and no run is active."""
    assert broken_invariants(engine) == []
    active = {"queued", "in_progress", "requires_action", "cancelling"}
    assert not active & set(statuses(engine))
