"""Graphs of assistants in real processes that are killed, and go on in others."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from tests import warm
from tests.acceptance.program import PATIENCE, environment
from tests.stored import broken_invariants, rows

from langchain_assistants import AssistantsEngine
from langchain_assistants.types import RunStep
from langchain_assistants.types.steps import FunctionCall, ToolCallsDetails

PROGRAM = Path(__file__).with_name("graph_program.py")
APPROVE = {"decisions": [{"type": "approve"}]}


class Process:
    """One process of the program, up to the moment when it stops."""

    def __init__(self, folder: Path, how: str, plan: dict[str, Any]) -> None:
        self._errors = folder / "stderr.txt"
        with self._errors.open("a") as errors:
            self._process = warm.Popen(
                [sys.executable, str(PROGRAM), str(folder), how, json.dumps(plan)],
                env=environment(folder),
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def told(self, word: str) -> Any:
        """Wait for a line that begins with this word; return the rest."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith(f"{word} "), line or self._errors.read_text()
        return json.loads(line.removeprefix(f"{word} "))

    def kill(self) -> None:
        """Kill it, if it has not killed itself."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == -signal.SIGKILL


class Machine:
    """A folder in which processes run one after the other; all of them are killed."""

    def __init__(self, folder: Path, how: str) -> None:
        self.folder = folder
        self._how = how

    def dies(self, graph: str, fault: str, **plan: Any) -> None:
        """Run a process to its fault."""
        given = {"graph": graph, "fault": fault, **plan}
        with Process(self.folder, self._how, given) as process:
            assert process.told("reached") == fault

    def runs(self, graph: str, **plan: Any) -> Any:
        """Run a process until its graph has come to an end or an interrupt."""
        with Process(self.folder, self._how, {"graph": graph, **plan}) as process:
            return process.told("done")

    @property
    def log(self) -> list[str]:
        """What models and tools were asked, in all processes."""
        return (self.folder / "log.txt").read_text().splitlines()


@pytest.fixture(params=["sync", "async"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    return Machine(tmp_path, request.param)


@pytest.fixture
def stored(machine: Machine) -> Iterator[Callable[[], Stored]]:
    """Open what the processes left."""
    with contextlib.ExitStack() as opened:

        def open() -> Stored:
            url = f"sqlite:///{machine.folder / 'engine.db'}"
            return Stored(opened.enter_context(AssistantsEngine(url)))

        yield open


class Stored:
    """The one thread of the engine's file, and all that is on it."""

    def __init__(self, engine: AssistantsEngine) -> None:
        assert broken_invariants(engine) == []
        self.engine = engine
        [self.thread] = engine.threads.list()
        self.messages = list(engine.messages.list(self.thread.id, order="asc"))
        self.runs = list(engine.runs.list(self.thread.id, order="asc"))

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(message.role, message.text) for message in self.messages]

    @property
    def statuses(self) -> list[str]:
        return [run.status for run in self.runs]

    def steps(self, run: int) -> list[RunStep]:
        return list(self.engine.steps.list(self.runs[run].id, order="asc"))

    def calls(self, run: int) -> list[tuple[str, str | None]]:
        """Names and outputs of the calls of a run."""
        return [
            (made.function.name, made.function.output)
            for step in self.steps(run)
            if isinstance(step.step_details, ToolCallsDetails)
            for made in step.step_details.tool_calls
            if isinstance(made, FunctionCall)
        ]

    def attempts(self) -> list[int]:
        found = rows(self.engine, "SELECT attempt FROM runs ORDER BY seq")
        return [row["attempt"] for row in found]


