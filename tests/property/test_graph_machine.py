"""Random turns, replays, forks and crashes of a graph, checked in its threads."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, StateSnapshot
from tests.conversations import texts
from tests.dialogue import assert_paired
from tests.stored import ACTIVE, broken_invariants, rows

from langchain_assistants import AssistantsEngine, create_assistant_graph
from langchain_assistants.errors import InvalidRequestError, RunError
from langchain_assistants.testing import Reply, ScriptedChatModel, call

CONFIG: RunnableConfig = {"configurable": {"thread_id": "customer"}}
PLANS = st.sampled_from(["answer", "tools", "charge", "both"])
FAULTS = st.sampled_from(
    [None, None, None, ("model", 1), ("model", 2)]
    + [(name, count) for name in ("put", "put_writes") for count in (1, 2, 3, 4)]
)
INDEX = st.integers(0, 99)


class Crash(Exception):
    """The process dies."""


class Faults:
    """Lets the n-th use of something crash."""

    def __init__(self) -> None:
        self.armed: tuple[str, int] | None = None

    def met(self, name: str) -> None:
        if self.armed is None or self.armed[0] != name:
            return
        count = self.armed[1] - 1
        self.armed = (name, count) if count else None
        if not count:
            raise Crash(name)


class MortalSaver(InMemorySaver):
    """A checkpointer that fails where it is told to."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.faults = faults

    def put(self, *given: Any) -> RunnableConfig:
        self.faults.met("put")
        return super().put(*given)

    def put_writes(self, *given: Any) -> None:
        self.faults.met("put_writes")
        super().put_writes(*given)


