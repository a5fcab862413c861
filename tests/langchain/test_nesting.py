"""An assistant inside somebody's graph, chain or trace."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from tests.conftest import EngineFactory
from tests.stored import rows
from typing_extensions import TypedDict

from langchain_assistants import AssistantRunnable
from langchain_assistants.testing import Reply, ScriptedChatModel, call

both_ways = pytest.mark.parametrize(
    "asynchronous", [False, True], ids=["sync", "async"]
)


class State(TypedDict, total=False):
    question: str
    answer: str


class Family(BaseCallbackHandler):
    """Remembers who started whom, and what each start was told."""

    run_inline = True

    def __init__(self) -> None:
        self.parents: dict[UUID, UUID | None] = {}
        self.names: dict[UUID, str] = {}
        self.tags: dict[str, list[str]] = {}
        self.metadata: dict[str, dict[str, Any]] = {}
        self.tokens: list[str] = []

    def _note(self, name: str, run_id: UUID, told: dict[str, Any]) -> None:
        self.parents[run_id] = told.get("parent_run_id")
        self.names[run_id] = name
        self.tags[name] = told.get("tags") or []
        self.metadata[name] = told.get("metadata") or {}

    def on_chain_start(self, *args: Any, run_id: UUID, **told: Any) -> None:
        self._note(told.get("name") or "chain", run_id, told)

    def on_chat_model_start(self, *args: Any, run_id: UUID, **told: Any) -> None:
        self._note("MODEL", run_id, told)

    def on_tool_start(self, *args: Any, run_id: UUID, **told: Any) -> None:
        self._note("TOOL", run_id, told)

    def on_llm_new_token(self, token: Any, **told: Any) -> None:
        self.tokens.append(token)

    def ancestors(self, name: str) -> list[str]:
        """The names above the (last) run with a name, nearest first."""
        run_id: UUID | None = next(i for i, n in self.names.items() if n == name)
        found = []
        while run_id is not None:
            run_id = self.parents.get(run_id)
            if run_id is not None:
                found.append(self.names[run_id])
        return found


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def calculator(engine_factory: EngineFactory, *steps: Any) -> AssistantRunnable:
    model = ScriptedChatModel(
        steps or [Reply(tool_calls=[call("add", {"a": 1, "b": 2})]), "It is 3."]
    )
    return AssistantRunnable.create_assistant(
        "Calculator",
        "You add.",
        [add],
        "scripted",
        engine=engine_factory(model),
        run_tools=True,
    )


def graph_around(assistant: AssistantRunnable, saver: InMemorySaver) -> Any:
    """Build a user's graph with a node that asks the assistant."""

    def sync_node(state: State) -> State:
        (message,) = assistant.invoke(state["question"])
        return {"answer": message.text}

    async def async_node(state: State) -> State:
        (message,) = await assistant.ainvoke(state["question"])
        return {"answer": message.text}

    builder = StateGraph(State)
    builder.add_node("ask", RunnableLambda(sync_node, async_node))
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    return builder.compile(checkpointer=saver, name="OUTER")


def run_graph(graph: Any, config: RunnableConfig, *, asynchronous: bool) -> State:
    given = {"question": "1 + 2?"}
    state: State = (
        asyncio.run(graph.ainvoke(given, config))
        if asynchronous
        else graph.invoke(given, config)
    )
    return state


@both_ways
def test_the_users_checkpointer_holds_only_the_users_graph(
    engine_factory: EngineFactory, asynchronous: bool
) -> None:
    saver = InMemorySaver()
    graph = graph_around(calculator(engine_factory), saver)
    config: RunnableConfig = {"configurable": {"thread_id": "mine"}}
    state = run_graph(graph, config, asynchronous=asynchronous)
    assert state["answer"] == "It is 3."
    assert list(saver.storage) == ["mine"]
    assert list(saver.storage["mine"]) == [""]  # no namespace of a subgraph
    kept = list(saver.list(None))
    alone = InMemorySaver()
    plain = graph_around(calculator(engine_factory, "It is 3."), alone)
    run_graph(plain, config, asynchronous=asynchronous)
    assert len(kept) == len(list(alone.list(None)))
    for item in kept:
        assert "messages" not in item.checkpoint["channel_values"]