def test_two_assistants_with_approval_go_on_in_a_new_process(
    machine: Machine, stored: Callable[[], Stored]
) -> None:
    asked = machine.runs("desk", input="I want the pro plan.")
    [interrupt] = asked["interrupts"]
    [action] = interrupt["action_requests"]
    assert (action["name"], action["args"]) == ("charge", {"amount": 99})
    waiting = stored()
    assert waiting.statuses == ["completed", "requires_action"]
    assert waiting.calls(1) == [("quote", "99 euros"), ("charge", None)]
    assert "charge 99" not in machine.log

    done = machine.runs("desk", resume=APPROVE)
    assert done["interrupts"] == []
    assert done["messages"][-1] == ["ai", "Thank you: charged 99."]
    assert machine.log == [
        "support is asked: I want the pro plan.",
        "transfer",
        "sales is asked: Done.",
        "quote pro",
        "sales is asked: 99 euros",
        "charge 99",
        "sales is asked: charged 99",
    ]
    ended = stored()
    assert ended.thread.key == "customer-1"
    assert [run.id for run in ended.runs] == [run.id for run in waiting.runs]
    assert ended.statuses == ["completed", "completed"]
    assert ended.calls(0) == [("transfer_to_sales", "Done.")]
    assert ended.calls(1) == [("quote", "99 euros"), ("charge", "charged 99")]
    assert [step.type for step in ended.steps(0)] == ["message_creation", "tool_calls"]
    assert [step.type for step in ended.steps(1)] == [
        *("tool_calls", "tool_calls", "message_creation")
    ]
    assert {s.status for run in (0, 1) for s in ended.steps(run)} == {"completed"}
    assert ended.said == [
        ("user", "I want the pro plan."),
        ("assistant", "I ask sales."),
        ("assistant", "Thank you: charged 99."),
    ]
    sales = ended.runs[1].assistant_id
    assert ended.messages[-1].assistant_id == sales != ended.messages[1].assistant_id
    assert done["run_id"] == ended.runs[1].id

    # The next turn, in a third process, is answered by who is in charge now.
    later = machine.runs("desk", input="What did I pay?")
    assert later["messages"][-1] == ["ai", "You paid: Done., 99 euros, charged 99."]
    last = stored()
    assert last.runs[2].assistant_id == sales
    assert last.said[3:] == [
        ("user", "What did I pay?"),
        ("assistant", "You paid: Done., 99 euros, charged 99."),
    ]


def test_a_refusal_in_a_new_process_charges_nobody(
    machine: Machine, stored: Callable[[], Stored]
) -> None:
    machine.runs("desk", input="I want the pro plan.")
    done = machine.runs("desk", resume=False)
    assert "refused" in done["messages"][-1][1]
    assert not any(line.startswith("charge") for line in machine.log)
    ended = stored()
    assert ended.statuses == ["completed", "completed"]
    [_, (name, output)] = ended.calls(1)
    assert name == "charge"
    assert "refused" in str(output)


def test_a_hand_over_that_was_not_checkpointed_happens_once(
    machine: Machine, stored: Callable[[], Stored]
) -> None:
    machine.dies("desk", "put_writes", status="completed", input="I want the pro plan.")
    assert stored().statuses == ["completed"]
    asked = machine.runs("desk")
    assert asked["interrupts"] != []
    machine.runs("desk", resume=APPROVE)
    assert machine.log.count("support is asked: I want the pro plan.") == 1
    assert machine.log.count("transfer") == 1
    ended = stored()
    assert ended.statuses == ["completed", "completed"]
    assert [role for role, _ in ended.said] == ["user", "assistant", "assistant"]


def test_killed_while_a_tool_runs_only_the_unfinished_call_is_executed(
    machine: Machine, stored: Callable[[], Stored]
) -> None:
    machine.dies("clerk", "tool", input="Look it up")
    assert sorted(machine.log) == ["clerk is asked: Look it up", "quick", "slow"]
    before = stored()
    assert before.statuses == ["requires_action"]

    done = machine.runs("clerk")
    assert machine.log[3:] == ["slow", "clerk is asked: found slowly"]
    assert done["messages"] == [
        ["human", "Look it up"],
        ["ai", "Let me see."],
        ["tool", "found quickly"],
        ["tool", "found slowly"],
        ["ai", "Here: found quickly and found slowly."],
    ]
    ended = stored()
    assert [run.id for run in ended.runs] == [run.id for run in before.runs]
    assert ended.statuses == ["completed"]
    assert ended.calls(0) == [("quick", "found quickly"), ("slow", "found slowly")]
    assert ended.said == [
        ("user", "Look it up"),
        ("assistant", "Let me see."),
        ("assistant", "Here: found quickly and found slowly."),
    ]


