"""Where in a caller's graph some code is executed, and its interrupts."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt
from tests.conversations import calls
from typing_extensions import TypedDict

from langchain_assistants import outer_graph
from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.outer_graph import OuterTask, ask, tool_call_id
from langchain_assistants.testing import ScriptedChatModel, call

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    answers: Annotated[list[Any], operator.add]


def graph(node: Callable[..., Any], *, saver: Any = None, name: str = "node") -> Any:
    """Return a graph of one node."""
    builder = StateGraph(State)
    builder.add_node(name, RunnableLambda(node))
    builder.add_edge(START, name)
    return builder.compile(checkpointer=saver)


class Seen:
    """Keeps what a node's config tells."""

    def __init__(self) -> None:
        self.tasks: list[OuterTask | None] = []

    @property
    def task(self) -> OuterTask:
        [task] = self.tasks
        assert task is not None
        return task

    def node(self, state: State, config: RunnableConfig) -> State:
        self.tasks.append(OuterTask.of(config))
        return {}


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        {"configurable": {}},
        {"configurable": {"thread_id": "1"}},
        {"tags": []},
    ],
)
def test_outside_of_graphs_there_is_no_task(config: RunnableConfig | None) -> None:
    assert OuterTask.of(config) is None
    assert tool_call_id(config) is None


def test_a_runnable_outside_of_graphs_has_no_task(seen: Seen) -> None:
    RunnableLambda(seen.node).invoke({}, THREAD)
    assert seen.tasks == [None]


def test_a_node_is_told_its_name_and_its_graphs_thread(seen: Seen) -> None:
    graph(seen.node, saver=InMemorySaver()).invoke({}, THREAD)
    task = seen.task
    assert (task.thread_id, task.node) == ("1", "node")
    assert (task.nested, task.resumable) == (False, True)


@pytest.mark.parametrize("config", [None, THREAD])
def test_a_graph_without_a_checkpointer_cannot_be_resumed(
    seen: Seen, config: RunnableConfig | None
) -> None:
    graph(seen.node).invoke({}, config)
    assert seen.task.resumable is False
    assert seen.task.thread_id == ("1" if config else None)


def test_a_thread_id_of_any_type_is_read_as_text(seen: Seen) -> None:
    config: RunnableConfig = {"configurable": {"thread_id": 17}}
    graph(seen.node, saver=InMemorySaver()).invoke({}, config)
    assert seen.task.thread_id == "17"


def test_a_node_of_a_subgraph_is_told_the_whole_way(seen: Seen) -> None:
    inner = graph(seen.node, name="inner")
    outer = graph(inner.invoke, name="called", saver=InMemorySaver())
    outer.invoke({}, THREAD)
    builder = StateGraph(State)
    builder.add_node("added", inner)
    builder.add_edge(START, "added")
    builder.compile(checkpointer=InMemorySaver()).invoke({}, THREAD)
    ways = [task and task.node for task in seen.tasks]
    assert ways == ["called|inner", "added|inner"]
    for task in seen.tasks:
        assert task is not None
        assert (task.thread_id, task.nested, task.resumable) == ("1", True, True)


async def test_parallel_tasks_of_one_node_have_ids_of_their_own(seen: Seen) -> None:
    builder = StateGraph(State)
    builder.add_node("node", RunnableLambda(seen.node))
    builder.add_conditional_edges(
        START, lambda state: [Send("node", {}) for _ in range(5)], ["node"]
    )
    await builder.compile().ainvoke({}, THREAD)
    ids = {task.call_id("asst_a") for task in seen.tasks if task is not None}
    assert len(ids) == 5


# Ids of calls.


def numbered(config: RunnableConfig, *assistants: str) -> list[str]:
    task = OuterTask.of(config)
    assert task is not None
    return [task.call_id(assistant) for assistant in assistants]


def test_each_call_of_a_task_has_another_id() -> None:
    def node(state: State, config: RunnableConfig) -> State:
        first = numbered(config, "asst_a", "asst_a", "asst_b")
        # The config of a runnable within the node belongs to the same task.
        within = RunnableLambda(
            lambda _, config: numbered(config, "asst_a", "asst_b")
        ).invoke({}, config)
        return {"answers": [first + within]}

    [ids] = graph(node).invoke({})["answers"]
    assert len(set(ids)) == 5


