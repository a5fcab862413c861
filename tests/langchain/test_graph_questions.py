"""Questions to people from further inside: a graph in a graph, a run's middleware."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from tests.conftest import EngineFactory
from tests.langchain.arithmetic import add, multiply
from tests.langchain.conftest import Ask
from tests.langchain.graph_stage import (
    APPROVE,
    BOTH,
    HERE,
    asking,
    assert_at_rest,
    conversation,
    graph_of,
    last,
    outputs,
    question,
    recorded,
    say,
    statuses,
    told,
)
from tests.langchain.places import Bind

from langchain_assistants.errors import (
    InvalidRequestError,
)
from langchain_assistants.testing import Reply, call


def around(inner: Any) -> Any:
    """A user's graph with an assistant graph as its only node."""
    builder = StateGraph(MessagesState)
    builder.add_node("tutor", inner)
    builder.add_edge(START, "tutor")
    return builder.compile(checkpointer=InMemorySaver())


async def test_a_question_inside_a_larger_graph_is_answered_there(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    inner = asking(engine_factory, BOTH, "Done.", checkpointer=None)
    graph = around(inner)
    asked = await ask(graph, say("Go"), HERE)
    assert len(question(asked)["action_requests"]) == 2
    state = await ask(graph, Command(resume=True), HERE)
    assert told(state["messages"]) == [
        ("human", "Go"),
        ("ai", ""),
        ("tool", "3"),
        ("tool", "12"),
        ("ai", "Done."),
    ]
    assert statuses(engine_factory.opened[-1]) == ["completed"]


async def test_new_input_to_a_larger_graph_in_place_of_an_answer_frees_the_thread(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    inner = asking(engine_factory, BOTH, "As you like.", checkpointer=None)
    graph = around(inner)
    await ask(graph, say("Go"), HERE)
    state = await ask(graph, say("Wait, do not."), HERE)
    assert last(state) == "As you like."
    engine = engine_factory.opened[-1]
    assert statuses(engine) == ["cancelled", "completed"]
    assert conversation(engine, "mine")[:2] == [
        ("user", "Go"),
        ("user", "Wait, do not."),
    ]
    assert_at_rest(engine)


def paying(engine_factory: EngineFactory, *steps: Any, **options: Any) -> Any:
    """An engine whose middleware asks a person before it pays."""

    def pay(amount: int) -> str:
        """Pay an amount."""
        return f"paid {amount}"

    middleware = [HumanInTheLoopMiddleware({"pay": True})]
    return engine_factory(list(steps), tools=[pay], middleware=middleware, **options)


PAYS = Reply(tool_calls=[call("pay", {"amount": 5}, "call_pay")])
PAY_TOOL = {
    "type": "function",
    "run_on": "engine",
    "function": {
        "name": "pay",
        "parameters": {"type": "object", "properties": {"amount": {"type": "integer"}}},
    },
}


async def test_a_question_of_the_runs_middleware_reaches_the_outer_graph(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    engine = paying(engine_factory, PAYS, "Paid.")
    graph = graph_of(
        engine, assistant={"tools": [PAY_TOOL]}, checkpointer=InMemorySaver(), bind=bind
    )
    asked = await ask(graph, say("Pay 5"), HERE)
    assert question(asked)["action_requests"][0]["args"] == {"amount": 5}
    with pytest.raises(InvalidRequestError, match="still waits for approval"):
        await ask(graph, Command(resume="yes"), HERE)
    state = await ask(graph, Command(resume={"decisions": [APPROVE]}), HERE)
    assert last(state) == "Paid."
    assert list(recorded(engine, "mine")) == [("pay", {"amount": 5}, "paid 5")]
    assert conversation(engine, "mine") == [("user", "Pay 5"), ("assistant", "Paid.")]
    assert statuses(engine) == ["completed"]


async def test_middleware_asks_before_the_tools_of_the_graph_run(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    middleware = [HumanInTheLoopMiddleware({"add": True})]
    engine = engine_factory([BOTH, "Done."], middleware=middleware)
    graph = graph_of(engine, [add, multiply], checkpointer=InMemorySaver(), bind=bind)
    asked = await ask(graph, say("Go"), HERE)
    assert [a["name"] for a in question(asked)["action_requests"]] == ["add"]
    state = await ask(graph, Command(resume={"decisions": [APPROVE]}), HERE)
    assert (outputs(state["messages"]), last(state)) == (["3", "12"], "Done.")
