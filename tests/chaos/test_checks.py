"""Each check finds what it is there for: healthy evidence, with one thing broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from tests.chaos import script
from tests.chaos.checks import CHECKS, Evidence, violations
from tests.chaos.journal import Entry
from tests.chaos.users import OUTPUT
from tests.conftest import EngineFactory
from tests.dialogue import Dialogue, open_calls
from tests.stored import everything

from langchain_assistants.testing import Reply, ScriptedChatModel, call

TEXT = script.message("ann", 1, "charge+ask")


def healthy(factory: EngineFactory) -> Evidence:
    """One run, completed after a tool call of each kind, and what is known of it."""
    answers: list[Any] = [
        Reply(
            tool_calls=[call("charge", {}, "call_charge"), call("ask", {}, "call_ask")]
        ),
        script.answer_to(TEXT),
    ]

    def charge() -> str:
        """Charge the customer."""
        return "done by 1"

    engine = factory(ScriptedChatModel(answers), tools=[charge])
    dialogue = Dialogue(engine, executed=[charge], functions=[script.ASK])
    run = dialogue.ask(TEXT)
    dialogue.submit(run, dict.fromkeys(open_calls(run), OUTPUT))
    thread = dialogue.thread_id
    life = ["in_progress", "requires_action", "queued", "in_progress", "completed"]
    changes = [
        {"run": run.id, "thread": thread, "head": 1, "was": was, "status": status}
        for was, status in zip([None, *life], life, strict=False)
    ]
    execution = {"run": run.id, "call": "call_charge", "execution": "1"}
    said = {"thread": thread, "text": TEXT}
    journal: list[Entry] = [
        {"what": "says", "at": 1.0, **said},
        {"what": "accepted", "at": 2.0, **said},
        {"what": "tool_begun", "at": 3.0, **execution},
        {"what": "tool_ended", "at": 4.0, **execution, "output": "done by 1"},
        {"what": "submitted", "at": 6.0, "run": run.id, "calls": ["call_ask"]},
        {"what": "heard", "at": 7.0, "events": ["1.1", "1.2", "2.1"]},
    ]
    outputs = [{"run": run.id, "call": "call_charge", "attempt": 1, "at": 5.0}]
    return Evidence(everything(engine), changes, outputs, journal, [])


def again(evidence: Any, what: str, /, **changed: Any) -> None:
    """Let something of the journal happen once more, or something like it."""
    [entry, *_] = evidence.noted(what)
    evidence.journal.append({**entry, "at": 9.0, **changed})


def another_run_on_the_thread(evidence: Any) -> None:
    created = {**evidence.changes[0], "run": "run_other", "status": "queued"}
    evidence.changes.insert(1, created)


def a_completed_run_is_cancelled(evidence: Any) -> None:
    completed = evidence.changes[-1]
    evidence.changes.append({**completed, "was": "completed", "status": "cancelled"})


def an_output_comes_from_nowhere(evidence: Any) -> None:
    [step, *_] = evidence.tables["run_steps"]
    step["details"] = step["details"].replace("done by 1", "done by 2")


def a_run_stays(evidence: Any) -> None:
    evidence.tables["runs"][0] |= {"status": "queued", "ended_at": None}


def a_recorded_call_is_executed(evidence: Any) -> None:
    again(evidence, "tool_begun")


def a_call_is_recorded_twice(evidence: Any) -> None:
    evidence.outputs.append(evidence.outputs[0])


def a_message_is_doubled(evidence: Any) -> None:
    tables = evidence.tables
    [message, *_] = tables["messages"]
    tables["threads"][0]["last_seq"] += 1
    last = tables["threads"][0]["last_seq"]
    tables["messages"].append({**message, "id": "msg_again", "seq": last})


def a_message_is_lost(evidence: Any) -> None:
    again(evidence, "accepted", text="ann-2: ")
    again(evidence, "says", text="ann-2: ")


def a_rejected_message_is_there(evidence: Any) -> None:
    again(evidence, "says", what="rejected")


def a_number_is_missing(evidence: Any) -> None:
    evidence.tables["threads"][0]["last_seq"] += 1


def an_answer_is_missing(evidence: Any) -> None:
    evidence.tables["messages"][-1]["content"] = json.dumps([])


def a_turn_is_repeated(evidence: Any) -> None:
    [step, *_] = evidence.tables["run_steps"]
    evidence.tables["run_steps"].append({**step, "seq": 2})


def a_run_fails(evidence: Any) -> None:
    [run] = evidence.tables["runs"]
    run |= {"status": "failed", "last_error": '{"message": "The checkpoint ..."}'}


def an_ended_run_has_a_worker(evidence: Any) -> None:
    evidence.tables["runs"][0]["worker"] = "worker_dead"


BROKEN: list[tuple[str, Callable[[Any], None]]] = [
    ("one_active_run_per_thread", another_run_on_the_thread),
    ("terminal_status_never_changes", a_completed_run_is_cancelled),
    (
        "every_tool_call_has_an_output_before_the_next_model_call",
        lambda e: again(e, "says", what="unpaired", messages="[]"),
    ),
    ("every_output_is_that_of_an_execution", an_output_comes_from_nowhere),
    ("no_thread_left_busy", a_run_stays),
    ("no_thread_left_busy", lambda e: e.problems.append("stuck")),
    (
        "no_thread_left_busy",
        lambda e: again(e, "says", what="left_busy", status="queued"),
    ),
    ("a_finished_tool_call_is_never_executed_again", a_recorded_call_is_executed),
    ("a_finished_tool_call_is_never_executed_again", a_call_is_recorded_twice),
    ("no_message_is_lost_or_doubled", a_message_is_doubled),
    ("no_message_is_lost_or_doubled", a_message_is_lost),
    ("no_message_is_lost_or_doubled", a_rejected_message_is_there),
    ("no_message_is_lost_or_doubled", a_number_is_missing),
    ("every_completed_run_has_done_its_work_once", an_answer_is_missing),
    ("every_completed_run_has_done_its_work_once", a_turn_is_repeated),
    ("no_run_fails_without_a_reason", a_run_fails),
    (
        "no_run_fails_without_a_reason",
        lambda e: again(e, "says", what="surprise", error="KeyError"),
    ),
    ("outputs_are_submitted_once", lambda e: again(e, "submitted")),
    ("event_numbers_are_dense", lambda e: again(e, "heard", events=["1.1", "1.3"])),
    (
        "pages_never_repeat_or_skip",
        lambda e: again(e, "says", what="misread", size=3, read=["msg_1", "msg_1"]),
    ),
    ("rows_agree", an_ended_run_has_a_worker),
]


@pytest.mark.parametrize(("name", "break_it"), BROKEN)
def test_each_check_finds_what_contradicts_it(
    engine_factory: EngineFactory, name: str, break_it: Callable[[Any], None]
) -> None:
    evidence = healthy(engine_factory)
    assert violations(evidence) == []
    broken = deepcopy(evidence)
    break_it(broken)
    assert name in [found for found, _ in violations(broken)]


def test_no_check_is_left_untried() -> None:
    assert {name for name, _ in BROKEN} == {check.__name__ for check in CHECKS}