@pytest.mark.parametrize("how", ["interrupted", "failed"])
def test_a_task_that_is_executed_again_numbers_its_calls_alike(how: str) -> None:
    given: list[list[str]] = []

    def node(state: State, config: RunnableConfig) -> State:
        given.append(numbered(config, "asst_a", "asst_b", "asst_a"))
        if how == "interrupted":
            interrupt("?")
        elif len(given) == 1:
            raise ValueError("the process dies")
        return {}

    program = graph(node, saver=InMemorySaver())
    if how == "failed":
        with pytest.raises(ValueError, match="dies"):
            program.invoke({}, THREAD)
        program.invoke(None, THREAD)
    else:
        program.invoke({}, THREAD)
        program.invoke(Command(resume="yes"), THREAD)
    assert len(given) == 2
    assert given[0] == given[1]
    assert len(set(given[0])) == 3


def test_a_replay_from_an_older_checkpoint_has_ids_of_its_own() -> None:
    given: list[str] = []

    def node(state: State, config: RunnableConfig) -> State:
        given.extend(numbered(config, "asst_a"))
        return {}

    program = graph(node, saver=InMemorySaver())
    program.invoke({}, THREAD)
    [before] = [s for s in program.get_state_history(THREAD) if s.next == ("node",)]
    program.invoke(None, before.config)
    assert len(set(given)) == 2


async def test_calls_in_parallel_within_a_task_have_ids_of_their_own() -> None:
    async def node(state: State, config: RunnableConfig) -> State:
        lists = await asyncio.gather(
            *(asyncio.to_thread(numbered, config, *["asst_a"] * 50) for _ in range(8))
        )
        return {"answers": [id for ids in lists for id in ids]}

    ids = (await graph(node).ainvoke({}))["answers"]
    assert len(set(ids)) == 400


def test_the_memory_of_executed_tasks_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outer_graph, "_REMEMBERED_TASKS", 16)

    def node(state: State, config: RunnableConfig) -> State:
        return {"answers": numbered(config, "asst_a")}

    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_conditional_edges(
        START, lambda state: [Send("node", {}) for _ in range(100)], ["node"]
    )
    answers = builder.compile().invoke({}, {"max_concurrency": 4})["answers"]
    assert len(set(answers)) == 100
    assert len(outer_graph._calls._counts) <= 16


# Ids of tool calls.


class Tools:
    """A tool that keeps the id of the call it is executed for, both ways."""

    def __init__(self) -> None:
        self.ids: dict[str, str | None] = {}

        @tool
        def look_up(q: str, config: RunnableConfig) -> str:
            """Look something up."""
            self.ids[q] = tool_call_id(config)
            return q

        @tool
        async def look_up_async(q: str, config: RunnableConfig) -> str:
            """Look something up."""
            self.ids[q] = tool_call_id(config)
            return q

        self.sync, self.asynchronous = look_up, look_up_async


@pytest.fixture
def tools() -> Tools:
    return Tools()


def test_a_tool_of_create_agent_is_told_its_call(tools: Tools) -> None:
    model = ScriptedChatModel([calls("call_a", "call_b"), calls("call_c"), "Done."])
    create_agent(model, [tools.sync]).invoke({"messages": [("user", "Hi")]})
    assert tools.ids == {id: id for id in ("call_a", "call_b", "call_c")}


async def test_an_async_tool_of_create_agent_is_told_its_call(tools: Tools) -> None:
    asks = calls("call_a", "call_b", name="look_up_async")
    agent = create_agent(ScriptedChatModel([asks, "Done."]), [tools.asynchronous])
    await agent.ainvoke({"messages": [("user", "Hi")]})
    assert tools.ids == {"call_a": "call_a", "call_b": "call_b"}


@pytest.mark.filterwarnings("ignore:create_react_agent has been moved")
def test_a_tool_of_langgraphs_own_agent_is_told_its_call(tools: Tools) -> None:
    from langgraph.prebuilt import create_react_agent

    model = ScriptedChatModel([calls("call_a", "call_b"), "Done."])
    agent = create_react_agent(model, [tools.sync])
    agent.invoke({"messages": [("user", "Hi")]})
    assert tools.ids == {"call_a": "call_a", "call_b": "call_b"}


def test_the_tool_node_of_an_agent_in_a_subgraph_knows_its_calls(tools: Tools) -> None:
    model = ScriptedChatModel([calls("call_a"), "Done."])
    agent = create_agent(model, [tools.sync], name="agent")
    outer = graph(
        lambda state: {"answers": [agent.invoke({"messages": [("user", "Hi")]})]}
    )
    outer.invoke({})
    assert tools.ids == {"call_a": "call_a"}


