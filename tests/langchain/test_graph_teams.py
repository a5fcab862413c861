"""Assistants among other agents: the thread they share, and threads of their own."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Send
from tests.conftest import EngineFactory
from tests.conversations import Gate
from tests.langchain.arithmetic import add
from tests.langchain.conftest import Ask
from tests.langchain.graph_stage import (
    HERE,
    assert_at_rest,
    conversation,
    echo,
    graph_of,
    keys,
    last,
    on,
    outputs,
    recorded,
    say,
    statuses,
    told,
)
from tests.langchain.places import Bind, embedded
from typing_extensions import TypedDict

from langchain_assistants import (
    AssistantRunnable,
    AssistantsEngine,
    create_assistant_graph,
)
from langchain_assistants.errors import (
    ActiveRunError,
)
from langchain_assistants.testing import Reply, ScriptedChatModel, call


def team(
    engine: AssistantsEngine, *names: str, bind: Bind = embedded, **nodes: Any
) -> StateGraph[Any]:
    """A graph of assistants one after the other, and of other nodes before them."""
    builder = StateGraph(MessagesState)
    order = [*nodes, *names]
    for name, node in nodes.items():
        builder.add_node(name, node)
    for name in names:
        builder.add_node(name, graph_of(engine, model=name, name=name, bind=bind))
    for before, after in zip([START, *order], order, strict=False):
        builder.add_edge(before, after)
    return builder


async def test_two_assistants_of_a_graph_share_the_thread(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    models = {
        name: ScriptedChatModel(respond=lambda _, __, n=name: f"{n} here.")
        for name in ("ann", "bob")
    }
    engine = engine_factory(chat_model=lambda name, **_: models[name])
    graph = team(engine, "ann", "bob").compile(checkpointer=InMemorySaver())
    for _ in range(2):
        state = await ask(graph, say("Hi"), HERE)
    turn = [("user", "Hi"), ("assistant", "ann here."), ("assistant", "bob here.")]
    assert conversation(engine, "mine") == turn * 2
    assert keys(engine) == {"mine"}
    assert [text for _, text in told(state["messages"])] == [t for _, t in turn * 2]
    assert told(models["bob"].calls[0].messages) == [
        ("human", "Hi"),
        ("ai", "ann here."),
    ]
    assert_at_rest(engine)


async def test_what_other_agents_say_joins_the_thread_once(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    async def research(state: MessagesState) -> Any:
        turn = len(state["messages"])
        return {
            "messages": [
                SystemMessage("Be brief."),
                AIMessage(
                    "", tool_calls=[{"name": "look", "args": {}, "id": f"call_{turn}"}]
                ),
                ToolMessage("secret", tool_call_id=f"call_{turn}"),
                AIMessage(f"Found {turn}."),
            ]
        }

    def research_sync(state: MessagesState) -> Any:
        coroutine = research(state)
        with pytest.raises(StopIteration) as stopped:
            coroutine.send(None)
        return stopped.value.value

    node: Any = research_sync if ask.__name__ == "sync" else research
    model = ScriptedChatModel(respond=lambda messages, _: "Written.")
    engine = engine_factory(model)
    graph = team(engine, "writer", research=node, bind=bind).compile(
        checkpointer=InMemorySaver()
    )
    for text in ("One", "Two"):
        await ask(graph, say(text), HERE)
    assert conversation(engine, "mine") == [
        ("user", "One"),
        ("assistant", "Found 1."),
        ("assistant", "Written."),
        ("user", "Two"),
        ("assistant", "Found 7."),
        ("assistant", "Written."),
    ]
    seen = told(model.calls[0].messages)
    assert seen[0] == ("system", "Be brief.")
    assert "secret" not in str(seen)


class Branches(TypedDict, total=False):
    answers: Annotated[list[str], operator.add]


def fan_out(engine: AssistantsEngine, ids: Sequence[str | None], model: str) -> Any:
    """A graph that asks an assistant several times at once."""
    inner = graph_of(engine, model=model, checkpointer=False)

    async def branch(given: dict[str, Any]) -> Branches:
        state = await inner.ainvoke(say("Hi", **given))
        return {"answers": [last(state)]}

    builder = StateGraph(Branches)
    builder.add_node("branch", branch)
    sent = [Send("branch", {"thread_id": i} if i else {}) for i in ids]
    builder.add_conditional_edges(START, lambda _: sent, ["branch"])
    return builder.compile(checkpointer=InMemorySaver())


async def test_parallel_branches_on_one_thread_are_refused(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    model = ScriptedChatModel(respond=lambda _, __: Reply("Hi.", wait_for=gate))
    engine = engine_factory(model)
    try:
        with pytest.raises(ActiveRunError):
            await fan_out(engine, [None, None], "m").ainvoke({}, HERE)
    finally:
        gate.open()
    state = await graph_of(engine).ainvoke(say("Still there?"), HERE)
    assert last(state) == "Hi."
    assert_at_rest(engine)


async def test_a_parallel_branch_never_cancels_one_that_waits_for_tools(
    engine_factory: EngineFactory,
) -> None:
    waits = Gate()

    async def hold() -> str:
        """Hold on until the other branch has been refused."""
        await asyncio.to_thread(waits.pass_through)
        return "held"

    steps = [Reply(tool_calls=[call("hold")]), "Done."]
    engine = engine_factory(ScriptedChatModel(steps))
    inner = graph_of(engine, [hold])

    async def first(state: Branches) -> Branches:
        return {"answers": [last(await inner.ainvoke(say("Hi")))]}

    refused: list[ActiveRunError] = []

    async def second(state: Branches) -> Branches:
        await asyncio.to_thread(waits.wait_until_reached)
        try:
            await inner.ainvoke(say("Hi"))
        except ActiveRunError as error:
            refused.append(error)
        finally:
            waits.open()
        return {}

    async def branch(given: dict[str, Any]) -> Branches:
        return await (first if given["first"] else second)({})

    builder = StateGraph(Branches)
    builder.add_node("branch", branch)
    sent = [Send("branch", {"first": True}), Send("branch", {"first": False})]
    builder.add_conditional_edges(START, lambda _: sent, ["branch"])
    graph = builder.compile(checkpointer=InMemorySaver())
    state = await graph.ainvoke({}, HERE)
    assert state["answers"] == ["Done."]
    assert len(refused) == 1
    assert_at_rest(engine)


async def test_parallel_branches_on_threads_of_their_own_run(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(echo())
    state = await fan_out(engine, ["a", "b", "c"], "m").ainvoke({}, HERE)
    assert state["answers"] == ["You said: Hi"] * 3
    assert keys(engine) == {"a", "b", "c"}


@tool
def to_sales(runtime: ToolRuntime) -> Command[Any]:
    """Hand over to sales."""
    output = ToolMessage("Handed over.", tool_call_id=runtime.tool_call_id)
    return Command(goto="sales", graph=Command.PARENT, update={"messages": [output]})


async def test_an_assistant_hands_over_to_another(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    models = {
        "support": ScriptedChatModel(
            [
                Reply(
                    tool_calls=[
                        call("to_sales", {}, "call_over"),
                        call("add", {"a": 1, "b": 2}, "call_add"),
                    ]
                ),
                "Support again.",
            ]
        ),
        "sales": ScriptedChatModel(["Sales here."]),
    }
    engine = engine_factory(chat_model=lambda name, **_: models[name])
    tools = {"support": [to_sales, add], "sales": []}
    builder = StateGraph(MessagesState)
    for name, given in tools.items():
        inner = graph_of(engine, given, model=name, name=name)
        builder.add_node(name, inner, destinations=("sales",))
    builder.add_edge(START, "support")
    graph = builder.compile(checkpointer=InMemorySaver())
    state = await ask(graph, say("I want to buy."), HERE)
    assert conversation(engine, "mine") == [
        ("user", "I want to buy."),
        ("assistant", "Sales here."),
    ]
    assert last(state) == "Sales here."
    assert "Handed over." in outputs(state["messages"])
    assert [(name, out) for name, _, out in recorded(engine, "mine")] == [
        ("to_sales", "Handed over."),
        ("add", "3"),
    ]
    # Sales hears which calls led to it; every call has its output.
    assert [text for _, text in told(models["sales"].calls[0].messages)] == [
        "I want to buy.",
        "",
        "Handed over.",
        "3",
    ]
    state = await ask(graph, say("Thanks"), HERE)
    assert last(state) == "Support again."
    assert_at_rest(engine)


def consult(inner: Any, **config: Any) -> Any:
    """A tool that asks an assistant graph."""

    @tool
    def consult(question: str) -> str:
        """Ask the expert."""
        return last(inner.invoke(say(question), *config.values()))

    return consult


ASKS_TWICE = Reply(
    tool_calls=[
        call("consult", {"question": "A?"}, "call_a"),
        call("consult", {"question": "B?"}, "call_b"),
    ]
)


@pytest.mark.parametrize("caller", ["agent", "graph", "runnable"])
async def test_an_assistant_in_a_tool_has_a_thread_for_each_call(
    engine_factory: EngineFactory, ask: Ask, caller: str
) -> None:
    expert = engine_factory(echo())
    tools = [consult(graph_of(expert))]
    model = ScriptedChatModel([ASKS_TWICE, "Done."])
    saver = InMemorySaver()
    if caller == "agent":
        outer: Any = create_agent(model, tools, checkpointer=saver)
        await ask(outer, say("Go"), HERE)
        expected: set[str | None] = {"mine/call_a", "mine/call_b"}
    elif caller == "graph":
        outer = graph_of(engine_factory(model), tools, checkpointer=saver)
        await ask(outer, say("Go"), HERE)
        expected = {"mine/call_a", "mine/call_b"}
    else:
        runnable = AssistantRunnable.create_assistant(
            "T", "", tools, "m", engine=engine_factory(model), run_tools=True
        )
        answer = await ask(runnable, "Go")
        thread_id = answer[-1].thread_id
        expected = {f"{thread_id}/call_a", f"{thread_id}/call_b"}
    assert keys(expert) == expected
    assert told(model.calls[1].messages)[-2:] == [
        ("tool", "You said: A?"),
        ("tool", "You said: B?"),
    ]


async def test_an_assistant_in_a_tool_may_be_given_another_thread(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    expert = engine_factory(echo())
    one = Reply(tool_calls=[call("consult", {"question": "A?"})])
    engine = engine_factory([one, "Done."])
    tools = [consult(graph_of(expert), config=on("the-expert"))]
    await ask(graph_of(engine, tools, checkpointer=InMemorySaver()), say("Go"), HERE)
    assert keys(expert) == {"the-expert"}


async def test_an_option_for_an_assistant_in_a_tool_keeps_its_thread(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    engine = engine_factory(
        ScriptedChatModel(
            [Reply(tool_calls=[call("consult", {"question": "A?"}, "c")]), "B", "Done."]
        )
    )
    option = {"configurable": {"user": "ann"}}
    tools = [consult(graph_of(engine), config=option)]
    state = await ask(
        graph_of(engine, tools, checkpointer=InMemorySaver()), say("Go"), HERE
    )
    assert (outputs(state["messages"]), last(state)) == (["B"], "Done.")
    assert keys(engine) == {"mine", "mine/c"}
    assert statuses(engine) == ["completed"] * 2


async def test_the_graph_of_a_runnable_needs_no_thread_id_of_its_own(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    engine = engine_factory(echo())
    runnable = AssistantRunnable.create_assistant("T", "", [], "m", engine=engine)
    graph = create_assistant_graph(runnable)
    await ask(graph, say("Hi"), HERE)
    await ask(runnable, "Hi", HERE)
    assert keys(engine) == {"mine", None}
