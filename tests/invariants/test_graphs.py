"""Invariants where an assistant is a graph, or part of one, and things go wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from tests.conftest import EngineFactory
from tests.langchain.arithmetic import add, calls
from tests.langchain.graph_stage import (
    HERE,
    assert_at_rest,
    conversation,
    graph_of,
    last,
    say,
    told,
)

from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.errors import RunFailed
from langchain_assistants.testing import ScriptedChatModel
from langchain_assistants.testing.script import ModelCall


@pytest.fixture(params=["memory", "sqlite"])
def saver(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[BaseCheckpointSaver[Any]]:
    """A user's checkpointer."""
    if request.param == "memory":
        yield InMemorySaver()
        return
    path = tmp_path / "checkpoints.db"
    connection = sqlite3.connect(path, check_same_thread=False)
    yield SqliteSaver(connection)
    connection.close()


def as_function(engine: AssistantsEngine) -> Any:
    """A node that invokes an assistant, which executes its tools itself."""
    assistant = AssistantRunnable.create_assistant(
        "T", "", [add], "m", engine=engine, run_tools=True, as_message=True
    )

    def node(state: MessagesState) -> Any:
        return {"messages": [assistant.invoke(state["messages"][-1].text)]}

    return node


def as_subgraph(engine: AssistantsEngine) -> Any:
    """An assistant graph as a node."""
    return graph_of(engine, [add])


def around(node: Any, saver: BaseCheckpointSaver[Any] | None) -> Any:
    """A user's graph with one node."""
    builder = StateGraph(MessagesState)
    builder.add_node("tutor", node)
    builder.add_edge(START, "tutor")
    return builder.compile(checkpointer=saver)


@pytest.mark.parametrize("make", [as_function, as_subgraph])
def test_the_users_checkpointer_holds_only_the_users_graph(
    engine_factory: EngineFactory,
    saver: BaseCheckpointSaver[Any],
    make: Callable[[AssistantsEngine], Any],
) -> None:
    engine = engine_factory([calls((add, 1, 2)), "Three.", "Bye."])
    graph = around(make(engine), saver)
    for text in ("1 + 2?", "Bye"):
        graph.invoke(say(text), HERE)
    kept = [item for item in saver.list(None) if item is not None]
    found = {str(item.config["configurable"]["thread_id"]) for item in kept}
    assert found == {"mine"}
    spaces = {item.config["configurable"].get("checkpoint_ns", "") for item in kept}
    # A namespace is a task of the user's graph; the graph inside the engine has none.
    assert all(space.count("|") == 0 for space in spaces)
    names = {space.partition(":")[0] for space in spaces}
    assert names == ({""} if make is as_function else {"", "tutor"})
    channels = {
        name
        for item in kept
        for name in item.checkpoint["channel_values"]
        if not name.startswith(("branch:", "__"))
    }
    own = {"thread_id", "run_id", "status", "usage", "handover"}
    assert channels <= {"messages"} | (own if make is as_subgraph else set())


class Crash(Exception):
    """A process dies here."""


class MortalSaver(InMemorySaver):
    """A checkpointer whose process dies in its n-th write, once."""

    def __init__(self, dies_at: int) -> None:
        super().__init__()
        self.written = 0
        self.dies_at = dies_at
        self.dead = False

    def _write(self) -> None:
        self.written += 1
        self.dead = self.dead or self.written == self.dies_at
        if self.dead:
            raise Crash

    def put(self, *args: Any, **kwargs: Any) -> Any:
        self._write()
        return super().put(*args, **kwargs)

    def put_writes(self, *args: Any, **kwargs: Any) -> None:
        self._write()
        super().put_writes(*args, **kwargs)


def answer(messages: Sequence[BaseMessage], _: ModelCall) -> Any:
    """Call a tool for a question, answer with its output, and be polite."""
    newest = messages[-1]
    if isinstance(newest, ToolMessage):
        return f"It is {newest.text}."
    return calls((add, 1, 2)) if newest.text == "1 + 2?" else "You are welcome."