def test_a_tool_knows_its_call_through_its_runtime_too() -> None:
    told: list[tuple[str | None, str | None]] = []

    @tool
    def look_up(q: str, runtime: ToolRuntime) -> str:
        """Look something up."""
        told.append((tool_call_id(runtime.config), runtime.tool_call_id))
        return q

    model = ScriptedChatModel([calls("call_a"), "Done."])
    create_agent(model, [look_up]).invoke({"messages": [("user", "Hi")]})
    assert told == [("call_a", "call_a")]


def test_a_node_that_no_call_was_sent_to_has_no_tool_call() -> None:
    found: list[str | None] = []

    def node(state: Any, config: RunnableConfig) -> State:
        found.append(tool_call_id(config))
        return {}

    graph(node).invoke({})
    for packet in ({"a": 1}, [1], [{"id": "x"}], "text", [], {"tool_call": None}, None):
        builder = StateGraph(State)
        builder.add_node("node", RunnableLambda(node))
        builder.add_conditional_edges(
            START, lambda state, packet=packet: [Send("node", packet)], ["node"]
        )
        builder.compile().invoke({})
    assert found == [None] * 8


def test_a_tool_node_that_executes_all_calls_of_a_message_names_none(
    tools: Tools,
) -> None:
    from langgraph.graph import MessagesState
    from langgraph.prebuilt import ToolNode

    builder = StateGraph(MessagesState)
    builder.add_node("tools", ToolNode([tools.sync]))
    builder.add_edge(START, "tools")
    made = [call("look_up", {"q": id}, id) for id in ("call_a", "call_b")]
    builder.compile().invoke({"messages": [AIMessage("", tool_calls=made)]})
    assert tools.ids == {"call_a": None, "call_b": None}


# Interrupts.


def positive(answer: Any) -> None:
    if not isinstance(answer, int) or answer <= 0:
        raise InvalidRequestError(f"{answer!r} is no positive number.", param="resume")


def test_an_answer_of_the_wrong_shape_is_told_and_can_be_given_again() -> None:
    executed: list[None] = []

    def node(state: State) -> State:
        executed.append(None)
        return {"answers": [ask("How many?", positive)]}

    program = graph(node, saver=InMemorySaver())
    asked = program.invoke({}, THREAD)["__interrupt__"]
    assert [item.value for item in asked] == ["How many?"]
    for wrong in ("many", -1, {"n": 1}):
        with pytest.raises(InvalidRequestError, match="no positive number") as error:
            program.invoke(Command(resume=wrong), THREAD)
        assert error.value.param == "resume"
        assert program.get_state(THREAD).next == ("node",)
    assert program.invoke(Command(resume=3), THREAD)["answers"] == [3]
    assert len(executed) == 5


async def test_of_two_questions_only_the_one_answered_wrongly_is_asked_again() -> None:
    async def node(state: State) -> State:
        return {"answers": [ask("One?", positive), ask("Two?", positive)]}

    program = graph(node, saver=InMemorySaver())
    await program.ainvoke({}, THREAD)
    asked = await program.ainvoke(Command(resume=1), THREAD)
    assert asked["__interrupt__"][0].value == "Two?"
    with pytest.raises(InvalidRequestError):
        await program.ainvoke(Command(resume=0), THREAD)
    done = await program.ainvoke(Command(resume=2), THREAD)
    assert done["answers"] == [1, 2]


def test_what_the_person_answered_reaches_the_node_unchanged() -> None:
    given = {"decisions": [{"type": "approve"}], "note": [1, 2.5, None, True]}
    program = graph(
        lambda state: {"answers": [ask("?", lambda answer: None)]},
        saver=InMemorySaver(),
    )
    program.invoke({}, THREAD)
    assert program.invoke(Command(resume=given), THREAD)["answers"] == [given]


def test_asking_within_a_subgraph_interrupts_the_whole_graph() -> None:
    inner = graph(lambda state: {"answers": [ask("Inside?", positive)]})
    outer = graph(inner.invoke, saver=InMemorySaver())
    asked = outer.invoke({}, THREAD)["__interrupt__"]
    assert asked[0].value == "Inside?"
    with pytest.raises(InvalidRequestError):
        outer.invoke(Command(resume="no"), THREAD)
    assert outer.invoke(Command(resume=5), THREAD)["answers"] == [5]


def test_a_question_is_langgraphs_own_interrupt() -> None:
    caught: list[GraphInterrupt] = []

    def node(state: State) -> State:
        try:
            ask("?", positive)
        except GraphInterrupt as error:
            caught.append(error)
            raise
        return {}

    graph(node, saver=InMemorySaver()).invoke({}, THREAD)
    assert len(caught) == 1
