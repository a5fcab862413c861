"""The tools of an assistant graph: every kind that LangChain has, and how they fail."""

from __future__ import annotations

import threading
from typing import Annotated, Any

import pytest
from langchain.tools import InjectedState, InjectedStore, ToolRuntime
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from tests.conftest import EngineFactory
from tests.conversations import TIMEOUT, function
from tests.langchain.arithmetic import add, calls, divide, multiply, subtract
from tests.langchain.conftest import Ask
from tests.langchain.graph_stage import (
    assert_at_rest,
    conversation,
    graph_of,
    last,
    on,
    outputs,
    recorded,
    say,
    statuses,
    told,
)
from tests.langchain.places import Bind

from langchain_assistants import AssistantRunnable, Settings, create_assistant_graph
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.testing import Reply, ScriptedChatModel, call, malformed_call


def asks(name: str, **args: Any) -> Reply:
    return Reply(tool_calls=[call(name, args, f"call_{name}")])


def plain(a: int, b: int) -> int:
    """Add as a plain function does."""
    return a + b


async def unhurried(a: int, b: int) -> int:
    """Add as a coroutine function does."""
    return a + b


class Adder(BaseTool):
    name: str = "adder"
    description: str = "Add two numbers."

    def _run(self, a: int, b: int) -> int:
        return a + b


def _sum(a: int, b: int) -> int:
    return a + b


async def _asum(a: int, b: int) -> int:
    return a + b


@pytest.mark.parametrize(
    "given",
    [
        plain,
        unhurried,
        add,
        Adder(),
        StructuredTool.from_function(_sum, _asum, name="sums", description="Add."),
    ],
    ids=["function", "coroutine", "tool", "BaseTool", "both"],
)
async def test_any_tool_of_langchain_is_executed(
    engine_factory: EngineFactory, ask: Ask, given: Any
) -> None:
    name = getattr(given, "name", None) or given.__name__
    with ScriptedChatModel([asks(name, a=1, b=2), "3."]) as model:
        engine = engine_factory(model)
        state = await ask(graph_of(engine, [given]), say("1 + 2?"))
    assert outputs(state["messages"]) == ["3"]
    assert list(recorded(engine, state["thread_id"])) == [(name, {"a": 1, "b": 2}, "3")]
    assert told(model.calls[1].messages)[-1] == ("tool", "3")


