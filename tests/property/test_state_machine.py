"""Random calls against a model of what must come of them, checked in the file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from tests.conftest import Clock
from tests.conversations import TIMEOUT, Gate, function, hosted, outputs, user
from tests.stored import broken_invariants, rows

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import (
    ActiveRunError,
    InvalidRequestError,
    NotFoundError,
)
from langchain_assistants.testing import Reply, ScriptedChatModel, call

PLANS = st.sampled_from(["answer", "tool", "calls", "says", "fail", "block"])
INDEX = st.integers(0, 99)
TERMINAL = ("completed", "failed", "cancelled", "expired")


@dataclass
class Expected:
    """What a run shall be."""

    id: str
    thread: Talk
    plan: str
    text: str
    status: str = "queued"


@dataclass
class Talk:
    """What a thread shall hold."""

    id: str
    texts: list[str] = field(default_factory=list)
    head: Expected | None = None
    waiting: list[Expected] = field(default_factory=list)


class Plans:
    """A model and a tool that do what the newest human message says."""

    def __init__(self) -> None:
        self.gates: dict[str, Gate] = {}
        self.executed: list[str] = []

    def gate(self, text: str) -> Gate:
        return self.gates.setdefault(text, Gate())

    def answer(self, messages: Sequence[BaseMessage], _: Any) -> Any:
        place, human = next(
            (place, message)
            for place, message in reversed(list(enumerate(messages)))
            if isinstance(message, HumanMessage)
        )
        text = str(human.content)
        plan = text.split()[0]
        if any(isinstance(message, ToolMessage) for message in messages[place:]):
            return f"done {text}"
        if plan == "block":
            return Reply("never", wait_for=self.gate(text))
        if plan == "fail":
            return ValueError(text)
        if plan == "tool":
            return Reply(tool_calls=[call("work", {"q": text}, f"call_{text}")])
        if plan in ("calls", "says"):
            said = f"let me see {text}" if plan == "says" else ""
            ids = (f"call_{text}_a", f"call_{text}_b")
            return Reply(said, tool_calls=[call("ask", {}, id) for id in ids])
        return f"done {text}"

    def work(self, q: str) -> str:
        """Work."""
        self.executed.append(q)
        return q


class Conversations(RuleBasedStateMachine):
    """Threads with runs, as one user after another might treat them."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock, self.plans = Clock(), Plans()
        self.talks: list[Talk] = []
        self.runs: list[Expected] = []
        self.ended: dict[str, dict[str, Any]] = {}
        self.number = 0
        self.engine = self.opened()
        tools = [hosted("work"), function("ask")]
        self.assistant = self.engine.assistants.create(model="m", tools=tools).id

    def opened(self) -> AssistantsEngine:
        return AssistantsEngine(
            f"sqlite:///{self.folder.name}/app.db",
            chat_model=ScriptedChatModel(respond=self.plans.answer, record=False),
            tools=[self.plans.work],
            clock=self.clock,
        )

    def teardown(self) -> None:
        self.engine.close()
        self.folder.cleanup()

    # Threads and messages.

    @rule()
    def create_thread(self) -> None:
        if len(self.talks) < 4:
            made = self.engine.threads.create(messages=[user("hello")])
            self.talks.append(Talk(made.id, ["hello"]))

    @precondition(lambda self: self.talks)
    @rule(index=INDEX)
    def add_message(self, index: int) -> None:
        talk, text = self.talk(index), self.text("note")
        if talk.head is None:
            self.engine.messages.create(talk.id, **user(text))
            talk.texts.append(text)
            return
        with pytest.raises(ActiveRunError, match=talk.head.id):
            self.engine.messages.create(talk.id, **user(text))

    @precondition(lambda self: self.talks)
    @rule(index=INDEX, place=INDEX)
    def delete_message(self, index: int, place: int) -> None:
        talk = self.talk(index)
        listed = list(self.engine.messages.list(talk.id, order="asc", limit=3))
        if not listed:
            return
        at = place % len(listed)
        if talk.head is None:
            self.engine.messages.delete(listed[at].id)
            del talk.texts[at]
            return
        with pytest.raises(ActiveRunError, match=talk.head.id):
            self.engine.messages.delete(listed[at].id)

    @precondition(lambda self: self.talks)
    @rule(index=INDEX)
    def delete_thread(self, index: int) -> None:
        talk = self.talk(index)
        if talk.head is not None:
            with pytest.raises(ActiveRunError, match=talk.head.id):
                self.engine.threads.delete(talk.id)
            return
        self.engine.threads.delete(talk.id)
        self.talks.remove(talk)
        gone = [run for run in self.runs if run.thread is talk]
        self.runs = [run for run in self.runs if run.thread is not talk]
        for run in gone:
            self.ended.pop(run.id)
            with pytest.raises(NotFoundError):
                self.engine.runs.retrieve(run.id)

    @precondition(lambda self: self.talks)
    @rule(index=INDEX, limit=st.integers(1, 5), order=st.sampled_from(["asc", "desc"]))
    def list_pages(self, index: int, limit: int, order: Any) -> None:
        talk = self.talk(index)
        page = self.engine.messages.list(talk.id, limit=limit, order=order)
        found = [message.text for message in page]
        assert found == (talk.texts if order == "asc" else talk.texts[::-1])
        runs = [run.id for run in self.runs if run.thread is talk]
        listed = self.engine.runs.list(talk.id, limit=limit, order=order)
        assert [run.id for run in listed] == (runs if order == "asc" else runs[::-1])

    # Runs.

    @precondition(lambda self: self.talks)
    @rule(index=INDEX, plan=PLANS, mode=st.sampled_from(["reject", "queue", "cancel"]))
    def start(self, index: int, plan: str, mode: Any) -> None:
        talk, text = self.talk(index), self.text(plan)
        fields: Any = {
            "assistant_id": self.assistant,
            "additional_messages": [user(text)],
            "on_active_run": mode,
        }
        if talk.head is not None and mode == "reject":
            with pytest.raises(ActiveRunError, match=talk.head.id):
                self.engine.runs.create(talk.id, **fields)
            return
        made = self.engine.runs.create(talk.id, **fields)
        run = Expected(made.id, talk, plan, text)
        self.runs.append(run)
        talk.waiting.append(run)
        if talk.head is not None and mode == "cancel":
            self.end(talk.head, "cancelled")
        self.settle(talk)

    @precondition(lambda self: self.talks)
    @rule(index=INDEX, plan=PLANS.filter(lambda plan: plan != "block"))
    def stream(self, index: int, plan: str) -> None:
        talk, text = self.talk(index), self.text(plan)
        if talk.head is not None:
            return
        events = list(
            self.engine.runs.stream(
                talk.id,
                assistant_id=self.assistant,
                additional_messages=[user(text)],
            )
        )
        numbers = [int(event.id.split(".")[1]) for event in events]
        assert numbers == list(range(1, len(events) + 1))
        last: Any = events[-1].data
        run = Expected(last.id, talk, plan, text)
        self.runs.append(run)
        talk.waiting.append(run)
        self.settle(talk)
        assert events[-1].event == f"thread.run.{run.status}"

    @precondition(lambda self: self.runs)
    @rule(index=INDEX)
    def cancel(self, index: int) -> None:
        run = self.runs[index % len(self.runs)]
        if run.status in TERMINAL:
            with pytest.raises(InvalidRequestError, match=f"status '{run.status}'"):
                self.engine.runs.cancel(run.id)
            return
        self.engine.runs.cancel(run.id)
        self.end(run, "cancelled")
        self.settle(run.thread)

    @precondition(lambda self: self.runs)
    @rule(index=INDEX, right=st.booleans())
    def submit(self, index: int, right: bool) -> None:
        wanting = [run for run in self.runs if run.status == "requires_action"]
        run = (wanting or self.runs)[index % len(wanting or self.runs)]
        ids = [f"call_{run.text}_b", f"call_{run.text}_a"]
        if run.status != "requires_action" or not right:
            with pytest.raises(InvalidRequestError):
                self.engine.runs.submit_tool_outputs(
                    run.id, tool_outputs=outputs(ids[0])
                )
            return
        self.engine.runs.submit_tool_outputs(run.id, tool_outputs=outputs(*ids))
        run.thread.texts.append(f"done {run.text}")
        self.end(run, "completed")
        self.settle(run.thread)

    @rule()
    def let_every_deadline_pass(self) -> None:
        self.clock.advance(601)
        for run in self.runs:
            if run.status not in TERMINAL:
                self.engine.runs.retrieve(run.id)
        for run in self.runs:
            if run.status not in TERMINAL:
                self.end(run, "expired")
        for talk in self.talks:
            self.settle(talk)

    @precondition(lambda self: not any(talk.waiting for talk in self.talks))
    @rule()
    def reopen(self) -> None:
        self.engine.close()
        for run in self.runs:
            if run.status == "in_progress":
                self.end(run, "cancelled")
        self.engine = self.opened()

    # What must come of it.

    def talk(self, index: int) -> Talk:
        return self.talks[index % len(self.talks)]

    def text(self, plan: str) -> str:
        self.number += 1
        return f"{plan} {self.number}"

    def end(self, run: Expected, status: str) -> None:
        run.status = status
        if run.thread.head is run:
            run.thread.head = None
        else:
            run.thread.waiting.remove(run)

    def settle(self, talk: Talk) -> None:
        """Let the waiting runs take their turn, in the model and in the engine."""
        while talk.head is None and talk.waiting:
            run = talk.head = talk.waiting.pop(0)
            talk.texts.append(run.text)
            if run.plan == "block":
                run.status = "in_progress"
                self.plans.gate(run.text).wait_until_reached()
            elif run.plan in ("calls", "says"):
                run.status = "requires_action"
                if run.plan == "says":
                    talk.texts.append(f"let me see {run.text}")
            else:
                if run.plan != "fail":
                    talk.texts.append(f"done {run.text}")
                self.end(run, "failed" if run.plan == "fail" else "completed")
        for run in self.runs:
            if run.thread is talk and run.status not in ("queued", "in_progress"):
                assert self.engine.runs.wait(run.id, TIMEOUT).status == run.status

    @invariant()
    def the_file_keeps_the_invariants(self) -> None:
        if not hasattr(self, "engine"):
            return
        assert broken_invariants(self.engine) == []
        stored = {row["id"]: row for row in rows(self.engine, "SELECT * FROM runs")}
        assert {id: row["status"] for id, row in stored.items()} == {
            run.id: run.status for run in self.runs
        }
        for id, row in stored.items():
            if row["status"] in TERMINAL:  # terminal_status_never_changes
                assert self.ended.setdefault(id, row) == row

    @invariant()
    def no_message_is_lost_or_doubled(self) -> None:
        for talk in getattr(self, "talks", ()):
            found = rows(
                self.engine,
                "SELECT content FROM messages WHERE thread_id = ? ORDER BY seq",
                talk.id,
            )
            said = [json.loads(row["content"])[0]["text"]["value"] for row in found]
            assert said == talk.texts

    @invariant()
    def a_finished_tool_call_is_never_executed_again(self) -> None:
        if hasattr(self, "plans"):
            executed = self.plans.executed
            assert len(executed) == len(set(executed))


Conversations.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
)
TestConversations = Conversations.TestCase
