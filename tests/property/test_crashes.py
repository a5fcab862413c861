"""Random deaths of processes that share a file: all that was accepted happens once."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Annotated, Any

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
from langchain_core.tools import InjectedToolCallId
from tests.conftest import Clock
from tests.conversations import TIMEOUT, Gate, function, hosted, outputs, user
from tests.stored import ACTIVE, broken_invariants, rows

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine import cancellation, conductor
from langchain_assistants.engine.sweep import MAX_ATTEMPTS
from langchain_assistants.errors import (
    ActiveRunError,
    StorageError,
)
from langchain_assistants.testing import Reply, ScriptedChatModel, call

# Nothing but the clock of the machine ends such a lease.
LEASE = 60.0
PROCESSES = st.integers(0, 1)
THREADS = st.integers(0, 1)
RUNS = st.integers(0, 99)
MODES = st.sampled_from(["reject", "queue", "queue", "cancel"])
GATED = ("block", "think", "stick", "pair")
PLANS = st.sampled_from(["answer", "work", "ask", "both", *GATED])
TOOLS = {
    "think": ["work"],
    "work": ["work"],
    "ask": ["ask"],
    "both": ["work", "ask"],
    "stick": ["stick"],
    "pair": ["work", "stick"],
}


class Process:
    """An engine that dies as if killed: from then on it writes and reads nothing.

    Its model and its tools do what the newest human message says. Its heart beats
    when it is told to.
    """

    def __init__(self, url: str, clock: Clock, opened: set[str]) -> None:
        self.dead = threading.Event()
        self.frozen = False
        self.repeated: list[str] = []
        self._opened = opened
        self._gates: dict[str, Gate] = {}
        self._left: int | None = None
        self._commits_last = False
        self.engine = AssistantsEngine(
            url,
            chat_model=ScriptedChatModel(respond=self._answer, record=False),
            tools=[self.work, self.stick],
            clock=clock,
            settings=Settings(lease=LEASE),
        )
        self.heart = self.engine._heartbeat
        self.heart.stop()
        self.heart._suspects.patience = 0.0
        self.name = self.engine.conductor.ownership.worker
        database: Any = self.engine.database
        self._store, self._look = database.write, database.read
        database.write, database.read = self._write, self._read

    # Life and death.

    def dies_after(self, writes: int, *, commits_last: bool) -> None:
        """Die with the transaction after so many, before its commit or right after."""
        self._left, self._commits_last = writes, commits_last

    def kill(self) -> None:
        self._die()
        self.engine.close()
        for gate in self._gates.values():
            gate.open()  # its threads end, as those of a process would

    def beat(self) -> None:
        if not self.dead.is_set() and not self.frozen:
            self.engine.portal.call(self.heart.beat)

    def sweep(self) -> None:
        if not self.frozen:
            self.engine.portal.call(self.heart.sweep)

    def executes(self, run_id: str) -> bool:
        return run_id in self.engine.conductor.executor.running

    def _die(self) -> None:
        self.dead.set()
        for gate in list(self._gates.values()):
            gate.reached.set()

    async def _write(self, transaction: Any) -> Any:
        if self._left is not None and not self.dead.is_set():
            self._left -= 1
            if self._left < 0:
                if self._commits_last:
                    await self._store(transaction)
                self._die()
        return await self._unless_dead(self._store, transaction)

    async def _read(self, transaction: Any) -> Any:
        return await self._unless_dead(self._look, transaction)

    async def _unless_dead(self, verb: Any, transaction: Any) -> Any:
        if self.dead.is_set():
            transaction.close()
            raise StorageError("The process is dead.")
        return await verb(transaction)

    # What runs do here.

    def gate(self, text: str) -> Gate:
        gate = self._gates.setdefault(text, Gate())
        if text in self._opened and not self.frozen:
            gate.open()
        if self.dead.is_set():
            gate.reached.set()
        return gate

    def _answer(self, messages: Sequence[BaseMessage], _: Any) -> Any:
        place = max(i for i, m in enumerate(messages) if isinstance(m, HumanMessage))
        text = str(messages[place].content)
        plan = text.split()[0]
        if any(isinstance(message, ToolMessage) for message in messages[place:]):
            return f"done {text}"
        gate = self.gate(text) if plan in ("block", "think") else None
        if plan not in TOOLS:
            return Reply(f"done {text}", wait_for=gate)
        tools = TOOLS[plan]
        made = [call(name, {"q": text}, f"{name} {text}") for name in tools]
        return Reply(tool_calls=made, wait_for=gate)

    def work(self, q: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
        """Work."""
        self._note(tool_call_id)
        return q

    def stick(self, q: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
        """Work until a gate is opened."""
        self._note(tool_call_id)
        self.gate(q).pass_through()
        return q

    def _note(self, call_id: str) -> None:
        if not self.dead.is_set() and self.has_recorded(call_id):
            self.repeated.append(call_id)

    def has_recorded(self, call_id: str) -> bool:
        recorded = "SELECT 1 FROM tool_outputs WHERE tool_call_id = ?"
        return bool(rows(self.engine, recorded, call_id))


class Crashes(RuleBasedStateMachine):
    """Two processes at once, each of which may be killed, frozen and replaced."""

    @initialize()
    def open(self) -> None:
        self.patches = pytest.MonkeyPatch()
        # How soon one process sees what another has done: nobody shall wait for it.
        self.patches.setattr(conductor, "_LOOK_SECONDS", 0.01)
        # The dead do not insist on what they cannot write any more.
        self.patches.setattr(cancellation, "_RETRY_SECONDS", ())
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.opened: set[str] = set()
        self.repeated: list[str] = []
        self.accepted: set[str] = set()
        self.cancelled: set[str] = set()
        self.ended: dict[str, dict[str, Any]] = {}
        self.number = 0
        self.processes = [self.started(), self.started()]
        engine = self.processes[0].engine
        tools = [hosted("work"), hosted("stick"), function("ask")]
        self.assistant = engine.assistants.create(model="m", tools=tools).id
        self.threads = [engine.threads.create().id for _ in range(2)]

    def started(self) -> Process:
        url = f"sqlite:///{self.folder.name}/app.db"
        return Process(url, self.clock, self.opened)

    def teardown(self) -> None:
        if not hasattr(self, "threads"):
            return
        try:
            self.come_to_rest()
        finally:
            for process in self.processes:
                process.kill()
            self.patches.undo()
            self.folder.cleanup()

    # What callers do.

    @rule(at=PROCESSES, thread=THREADS, plan=PLANS, mode=MODES)
    def ask(self, at: int, thread: int, plan: str, mode: str) -> None:
        self.create(self.awake(at), thread, plan, mode)
        self.wait_until_quiet()

    @precondition(lambda self: self.accepted)
    @rule(at=PROCESSES, index=RUNS)
    def cancel(self, at: int, index: int) -> None:
        runs = [run["id"] for run in self.active() if run["status"] != "cancelling"]
        for run_id in runs[index % len(runs) :][:1] if runs else []:
            self.awake(at).engine.runs.cancel(run_id)
            self.cancelled.add(run_id)
        self.wait_until_quiet()

    @precondition(lambda self: self.accepted)
    @rule(at=PROCESSES)
    def submit(self, at: int) -> None:
        self.submit_all(self.awake(at))

    def submit_all(self, process: Process) -> None:
        for run in self.active():
            if run["status"] == "requires_action":
                answers = outputs(f"ask {self.text_of(run)}")
                process.engine.runs.submit_tool_outputs(run["id"], tool_outputs=answers)
        self.wait_until_quiet()

    @precondition(lambda self: self.accepted)
    @rule(index=RUNS)
    def open_a_gate(self, index: int) -> None:
        texts = [self.text_of(run) for run in self.active()]
        closed = [text for text in texts if text not in self.opened]
        self.open_gates(closed[index % len(closed) :][:1] if closed else [])
        self.wait_until_quiet()

    # What machines do.

    @rule(at=PROCESSES)
    def kill(self, at: int) -> None:
        self.replace(at)

    @rule(
        at=PROCESSES,
        thread=THREADS,
        plan=PLANS,
        mode=MODES,
        writes=st.integers(0, 5),
        commits_last=st.booleans(),
    )
    def kill_in_the_midst(
        self,
        at: int,
        thread: int,
        plan: str,
        mode: str,
        writes: int,
        commits_last: bool,
    ) -> None:
        process = self.awake(at)
        process.dies_after(writes, commits_last=commits_last)
        try:
            self.create(process, thread, plan, mode)
            self.wait_until_quiet()
        except StorageError:
            assert process.dead.is_set()
        self.replace(at)

    @rule(frozen=st.sampled_from([None, None, 0, 1]))
    def let_leases_end(self, frozen: int | None) -> None:
        self.pass_a_lease(frozen)

    def pass_a_lease(self, frozen: int | None = None) -> None:
        """The living renew theirs; one that is frozen is robbed of its runs."""
        for place, process in enumerate(self.processes):
            if place != frozen:
                self.thaw(process)
        self.clock.advance(LEASE + 1)
        for place, process in enumerate(self.processes):
            process.frozen = place == frozen
            process.beat()
        for process in self.processes:
            process.sweep()
        self.wait_until_quiet()

    @rule(at=PROCESSES)
    def let_every_deadline_pass(self, at: int) -> None:
        self.clock.advance(601)
        for run in self.runs():
            self.awake(at).engine.runs.retrieve(run["id"])
        self.wait_until_quiet()
        assert not self.active()

    # What must come of it.

    @invariant()
    def the_file_keeps_the_invariants(self) -> None:
        if not hasattr(self, "threads"):
            return
        broken = broken_invariants(self.processes[0].engine)
        assert broken == [], broken
        runs = {run["id"]: run for run in self.runs()}
        assert self.accepted <= set(runs)
        for run_id, run in runs.items():
            if run["status"] not in ACTIVE:  # terminal_status_never_changes
                assert self.ended.setdefault(run_id, run) == run
            if run_id in self.cancelled:
                assert run["status"] in ("cancelling", "cancelled")
            failed = run["status"] == "failed"
            assert not failed or run["attempt"] >= MAX_ATTEMPTS, run

    @invariant()
    def no_message_is_lost_or_doubled(self) -> None:
        for thread_id in getattr(self, "threads", ()):
            stored = rows(
                self.processes[0].engine,
                "SELECT content FROM messages WHERE thread_id = ?",
                thread_id,
            )
            said = [json.loads(row["content"])[0]["text"]["value"] for row in stored]
            expected: list[str] = []
            for run in self.runs():
                if run["thread_id"] == thread_id and run["head"]:
                    expected.append(self.text_of(run))
                    if run["status"] == "completed":
                        expected.append(f"done {self.text_of(run)}")
            assert Counter(said) == Counter(expected)

    @invariant()
    def a_finished_tool_call_is_never_executed_again(self) -> None:
        for process in getattr(self, "processes", ()):
            assert process.repeated == []
        assert getattr(self, "repeated", []) == []

    def come_to_rest(self) -> None:
        """Check that no_thread_left_busy, whatever has happened."""
        for thread in range(len(self.threads)):
            self.create(self.awake(0), thread, "answer", "queue")
            self.wait_until_quiet()
        self.open_gates([self.text_of(run) for run in self.runs()])
        while active := self.active():
            self.pass_a_lease()
            self.submit_all(self.processes[0])
            assert len(self.active()) < len(active), active
        self.the_file_keeps_the_invariants()
        self.no_message_is_lost_or_doubled()
        self.a_finished_tool_call_is_never_executed_again()

    # Parts.

    def create(self, process: Process, thread: int, plan: str, mode: Any) -> None:
        self.number += 1
        text = f"{plan} {self.number}"
        try:
            run = process.engine.runs.create(
                self.threads[thread],
                assistant_id=self.assistant,
                additional_messages=[user(text)],
                metadata={"text": text},
                on_active_run=mode,
            )
        except ActiveRunError:
            assert mode == "reject"
        else:
            self.accepted.add(run.id)

    def replace(self, at: int) -> None:
        process = self.processes[at]
        process.kill()
        self.repeated += process.repeated
        self.processes[at] = self.started()
        self.wait_until_quiet()

    def awake(self, at: int) -> Process:
        self.thaw(self.processes[at])
        return self.processes[at]

    def thaw(self, process: Process) -> None:
        """What it was about to do comes before its next beat: the fence stops that."""
        if not process.frozen:
            return
        process.frozen = False
        self.open_gates(self.opened)
        opened = [run["id"] for run in self.runs() if self.text_of(run) in self.opened]
        begun = time.monotonic()
        while any(process.executes(run_id) for run_id in opened):
            assert time.monotonic() < begun + TIMEOUT, opened
        process.beat()

    def runs(self) -> list[dict[str, Any]]:
        return rows(self.processes[0].engine, "SELECT * FROM runs ORDER BY seq")

    def active(self) -> list[dict[str, Any]]:
        return [run for run in self.runs() if run["status"] in ACTIVE]

    def text_of(self, run: dict[str, Any]) -> str:
        return str(json.loads(run["metadata"])["text"])

    def open_gates(self, texts: Collection[str]) -> None:
        self.opened.update(texts)
        for process in self.processes:
            for text in texts:
                process.gate(text)

    def wait_until_quiet(self) -> None:
        """Wait until all runs of the living have stopped or stand at a closed gate."""
        for process in self.processes:
            process.beat()
        begun = time.monotonic()
        while self.something_moves():
            assert time.monotonic() < begun + TIMEOUT, self.active()

    def something_moves(self) -> bool:
        """Find a run that moves, and wait for its next stop; tell whether there was."""
        living = {p.name: p for p in self.processes if not p.dead.is_set()}
        for run in self.active():
            process, text = living.get(run["worker"]), self.text_of(run)
            if process is None or not run["head"]:
                continue
            is_let_through = (
                not text.startswith(GATED)
                or text in self.opened
                or run["status"] == "cancelling"
                or run["expires_at"] <= self.clock()
            )
            if is_let_through:
                process.engine.runs.wait(run["id"], timeout=TIMEOUT)
                return True
            if run["status"] == "queued":  # any process may claim it
                return True
            process.gate(text).wait_until_reached()
            if text.startswith("pair") and not process.has_recorded(f"work {text}"):
                return not process.dead.is_set()
        return False


Crashes.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    database=None,
)
TestCrashes = Crashes.TestCase
