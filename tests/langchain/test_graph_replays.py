"""Going back to an older checkpoint: the thread is forked, the original untouched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from tests.conftest import EngineFactory
from tests.langchain.arithmetic import add, calls
from tests.langchain.conftest import Ask
from tests.langchain.graph_stage import (
    HERE,
    assert_at_rest,
    conversation,
    graph_of,
    last,
    outputs,
    recorded,
    say,
    statuses,
    told,
)

from langchain_assistants import AssistantsEngine
from langchain_assistants.testing import ScriptedChatModel


class Scene:
    """Two turns of one graph: the first with a tool call, the second without."""

    def __init__(self, engine_factory: EngineFactory, ask: Ask, *more: Any) -> None:
        self.model = ScriptedChatModel([calls((add, 1, 2)), "Three.", "Bye.", *more])
        self.engine: AssistantsEngine = engine_factory(self.model)
        self.executed: list[tuple[int, int]] = []

        def add_(a: int, b: int) -> int:
            """Add two numbers."""
            self.executed.append((a, b))
            return a + b

        add_.__name__ = "add"
        self.graph = graph_of(self.engine, [add_], checkpointer=InMemorySaver())
        self.ask = ask

    async def play(self) -> Scene:
        await self.ask(self.graph, say("1 + 2?"), HERE)
        state = await self.ask(self.graph, say("Bye"), HERE)
        self.thread_id = state["thread_id"]
        self.before = conversation(self.engine, "mine")
        return self

    def at(self, wanted: Callable[[Any], bool]) -> RunnableConfig:
        """The newest checkpoint of a kind."""
        found: RunnableConfig = next(
            snapshot.config
            for snapshot in self.graph.get_state_history(HERE)
            if wanted(snapshot)
        )
        return found

    def fork_of(self, state: Any) -> list[tuple[str, str]]:
        """The conversation of the fork; the original is untouched."""
        assert state["thread_id"] != self.thread_id
        assert conversation(self.engine, "mine") == self.before
        fork = self.engine.threads.retrieve(state["thread_id"])
        assert fork.key is None
        return conversation(self.engine, state["thread_id"])


def end_of_first_turn(snapshot: Any) -> bool:
    messages = snapshot.values.get("messages") or [HumanMessage("")]
    return snapshot.next == () and messages[-1].text == "Three."


def before_the_calls(snapshot: Any) -> bool:
    messages = snapshot.values.get("messages") or ()
    return snapshot.next == ("assistant",) and len(messages) == 1


def before_the_second_answer(snapshot: Any) -> bool:
    return snapshot.next == ("assistant",) and any(
        m.text == "Bye" for m in snapshot.values.get("messages") or ()
    )


def before_the_tools(snapshot: Any) -> bool:
    return "tools" in snapshot.next


def after_the_tools(snapshot: Any) -> bool:
    messages = snapshot.values.get("messages") or ()
    return snapshot.next == ("assistant",) and isinstance(messages[-1], ToolMessage)


FIRST_TURN = [("user", "1 + 2?"), ("assistant", "Three.")]


async def test_new_input_at_the_end_of_an_older_turn_forks_the_thread(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    scene = await Scene(engine_factory, ask, "Four.", "Five.").play()
    config = scene.at(end_of_first_turn)
    state = await ask(scene.graph, say("3 + 1?"), config)
    assert scene.fork_of(state) == [
        *FIRST_TURN,
        ("user", "3 + 1?"),
        ("assistant", "Four."),
    ]
    # The fork's history has the tool call that came before it.
    assert told(scene.model.calls[-1].messages) == [
        ("human", "1 + 2?"),
        ("ai", ""),
        ("tool", "3"),
        ("ai", "Three."),
        ("human", "3 + 1?"),
    ]
    # The next turn goes on in the fork.
    again = await ask(scene.graph, say("4 + 1?"), HERE)
    assert again["thread_id"] == state["thread_id"]
    assert last(again) == "Five."
    assert conversation(scene.engine, "mine") == scene.before
    assert_at_rest(scene.engine)


async def test_two_replays_of_one_checkpoint_are_two_forks(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    scene = await Scene(engine_factory, ask, "A.", "B.").play()
    config = scene.at(end_of_first_turn)
    first = await ask(scene.graph, say("A?"), config)
    second = await ask(scene.graph, say("B?"), config)
    assert first["thread_id"] != second["thread_id"]
    assert scene.fork_of(first)[2:] == [("user", "A?"), ("assistant", "A.")]
    assert scene.fork_of(second)[2:] == [("user", "B?"), ("assistant", "B.")]


async def test_an_answer_is_made_again_from_before_it(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    scene = await Scene(engine_factory, ask, "Farewell.").play()
    state = await ask(scene.graph, None, scene.at(before_the_second_answer))
    assert scene.fork_of(state) == [
        *FIRST_TURN,
        ("user", "Bye"),
        ("assistant", "Farewell."),
    ]
    assert told(scene.model.calls[-1].messages)[-1] == ("human", "Bye")
    assert scene.executed == [(1, 2)]


async def test_the_first_answer_is_made_again_without_what_came_later(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    scene = await Scene(engine_factory, ask, "Three, of course.").play()
    state = await ask(scene.graph, None, scene.at(before_the_calls))
    assert told(scene.model.calls[-1].messages) == [("human", "1 + 2?")]
    assert last(state) == "Three, of course."
    assert conversation(scene.engine, "mine") == scene.before
    assert conversation(scene.engine, state["thread_id"]) == [
        ("user", "1 + 2?"),
        ("assistant", "Three, of course."),
    ]


@pytest.mark.parametrize(
    "place", [before_the_tools, after_the_tools], ids=["before", "after"]
)
async def test_from_the_middle_of_the_tools_the_calls_are_not_made_again(
    engine_factory: EngineFactory, ask: Ask, place: Callable[[Any], bool]
) -> None:
    scene = await Scene(engine_factory, ask, "Three again.").play()
    state = await ask(scene.graph, None, scene.at(place))
    assert scene.fork_of(state) == [("user", "1 + 2?"), ("assistant", "Three again.")]
    assert told(scene.model.calls[-1].messages) == [
        ("human", "1 + 2?"),
        ("ai", ""),
        ("tool", "3"),
    ]
    assert len(scene.executed) == (2 if place is before_the_tools else 1)
    assert outputs(state["messages"]) == ["3"]
    assert list(recorded(scene.engine, state["thread_id"])) == [
        ("add", {"a": 1, "b": 2}, "3")
    ]
    assert set(statuses(scene.engine)) == {"completed"}
    assert_at_rest(scene.engine)


async def test_an_edited_output_is_what_the_model_sees(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    scene = await Scene(engine_factory, ask, "Thirty!").play()
    config = scene.at(after_the_tools)
    [old] = [
        m
        for m in scene.graph.get_state(config).values["messages"]
        if isinstance(m, ToolMessage)
    ]
    edited = scene.graph.update_state(
        config, {"messages": [old.model_copy(update={"content": "30"})]}, "tools"
    )
    state = await ask(scene.graph, None, edited)
    assert scene.fork_of(state)[-1] == ("assistant", "Thirty!")
    assert told(scene.model.calls[-1].messages)[-1] == ("tool", "30")
    assert [out for _, _, out in recorded(scene.engine, "mine")] == ["3"]


async def test_an_edited_question_replaces_the_old_one_in_the_fork(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    scene = await Scene(engine_factory, ask, "So long.").play()
    config = scene.at(before_the_second_answer)
    asked = scene.graph.get_state(config).values["messages"][-1]
    edited = scene.graph.update_state(
        config, {"messages": [HumanMessage("Goodbye", id=asked.id)]}, "__start__"
    )
    state = await ask(scene.graph, None, edited)
    assert scene.fork_of(state) == [
        *FIRST_TURN,
        ("user", "Goodbye"),
        ("assistant", "So long."),
    ]


async def test_an_edited_first_question_replaces_the_old_one_in_the_fork(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    scene = await Scene(engine_factory, ask, "Four.").play()
    config = scene.at(before_the_calls)
    [asked] = scene.graph.get_state(config).values["messages"]
    edited = scene.graph.update_state(
        config, {"messages": [HumanMessage("1 + 3?", id=asked.id)]}, "__start__"
    )
    state = await ask(scene.graph, None, edited)
    assert scene.fork_of(state) == [("user", "1 + 3?"), ("assistant", "Four.")]
    assert told(scene.model.calls[-1].messages) == [("human", "1 + 3?")]


async def test_an_edit_of_the_newest_state_forks_nothing(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    scene = await Scene(engine_factory, ask, "Hello again.").play()
    scene.graph.update_state(HERE, {"messages": [AIMessage("A note.", id="note")]})
    state = await ask(scene.graph, say("Hi"), HERE)
    assert state["thread_id"] == scene.thread_id
    assert conversation(scene.engine, "mine")[-2:] == [
        ("user", "Hi"),
        ("assistant", "Hello again."),
    ]


async def test_the_middle_of_an_approval_can_be_gone_back_to(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    model = ScriptedChatModel([calls((add, 1, 2)), "Refused.", "Three."])
    engine = engine_factory(model)
    graph = graph_of(
        engine, [add], interrupt_before_tools=True, checkpointer=InMemorySaver()
    )
    await ask(graph, say("1 + 2?"), HERE)
    waiting = graph.get_state(HERE).config
    refused = await ask(graph, Command(resume=False), HERE)
    assert last(refused) == "Refused."
    asked = await ask(graph, None, waiting)
    assert asked["__interrupt__"]
    state = await ask(graph, Command(resume=True), HERE)
    assert (outputs(state["messages"]), last(state)) == (["3"], "Three.")
    assert state["thread_id"] != refused["thread_id"]
    assert conversation(engine, "mine")[-1] == ("assistant", "Refused.")
    assert_at_rest(engine)


class Carried(MessagesState, total=False):
    """An outer state that carries what a replay needs."""

    thread_id: str
    run_id: str


@pytest.mark.parametrize("carries", [True, False])
async def test_a_node_forks_where_the_outer_state_carries_thread_and_run(
    engine_factory: EngineFactory, ask: Ask, carries: bool
) -> None:
    engine = engine_factory(["One.", "Two.", "Other two."])
    builder = StateGraph(Carried if carries else MessagesState)
    builder.add_node("tutor", graph_of(engine, name="tutor"))
    builder.add_edge(START, "tutor")
    graph: Any = builder.compile(checkpointer=InMemorySaver())
    await ask(graph, say("1?"), HERE)
    config = graph.get_state(HERE).config
    await ask(graph, say("2?"), HERE)
    before = conversation(engine, "mine")
    state = await ask(graph, say("Other?"), config)
    assert last(state) == "Other two."
    if carries:
        assert conversation(engine, "mine") == before
        assert conversation(engine, state["thread_id"]) == [
            ("user", "1?"),
            ("assistant", "One."),
            ("user", "Other?"),
            ("assistant", "Other two."),
        ]
    else:
        assert len(conversation(engine, "mine")) == len(before) + 2