@both_ways
def test_the_configurable_thread_id_is_never_the_assistants(
    engine_factory: EngineFactory, asynchronous: bool
) -> None:
    assistant = calculator(engine_factory, "one", "two")
    graph = graph_around(assistant, InMemorySaver())
    for answer in ("one", "two"):
        config: RunnableConfig = {"configurable": {"thread_id": "mine"}}
        state = run_graph(graph, config, asynchronous=asynchronous)
        assert state["answer"] == answer
    threads = {
        run["thread_id"] for run in rows(assistant.engine, "SELECT thread_id FROM runs")
    }
    assert len(threads) == 2  # each invocation made its own
    assert "mine" not in threads


@both_ways
def test_traces_nest_through_the_graph_to_model_and_tool(
    engine_factory: EngineFactory, asynchronous: bool
) -> None:
    family = Family()
    graph = graph_around(calculator(engine_factory), InMemorySaver())
    config: RunnableConfig = {
        "configurable": {"thread_id": "mine"},
        "callbacks": [family],
        "tags": ["outer-tag"],
        "metadata": {"customer": "42"},
    }
    run_graph(graph, config, asynchronous=asynchronous)
    for name in ("MODEL", "TOOL"):
        above = family.ancestors(name)
        assert above[-1] == "OUTER"
        assert "AssistantRunnable" in above
        assert "assistant_run" in above
        assert above.index("assistant_run") < above.index("AssistantRunnable")
        assert "outer-tag" in family.tags[name]
        assert family.metadata[name]["customer"] == "42"
        assert family.metadata[name]["run_id"].startswith("run_")
        assert family.metadata[name]["thread_id"].startswith("thread_")


@both_ways
def test_tags_and_metadata_of_a_direct_call_arrive(
    engine_factory: EngineFactory, asynchronous: bool
) -> None:
    family = Family()
    assistant = calculator(engine_factory)
    config: RunnableConfig = {
        "callbacks": [family],
        "tags": ["mine"],
        "metadata": {"customer": "42"},
        "run_name": "Adding",
    }
    if asynchronous:
        asyncio.run(assistant.ainvoke("1 + 2?", config))
    else:
        assistant.invoke("1 + 2?", config)
    assert family.ancestors("MODEL")[-2:] == ["assistant_run", "Adding"]
    assert "mine" in family.tags["MODEL"]
    assert family.metadata["TOOL"]["customer"] == "42"


async def test_asynchronous_handlers_hear_the_model(
    engine_factory: EngineFactory,
) -> None:
    heard: list[str] = []

    class Ears(AsyncCallbackHandler):
        async def on_chat_model_start(self, *args: Any, **told: Any) -> None:
            heard.append("model")

        async def on_tool_start(self, *args: Any, **told: Any) -> None:
            heard.append("tool")

    assistant = await asyncio.to_thread(calculator, engine_factory)
    await assistant.ainvoke("1 + 2?", {"callbacks": [Ears()]})
    assert heard == ["model", "tool", "model"]


@both_ways
def test_tokens_reach_an_outer_stream_that_asks_for_subgraphs(
    engine_factory: EngineFactory, asynchronous: bool
) -> None:
    # Without `subgraphs` LangGraph keeps the tokens of any graph with a thread of its
    # own out of the stream, so that nobody takes them for those of the outer graph.
    assistant = calculator(engine_factory, "It is three.")
    graph = graph_around(assistant, InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "mine"}}
    given = {"question": "1 + 2?"}
    modes: dict[str, Any] = {"stream_mode": "messages", "subgraphs": True}

    async def collect() -> list[Any]:
        return [item async for item in graph.astream(given, config, **modes)]

    streamed = (
        asyncio.run(collect())
        if asynchronous
        else list(graph.stream(given, config, **modes))
    )
    chunks = [chunk for _, (chunk, _) in streamed]
    assert "".join(chunk.text for chunk in chunks) == "It is three."
    assert len(chunks) > 1


@both_ways
def test_a_chain_passes_its_callbacks_on(
    engine_factory: EngineFactory, asynchronous: bool
) -> None:
    family = Family()
    chain = RunnableLambda(lambda text: {"content": text}) | calculator(engine_factory)
    if asynchronous:
        asyncio.run(chain.ainvoke("1 + 2?", {"callbacks": [family]}))
    else:
        chain.invoke("1 + 2?", {"callbacks": [family]})
    assert family.ancestors("MODEL")[-1] == "RunnableSequence"
