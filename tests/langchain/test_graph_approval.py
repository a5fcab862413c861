"""People who decide about the tool calls of an assistant graph."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from tests.conftest import Clock, EngineFactory
from tests.langchain.arithmetic import add, calls, multiply
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
    made_calls,
    outputs,
    question,
    recorded,
    say,
    statuses,
    told,
)
from tests.langchain.places import Bind

from langchain_assistants import create_assistant_graph
from langchain_assistants.errors import (
    ConfigurationError,
    InvalidRequestError,
    RunExpired,
)
from langchain_assistants.testing import Reply, ScriptedChatModel, call

ONE = Reply(tool_calls=[call("add", {"a": 1, "b": 2}, "call_add")])
EDIT = {"type": "edit", "edited_action": {"name": "add", "args": {"a": 5, "b": 5}}}
REJECT = {"type": "reject"}


async def test_the_question_is_langchains_and_names_the_calls(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = asking(engine_factory, BOTH)
    state = await ask(graph, say("Go"), HERE)
    asked = question(state)
    assert [
        (action["name"], action["args"], action["tool_call_id"])
        for action in asked["action_requests"]
    ] == [
        ("add", {"a": 1, "b": 2}, "call_add"),
        ("multiply", {"a": 3, "b": 4}, "call_multiply"),
    ]
    assert [config["action_name"] for config in asked["review_configs"]] == [
        "add",
        "multiply",
    ]
    assert state["status"] == "requires_action"
    assert graph.get_state(HERE).next == ("approval",)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (True, ["3", "12"]),
        (False, ["Error", "Error"]),
        ({"decisions": [APPROVE, REJECT]}, ["3", "Error"]),
        ({"decisions": [EDIT, APPROVE]}, ["10", "12"]),
        ({"call_add": True, "call_multiply": False}, ["3", "Error"]),
        ({"call_add": "approve", "call_multiply": "reject"}, ["3", "Error"]),
        ({"call_add": EDIT, "call_multiply": APPROVE}, ["10", "12"]),
        (
            {
                "call_add": {"type": "respond", "message": "It is three."},
                "call_multiply": {"type": "reject", "message": "Too hard."},
            },
            ["It is three.", "Error: a person refused this call: Too hard."],
        ),
    ],
)
async def test_decisions_in_each_form(
    engine_factory: EngineFactory, ask: Ask, answer: Any, expected: list[str]
) -> None:
    graph = asking(engine_factory, BOTH, "Done.")
    await ask(graph, say("Go"), HERE)
    state = await ask(graph, Command(resume=answer), HERE)
    assert last(state) == "Done."
    by_id = {m.tool_call_id: m for m in state["messages"] if isinstance(m, ToolMessage)}
    assert len(by_id) == len(outputs(state["messages"])) == 2
    for call_id, text in zip(("call_add", "call_multiply"), expected, strict=True):
        found = by_id[call_id]
        assert found.text == text or found.text.startswith(f"{text}: a person")
        assert (found.status == "error") == text.startswith("Error")


async def test_a_single_call_takes_a_bare_decision(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = asking(engine_factory, ONE, "Done.")
    await ask(graph, say("Go"), HERE)
    state = await ask(graph, Command(resume=APPROVE), HERE)
    assert outputs(state["messages"]) == ["3"]


async def test_the_model_and_the_steps_hear_of_an_edit(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    model = ScriptedChatModel([ONE, "Ten."])
    engine = engine_factory(model)
    graph = graph_of(
        engine, [add], interrupt_before_tools=True, checkpointer=InMemorySaver()
    )
    await ask(graph, say("Go"), HERE)
    state = await ask(graph, Command(resume={"decisions": [EDIT]}), HERE)
    assert outputs(state["messages"]) == ["10"]
    [edited] = made_calls(state["messages"])
    assert (edited["id"], edited["args"]) == ("call_add", {"a": 5, "b": 5})
    assert told(model.calls[1].messages)[-1][1].startswith("A person changed this to ")
    assert told(model.calls[1].messages)[-1][1].endswith("10")
    # The thread keeps what the model has asked for, with what it was told.
    [(name, args, output)] = recorded(engine, "mine")
    assert (name, args) == ("add", {"a": 1, "b": 2})
    assert "5" in output


WRONG: list[Any] = [
    "yes",
    5,
    [],
    {"decisions": []},
    {"decisions": [APPROVE]},
    {"decisions": [APPROVE, APPROVE, APPROVE]},
    {"decisions": [APPROVE, {"type": "maybe"}]},
    {"decisions": [APPROVE, None]},
    {"decisions": "approve"},
    {"type": "approve"},
    {"call_add": True},
    {"call_add": True, "call_multiply": True, "call_other": True},
    {"call_add": True, "call_of_another_run": True},
    {"call_add": True, "call_multiply": {"type": "edit"}},
    {"call_add": True, "call_multiply": {"type": "edit", "edited_action": {}}},
    {"call_add": True, "call_multiply": {"type": "respond"}},
    {"call_add": True, "call_multiply": {"type": ["approve"]}},
    {"call_add": True, "call_multiply": {"type": "reject", "message": 5}},
    {
        "call_add": True,
        "call_multiply": {"type": "edit", "edited_action": {"name": 5, "args": {}}},
    },
]


async def test_a_wrong_answer_is_refused_and_the_next_right_one_works(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = asking(engine_factory, BOTH, "Done.")
    await ask(graph, say("Go"), HERE)
    for wrong in WRONG:
        with pytest.raises(InvalidRequestError) as raised:
            await ask(graph, Command(resume=wrong), HERE)
        assert raised.value.param == "resume", wrong
    state = await ask(graph, Command(resume=True), HERE)
    assert outputs(state["messages"]) == ["3", "12"]


async def test_going_on_without_an_answer_asks_again(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = asking(engine_factory, BOTH, "Done.")
    first = await ask(graph, say("Go"), HERE)
    for nothing in (None, Command(resume={})):
        again = await ask(graph, nothing, HERE)
        assert question(again) == question(first)
    state = await ask(graph, Command(resume=True), HERE)
    assert outputs(state["messages"]) == ["3", "12"]


async def test_only_the_named_tools_are_asked_about(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = asking(
        engine_factory,
        BOTH,
        calls((add, 1, 1)),
        "Done.",
        interrupt_before_tools=["multiply"],
    )
    state = await ask(graph, say("Go"), HERE)
    [action] = question(state)["action_requests"]
    assert action["tool_call_id"] == "call_multiply"
    state = await ask(graph, Command(resume=False), HERE)
    assert last(state) == "Done."
    assert sorted(outputs(state["messages"]))[:2] == ["2", "3"]


def test_a_name_that_is_no_tools_is_refused(engine_factory: EngineFactory) -> None:
    with pytest.raises(ConfigurationError, match="names 'ad', but the tools are: add"):
        asking(engine_factory, interrupt_before_tools=["ad"])
    assert "approval" in asking(engine_factory, interrupt_before_tools="add").nodes
    assert "approval" not in asking(engine_factory, interrupt_before_tools=[]).nodes


async def test_a_second_round_is_asked_about_too(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    graph = asking(engine_factory, ONE, calls((multiply, 2, 2)), "Done.", bind=bind)
    await ask(graph, say("Go"), HERE)
    second = await ask(graph, Command(resume=True), HERE)
    assert question(second)["action_requests"][0]["name"] == "multiply"
    state = await ask(graph, Command(resume=True), HERE)
    assert (outputs(state["messages"]), last(state)) == (["3", "4"], "Done.")
    assert statuses(engine_factory.opened[-1]) == ["completed"]


Savers = Callable[[], BaseCheckpointSaver[Any]]


@pytest.fixture
def sqlite_savers(tmp_path: Path) -> Iterator[Savers]:
    """Connections to one file of checkpoints, as several processes have them."""
    opened: list[sqlite3.Connection] = []

    def connect() -> BaseCheckpointSaver[Any]:
        path = tmp_path / "checkpoints.db"
        opened.append(sqlite3.connect(path, check_same_thread=False))
        return SqliteSaver(opened[-1])

    yield connect
    for connection in opened:
        with closing(connection):
            pass


def test_an_answer_arrives_in_another_process(
    engine_factory: EngineFactory, sqlite_savers: Savers
) -> None:
    before = engine_factory([BOTH])
    graph = graph_of(
        before,
        [add, multiply],
        interrupt_before_tools=True,
        checkpointer=sqlite_savers(),
    )
    waiting = graph.invoke(say("Go"), HERE)
    assistant_id = before.runs.retrieve(waiting["run_id"]).assistant_id
    before.close()
    after = engine_factory.reopen(["Done."])
    again = create_assistant_graph(
        assistant_id,
        [add, multiply],
        engine=after,
        interrupt_before_tools=True,
        checkpointer=sqlite_savers(),
    )
    state = again.invoke(Command(resume=True), HERE)
    assert told(state["messages"]) == [
        ("human", "Go"),
        ("ai", ""),
        ("tool", "3"),
        ("tool", "12"),
        ("ai", "Done."),
    ]
    assert state["run_id"] == waiting["run_id"]
    assert conversation(after, "mine") == [("user", "Go"), ("assistant", "Done.")]
    assert_at_rest(after)


async def test_new_input_in_place_of_an_answer_cancels_the_run_and_loses_nothing(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    model = ScriptedChatModel([BOTH, "As you like."])
    engine = engine_factory(model)
    graph = graph_of(
        engine,
        [add, multiply],
        interrupt_before_tools=True,
        checkpointer=InMemorySaver(),
        bind=bind,
    )
    await ask(graph, say("Go"), HERE)
    state = await ask(graph, say("Wait, do not."), HERE)
    assert last(state) == "As you like."
    assert statuses(engine) == ["cancelled", "completed"]
    assert conversation(engine, "mine") == [
        ("user", "Go"),
        ("user", "Wait, do not."),
        ("assistant", "As you like."),
    ]
    assert told(state["messages"]) == [
        ("human", "Wait, do not."),
        ("ai", "As you like."),
    ]
    assert_at_rest(engine)


async def test_an_answer_that_comes_too_late_is_told_so_and_the_thread_goes_on(
    engine_factory: EngineFactory, ask: Ask, clock: Clock
) -> None:
    engine = engine_factory([ONE, "Here I am."], clock=clock)
    graph = graph_of(
        engine, [add], interrupt_before_tools=True, checkpointer=InMemorySaver()
    )
    waiting = await ask(graph, say("Go"), HERE)
    clock.advance(29 * 24 * 3600)
    assert engine.runs.retrieve(waiting["run_id"]).status == "requires_action"
    clock.advance(2 * 24 * 3600)
    with pytest.raises(RunExpired, match=waiting["run_id"]):
        await ask(graph, Command(resume=True), HERE)
    assert last(await ask(graph, say("Hello?"), HERE)) == "Here I am."
    assert_at_rest(engine)


async def test_a_refused_call_is_no_work_of_the_tools_node(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = asking(engine_factory, BOTH, "Pity.")
    await ask(graph, say("Go"), HERE)
    updates = list(graph.stream(Command(resume=False), HERE, stream_mode="updates"))
    assert [node for update in updates for node in update] == ["approval", "assistant"]