def test_killed_while_the_model_answers_the_run_is_taken_over_at_once(
    machine: Machine, stored: Callable[[], Stored]
) -> None:
    machine.dies("clerk", "model", input="Hi")
    before = stored()
    assert before.statuses == ["in_progress"]
    assert before.said == [("user", "Hi")]

    done = machine.runs("clerk")
    assert done["messages"] == [["human", "Hi"], ["ai", "You said 'Hi'."]]
    assert machine.log == ["clerk is asked: Hi"] * 2
    ended = stored()
    assert [run.id for run in ended.runs] == [run.id for run in before.runs]
    assert ended.statuses == ["completed"]
    assert ended.attempts() == [2]
    assert ended.said == [("user", "Hi"), ("assistant", "You said 'Hi'.")]


def test_killed_while_the_model_answers_after_the_tools_the_run_goes_on(
    machine: Machine, stored: Callable[[], Stored]
) -> None:
    machine.dies("clerk", "tool", input="Look it up")
    machine.dies("clerk", "model")
    assert stored().statuses == ["in_progress"]
    done = machine.runs("clerk")
    assert done["messages"][-1] == ["ai", "Here: found quickly and found slowly."]
    assert machine.log[3:] == ["slow", *["clerk is asked: found slowly"] * 2]
    ended = stored()
    assert ended.statuses == ["completed"]
    assert ended.calls(0) == [("quick", "found quickly"), ("slow", "found slowly")]
    assert len(ended.said) == 3


@pytest.mark.parametrize("operation", ["put_writes", "put"])
@pytest.mark.parametrize("status", ["requires_action", "completed"])
def test_killed_between_the_run_and_the_checkpoint_nothing_is_asked_again(
    machine: Machine,
    stored: Callable[[], Stored],
    operation: str,
    status: str,
) -> None:
    machine.dies("clerk", operation, status=status, input="Look it up")
    before = stored()
    assert before.statuses == [status]

    done = machine.runs("clerk")
    assert machine.log == [
        "clerk is asked: Look it up",
        *sorted(("quick", "slow"), key=machine.log.index),
        "clerk is asked: found slowly",
    ]
    assert done["messages"] == [
        ["human", "Look it up"],
        ["ai", "Let me see."],
        ["tool", "found quickly"],
        ["tool", "found slowly"],
        ["ai", "Here: found quickly and found slowly."],
    ]
    ended = stored()
    assert [run.id for run in ended.runs] == [run.id for run in before.runs]
    assert ended.statuses == ["completed"]
    assert len(ended.said) == 3


def test_new_input_in_place_of_going_on_loses_and_doubles_nothing(
    machine: Machine, stored: Callable[[], Stored]
) -> None:
    machine.dies("clerk", "put_writes", status="completed", input="Hi")
    # The state never learned of the answer, so the thread is forked before it.
    done = machine.runs("clerk", input="Are you there?")
    assert done["messages"][-1] == ["ai", "You said 'Are you there?'."]
    assert machine.log == ["clerk is asked: Hi", "clerk is asked: Are you there?"]
    ended = stored()
    assert ended.statuses == ["completed", "completed"]
    assert ended.said == [
        ("user", "Hi"),
        ("assistant", "You said 'Hi'."),
        ("user", "Are you there?"),
        ("assistant", "You said 'Are you there?'."),
    ]