class Life:
    """A graph that dies in its n-th write; everything else outlives it."""

    def __init__(
        self, engine_factory: EngineFactory, dies_at: int, *, nested: bool, model: Any
    ) -> None:
        self.engine = engine_factory(model or ScriptedChatModel(respond=answer))
        self.saver = MortalSaver(dies_at)
        inner = graph_of(
            self.engine, [add], checkpointer=None if nested else self.saver
        )
        self.graph = around(inner, self.saver) if nested else inner

    def begin(self, text: str) -> bool:
        """Invoke the graph; tell whether it lived through it."""
        try:
            self.graph.invoke(question(text), HERE, durability="sync")
        except (Crash, RunFailed):
            self.saver.dead = False
            return False
        return True

    def knows(self, text: str) -> bool:
        """Whether the graph's state holds an input, or is about to take it."""
        left = self.graph.get_state(HERE)
        kept = left.values.get("messages") or ()
        return "__start__" in left.next or any(m.id == text for m in kept)

    def holds_input(self) -> bool:
        """Whether new input would find the one before: LangGraph drops pending ones."""
        metadata = self.graph.get_state(HERE).metadata or {}
        return metadata.get("source") == "loop"

    def turn(self, text: str) -> Any:
        """Invoke the graph, and start it again after a crash."""
        if not self.begin(text):
            if self.knows(text):
                self.graph.invoke(None, HERE)
            else:
                assert self.begin(text)
        return self.graph.get_state(HERE).values


def question(text: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(text, id=text)]}


FIRST = [("user", "1 + 2?"), ("assistant", "It is 3.")]
SECOND = [("user", "Thanks"), ("assistant", "You are welcome.")]
kinds = pytest.mark.parametrize("nested", [False, True], ids=["alone", "as a node"])


@kinds
def test_no_message_is_lost_or_doubled(
    engine_factory: EngineFactory, nested: bool
) -> None:
    dies_at, lived = 0, False
    while not lived:
        dies_at += 1
        life = Life(engine_factory, dies_at, nested=nested, model=None)
        state = life.turn("1 + 2?")
        assert conversation(life.engine, "mine") == FIRST, dies_at
        assert told(state["messages"]) == [
            ("human", "1 + 2?"),
            ("ai", ""),
            ("tool", "3"),
            ("ai", "It is 3."),
        ], dies_at
        state = life.turn("Thanks")
        assert last(state) == "You are welcome.", dies_at
        assert conversation(life.engine, "mine") == FIRST + SECOND, dies_at
        assert_at_rest(life.engine)
        lived = life.saver.written < dies_at
    assert dies_at > 12


@kinds
def test_no_message_is_lost_or_doubled_where_people_go_on_after_a_crash(
    engine_factory: EngineFactory, nested: bool
) -> None:
    dies_at = 1
    life = Life(engine_factory, dies_at, nested=nested, model=None)
    while not life.begin("1 + 2?"):
        taken = life.holds_input()
        assert life.begin("Thanks")
        kept = conversation(life.engine, "mine")
        assert kept[-2:] == SECOND, dies_at
        assert kept[:-2] == FIRST[: len(kept) - 2], dies_at
        assert len(kept) > 2 or not taken, dies_at
        assert_at_rest(life.engine)
        dies_at += 1
        life = Life(engine_factory, dies_at, nested=nested, model=None)
    assert dies_at > 6


@kinds
def test_no_message_is_lost_or_doubled_where_a_model_fails_once(
    engine_factory: EngineFactory, nested: bool
) -> None:
    steps: list[Any] = [calls((add, 1, 2)), "It is 3.", "You are welcome."]
    for place in range(3):
        script = [*steps[:place], ValueError("no answer"), *steps[place:]]
        model = ScriptedChatModel(script)
        life = Life(engine_factory, 0, nested=nested, model=model)
        life.turn("1 + 2?")
        life.turn("Thanks")
        assert conversation(life.engine, "mine") == FIRST + SECOND, place
        assert_at_rest(life.engine)