async def test_the_model_is_offered_the_assistants_tools_and_the_graphs(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    model = ScriptedChatModel(["Hello."])
    engine = engine_factory(model)
    named = function("add")
    named["function"]["description"] = "The assistant's own words."
    fields = {"tools": [named]}
    state = await ask(
        graph_of(engine, [add, multiply], assistant=fields, bind=bind), say("Hi")
    )
    assert model.calls[0].tool_names == ["add", "multiply"]
    assert model.calls[0].tools[0]["function"]["description"].startswith("The assis")
    stored = engine.assistants.retrieve(
        engine.runs.retrieve(state["run_id"]).assistant_id
    )
    assert len(stored.tools) == 1


async def test_run_tools_of_a_runnable_are_executed_beside_the_graphs(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    with ScriptedChatModel([calls((add, 1, 2), (multiply, 3, 4)), "Done."]) as model:
        engine = engine_factory(model)
        runnable = AssistantRunnable.create_assistant(
            "T", "", [add], "m", engine=engine, run_tools=True
        )
        state = await ask(create_assistant_graph(runnable, [multiply]), say("Go"))
    assert outputs(state["messages"]) == ["3", "12"]


def test_two_tools_of_one_name_are_refused(engine_factory: EngineFactory) -> None:
    with pytest.raises(ConfigurationError, match="'add'"):
        graph_of(engine_factory(), [add, add])


def test_a_schema_cannot_be_executed(engine_factory: EngineFactory) -> None:
    with pytest.raises(ConfigurationError, match="cannot be executed"):
        graph_of(
            engine_factory(), [{"name": "add", "description": "", "parameters": {}}]
        )


async def test_a_tool_that_nobody_implements_is_an_error_that_the_model_sees(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    with ScriptedChatModel([asks("look_up", q="x"), "I cannot."]) as model:
        engine = engine_factory(model)
        fields = {"tools": [function("look_up")]}
        state = await ask(graph_of(engine, [add], assistant=fields), say("Hi"))
    assert last(state) == "I cannot."
    [output] = outputs(state["messages"])
    assert "look_up" in output
    assert output.startswith("Error")
    assert_at_rest(engine)


async def test_a_graph_without_tools_answers_calls_with_errors_too(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    with ScriptedChatModel([asks("look_up", q="x"), "I cannot."]) as model:
        engine = engine_factory(model)
        fields = {"tools": [function("look_up")]}
        state = await ask(graph_of(engine, assistant=fields), say("Hi"))
    assert last(state) == "I cannot."


async def test_an_artifact_is_kept_in_the_state(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    @tool(response_format="content_and_artifact")
    def draw(what: str) -> tuple[str, dict[str, Any]]:
        """Draw a picture."""
        return f"drew {what}", {"pixels": [1, 2, 3]}

    with ScriptedChatModel([asks("draw", what="a cat"), "Here."]) as model:
        graph = graph_of(engine_factory(model), [draw], checkpointer=InMemorySaver())
        await ask(graph, say("Draw"), on("mine"))
    [drawn] = [
        m
        for m in graph.get_state(on("mine")).values["messages"]
        if isinstance(m, ToolMessage)
    ]
    assert (drawn.text, drawn.artifact) == ("drew a cat", {"pixels": [1, 2, 3]})


async def test_state_store_and_runtime_are_injected(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    seen: dict[str, Any] = {}

    @tool
    def look(
        q: str,
        state: Annotated[dict[str, Any], InjectedState],
        messages: Annotated[list[Any], InjectedState("messages")],
        store: Annotated[BaseStore, InjectedStore()],
        call_id: Annotated[str, InjectedToolCallId],
        runtime: ToolRuntime,
        config: RunnableConfig,
    ) -> str:
        """Look around."""
        seen.update(state=state, messages=messages, call_id=call_id, runtime=runtime)
        seen["metadata"] = config["metadata"]
        store.put(("notes",), q, {"seen": True})
        runtime.stream_writer({"looking": q})
        return "looked"

    store = InMemoryStore()
    model = ScriptedChatModel([asks("look", q="x"), "Done."])
    graph = graph_of(engine_factory(model), [look], store=store)
    given = on("mine", metadata={"customer": "42"})
    state = await ask(graph, say("Look"), given)
    assert outputs(state["messages"]) == ["looked"]
    assert store.get(("notes",), "x") is not None
    assert seen["call_id"] == seen["runtime"].tool_call_id == "call_look"
    assert seen["state"]["run_id"] == state["run_id"]
    assert seen["state"]["status"] == "requires_action"
    assert seen["runtime"].state["thread_id"] == state["thread_id"]
    assert seen["runtime"].store is store
    assert told(seen["messages"]) == [("human", "Look"), ("ai", "")]
    assert seen["metadata"]["customer"] == "42"
    [offered] = model.calls[0].tools
    assert set(offered["function"]["parameters"]["properties"]) == {"q"}


async def test_a_tool_updates_the_state_by_a_command(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    @tool
    def note(runtime: ToolRuntime) -> Command[Any]:
        """Make a note."""
        output = ToolMessage("noted", tool_call_id=runtime.tool_call_id)
        extra = HumanMessage("A note of the tool", id="note")
        return Command(update={"messages": [output, extra]})

    with ScriptedChatModel([asks("note"), "Done."]) as model:
        engine = engine_factory(model)
        state = await ask(graph_of(engine, [note]), say("Note"))
    assert last(state) == "Done."
    assert told(model.calls[1].messages) == [
        ("human", "Note"),
        ("ai", ""),
        ("tool", "noted"),
        ("human", "A note of the tool"),
    ]
    assert told(state["messages"]) == [*told(model.calls[1].messages), ("ai", "Done.")]
    assert statuses(engine) == ["completed", "completed"]
    assert_at_rest(engine)


async def test_return_direct_ends_with_the_output_after_all_calls_have_one(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    @tool(return_direct=True)
    def final(q: str) -> str:
        """Give the final answer."""
        return f"final {q}"

    both = Reply(tool_calls=[call("final", {"q": "x"}), call("add", {"a": 1, "b": 2})])
    with ScriptedChatModel([both, "Next."]) as model:
        engine = engine_factory(model)
        graph = graph_of(engine, [final, add], checkpointer=InMemorySaver())
        state = await ask(graph, say("Go"), on("mine"))
        assert outputs(state["messages"]) == ["final x", "3"]
        assert (state["messages"][-1].type, state["status"]) == ("tool", "completed")
        assert statuses(engine) == ["completed"]
        assert [output for _, _, output in recorded(engine, "mine")] == ["final x", "3"]
        again = await ask(graph, say("And?"), on("mine"))
    assert told(again["messages"]) == [("human", "And?"), ("ai", "Next.")]
    seen = told(model.calls[-1].messages)
    assert seen[1:] == [
        ("ai", ""),
        ("tool", "final x"),
        ("tool", "3"),
        ("human", "And?"),
    ]


async def test_a_command_to_the_end_leaves_the_run_completed(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    @tool
    def leave(runtime: ToolRuntime) -> Command[Any]:
        """Leave."""
        output = ToolMessage("left", tool_call_id=runtime.tool_call_id)
        return Command(goto=END, update={"messages": [output]})

    with ScriptedChatModel([asks("leave")]) as model:
        engine = engine_factory(model)
        state = await ask(graph_of(engine, [leave]), say("Go"))
    assert outputs(state["messages"]) == ["left"]
    assert_at_rest(engine)


async def test_the_model_sees_what_a_tool_raised(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    with ScriptedChatModel([calls((divide, 1, 0), (add, 1, 2)), "Oh."]) as model:
        engine = engine_factory(model)
        state = await ask(graph_of(engine, [divide, add]), say("1 / 0?"))
    broken, fine = [m for m in state["messages"] if isinstance(m, ToolMessage)]
    assert (broken.status, fine.status) == ("error", "success")
    assert "ZeroDivisionError" in broken.text
    assert told(model.calls[1].messages)[-2] == ("tool", broken.text)


async def test_a_tools_error_is_raised_where_tools_may_not_fail(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    engine = engine_factory(
        [calls((divide, 1, 0)), "Fine."], settings=Settings(tool_errors="fail")
    )
    graph = graph_of(engine, [divide], checkpointer=InMemorySaver())
    with pytest.raises(ZeroDivisionError):
        await ask(graph, say("1 / 0?"), on("mine"))
    state = await ask(graph, say("Never mind"), on("mine"))
    assert last(state) == "Fine."
    assert [text for _, text in conversation(engine, "mine")] == [
        "1 / 0?",
        "Never mind",
        "Fine.",
    ]
    assert_at_rest(engine)


async def test_without_a_checkpointer_a_tools_error_frees_the_thread(
    engine_factory: EngineFactory,
    ask: Ask,
    bind: Bind,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Where tools are executed says how: here, on the wire's side of the caller too.
    monkeypatch.setenv("LANGCHAIN_ASSISTANTS_TOOL_ERRORS", "fail")
    engine = engine_factory([calls((divide, 1, 0)), "Fine."])
    graph = graph_of(engine, [divide], bind=bind)
    with pytest.raises(ZeroDivisionError):
        await ask(graph, say("1 / 0?"), on("mine"))
    assert statuses(engine, "mine") == ["cancelled"]
    assert last(await ask(graph, say("Never mind"), on("mine"))) == "Fine."


@pytest.mark.parametrize(
    "bad",
    [
        Reply(malformed=[malformed_call("add", "a=1")]),
        Reply(tool_calls=[call("add", {"a": "one"})]),
        Reply(tool_calls=[call("add", {"a": 1, "b": 2}), call("add", {"a": 1})]),
    ],
    ids=["malformed", "wrong", "one of two wrong"],
)
async def test_arguments_that_do_not_fit_are_an_error_that_the_model_sees(
    engine_factory: EngineFactory, ask: Ask, bad: Reply
) -> None:
    with ScriptedChatModel([bad, calls((add, 1, 2)), "3."]) as model:
        engine = engine_factory(model)
        state = await ask(graph_of(engine, [add]), say("1 + 2?"))
    assert last(state) == "3."
    assert outputs(state["messages"])[-1] == "3"
    answered = told(model.calls[1].messages)[-1]
    assert (answered[0], answered[1][:5]) == ("tool", "Error")
    assert_at_rest(engine)


async def test_eight_parallel_tools_all_run_at_once(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    together = threading.Barrier(8)

    def meet(number: int) -> int:
        """Wait for the others."""
        together.wait(TIMEOUT)
        return number

    eight = Reply(tool_calls=[call("meet", {"number": n}) for n in range(8)])
    with ScriptedChatModel([eight, "All here."]) as model:
        state = await ask(graph_of(engine_factory(model), [meet]), say("Meet"))
    assert outputs(state["messages"]) == [str(number) for number in range(8)]


async def test_many_rounds_of_tools_need_no_step_limit(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    rounds = [calls((add, n, 1)) for n in range(30)]
    with ScriptedChatModel([*rounds, "Counted."]) as model:
        engine = engine_factory(model)
        state = await ask(graph_of(engine, [add, subtract]), say("Count"))
    assert outputs(state["messages"]) == [str(n + 1) for n in range(30)]
    assert last(state) == "Counted."