class GraphConversations(RuleBasedStateMachine):
    """One thread of a graph, as its user and its machine might treat it."""

    @initialize(asynchronous=st.booleans())
    def open(self, asynchronous: bool) -> None:
        self.asynchronous = asynchronous
        self.folder = tempfile.TemporaryDirectory()
        self.faults = Faults()
        self.saver = MortalSaver(self.faults)
        self.unpaired: list[AssertionError] = []
        self.number = 0
        self.crashed = False
        self.engine = self.opened()
        self.assistant = self.engine.assistants.create(model="m")
        self.graph = self.made()

    def opened(self) -> AssistantsEngine:
        return AssistantsEngine(
            f"sqlite:///{self.folder.name}/app.db",
            chat_model=ScriptedChatModel(respond=self.answer, record=False),
        )

    def made(self) -> Any:
        def work(q: str) -> str:
            """Work."""
            return f"worked on {q}"

        def charge(q: str) -> str:
            """Charge."""
            return f"charged {q}"

        return create_assistant_graph(
            self.assistant,
            [work, charge],
            engine=self.engine,
            checkpointer=self.saver,
            interrupt_before_tools=["charge"],
        )

    def teardown(self) -> None:
        self.engine.close()
        self.folder.cleanup()

    def answer(self, messages: Sequence[BaseMessage], _: Any) -> Any:
        try:
            assert_paired(messages)
        except AssertionError as error:
            self.unpaired.append(error)
        self.faults.met("model")
        place, human = next(
            (place, message)
            for place, message in reversed(list(enumerate(messages)))
            if isinstance(message, HumanMessage)
        )
        text = str(human.content)
        if any(isinstance(message, ToolMessage) for message in messages[place:]):
            return f"done {text}"
        wanted = {
            "tools": ["work", "work"],
            "charge": ["charge"],
            "both": ["work", "charge"],
        }.get(text.split()[0])
        if wanted is None:
            return f"done {text}"
        said = "Let me see." if "both" in text else ""
        return Reply(said, tool_calls=[call(name, {"q": text}) for name in wanted])

    # What its user does.

    @rule(plan=PLANS, fault=FAULTS)
    def say(self, plan: str, fault: Any) -> None:
        self.number += 1
        self.invoke({"messages": [HumanMessage(f"{plan} {self.number}")]}, fault)

    @precondition(lambda self: self.snapshot.interrupts)
    @rule(approved=st.booleans(), fault=FAULTS)
    def decide(self, approved: bool, fault: Any) -> None:
        self.invoke(Command(resume=approved), fault)

    @precondition(lambda self: self.snapshot.interrupts)
    @rule()
    def decide_in_another_shape(self) -> None:
        with pytest.raises(InvalidRequestError, match="still wait"):
            self.graph.invoke(Command(resume={"yes": "please"}), CONFIG)
        assert self.snapshot.interrupts

    @precondition(lambda self: self.snapshot.tasks and not self.snapshot.interrupts)
    @rule(fault=FAULTS, anew=st.booleans())
    def go_on(self, fault: Any, anew: bool) -> None:
        if anew:
            self.engine.close()
            self.engine = self.opened()
            self.graph = self.made()
        self.invoke(None, fault)

    # What a replay from before a crash has to show depends on how far the crashed turn
    # came: not modelled here.
    @precondition(lambda self: self.snapshot.created_at and not self.crashed)
    @rule(index=INDEX, says=st.booleans(), fault=FAULTS)
    def go_back(self, index: int, says: bool, fault: Any) -> None:
        """Replay from a checkpoint, or say something else there."""
        found = [
            state
            for state in self.graph.get_state_history(CONFIG)
            if (says or state.next) and self.tells_its_turn(state, says)
        ]
        if not found:
            return
        given = None
        if says:
            self.number += 1
            given = {"messages": [HumanMessage(f"answer {self.number}")]}
        before = self.texts_by_thread()
        state = found[index % len(found)]
        # One that fails before the first answer of all leaves a state without a run.
        fault = fault if state.values.get("run_id") else None
        self.invoke(given, fault, state.config)
        # Nothing that was said is ever taken back.
        after = self.texts_by_thread()
        for thread_id, said in before.items():
            assert after[thread_id][: len(said)] == said

    @precondition(lambda self: self.snapshot.values.get("thread_id"))
    @rule(index=INDEX)
    def fork(self, index: int) -> None:
        thread_id = self.snapshot.values["thread_id"]
        listed = list(self.engine.messages.list(thread_id, order="asc"))
        place = index % len(listed)
        fork = self.engine.threads.fork(thread_id, after=listed[place].id)
        copies = self.engine.messages.list(fork.id, order="asc")
        assert [m.text for m in copies] == [m.text for m in listed[: place + 1]]
        self.engine.threads.delete(fork.id)

    def invoke(self, given: Any, fault: Any, config: RunnableConfig = CONFIG) -> None:
        self.faults.armed = fault
        try:
            if self.asynchronous:
                asyncio.run(self.graph.ainvoke(given, config, durability="sync"))
            else:
                self.graph.invoke(given, config, durability="sync")
        except (Crash, RunError):
            assert fault is not None
            self.crashed = True
        else:
            self.settled()
        finally:
            self.faults.armed = None

    # What must come of it.

    @property
    def snapshot(self) -> StateSnapshot:
        found: StateSnapshot = self.graph.get_state(CONFIG)
        return found

    def tells_its_turn(self, state: StateSnapshot, says: bool) -> bool:
        """Tell whether a replay from a state can be told from a state that was lost.

        Before the first answer of all only an input that the thread has shows it. To a
        question that made room for new input there is no answer any more.
        """
        if run_id := state.values.get("run_id"):
            run = self.engine.runs.retrieve(run_id)
            return says or run.status != "cancelled"
        humans = [m for m in state.values.get("messages", ()) if m.type == "human"]
        return not says and len(humans) == 1

    def texts_by_thread(self) -> dict[str, list[str]]:
        return {
            thread.id: texts(self.engine, thread.id)
            for thread in self.engine.threads.list()
        }

    def said(self) -> list[str]:
        """What people said on the way to the current state, oldest first."""
        states = [self.snapshot]
        while (parent := states[-1].parent_config) is not None:
            states.append(self.graph.get_state(parent))
        humans = {
            message.id: message.text
            for state in reversed(states)
            for message in state.values.get("messages", ())
            if isinstance(message, HumanMessage)
        }
        return list(humans.values())

    def settled(self) -> None:
        """Check the state of a graph that has come to an end, or to an interrupt."""
        snapshot = self.snapshot
        run = self.engine.runs.retrieve(snapshot.values["run_id"])
        if snapshot.interrupts and run.status == "completed":
            return  # back at a question that was answered: the next answer forks
        thread_id = snapshot.values["thread_id"]
        listed = list(self.engine.messages.list(thread_id, order="asc"))
        users = [message.text for message in listed if message.role == "user"]
        # no_message_is_lost_or_doubled. A graph that goes back before a turn without
        # an answer is on the same thread, which keeps what was said in that turn.
        said = self.said()
        done = {m.text.removeprefix("done ") for m in listed if m.role == "assistant"}
        assert [text for text in users if text in said or text in done] == said
        assert run.thread_id == thread_id
        assert run.status == snapshot.values["status"]
        if snapshot.interrupts:
            assert run.status == "requires_action"
            return
        assert snapshot.tasks == ()
        assert run.status == "completed"
        assert listed[-1].text == f"done {users[-1]}"
        assert snapshot.values["messages"][-1].id == listed[-1].id
        answers = [m.text for m in listed if m.text.startswith("done")]
        assert len(answers) == len(set(answers))

    @invariant()
    def the_file_keeps_the_invariants(self) -> None:
        if hasattr(self, "engine"):
            assert broken_invariants(self.engine) == []
            assert self.unpaired == []

    @invariant()
    def no_thread_is_busy_but_where_the_graph_can_go_on(self) -> None:
        if not hasattr(self, "engine"):
            return
        active = {
            row["thread_id"]: row["status"]
            for row in rows(self.engine, "SELECT thread_id, status FROM runs")
            if row["status"] in ACTIVE
        }
        assert set(active.values()) <= {"requires_action"}
        snapshot = self.snapshot
        if not snapshot.tasks:
            assert snapshot.values.get("thread_id") not in active


GraphConversations.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
)
TestGraphConversations = GraphConversations.TestCase
