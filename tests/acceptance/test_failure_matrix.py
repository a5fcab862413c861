"""Each way in which one machine fails, with real processes on one SQLite file."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.engine_program import (
    Journal,
    Program,
    eventually,
    open_engine,
    status_of,
)
from tests.conversations import texts
from tests.stored import broken_invariants, rows

from langchain_assistants import AssistantsEngine


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


@pytest.fixture
def onlooker(tmp_path: Path) -> Iterator[AssistantsEngine]:
    """An engine that looks on and takes care of nothing."""
    with open_engine(tmp_path) as engine:
        engine._heartbeat.stop()
        yield engine


def conversation(engine: AssistantsEngine, key: str) -> list[str]:
    return texts(engine, engine.threads.get_or_create(key=key).id)


def attempts(engine: AssistantsEngine, run_id: str) -> int:
    [row] = rows(engine, "SELECT attempt FROM runs WHERE id = ?", run_id)
    return int(row["attempt"])


def test_a_killed_worker_loses_no_output_that_is_recorded(
    tmp_path: Path, journal: Journal, onlooker: AssistantsEngine
) -> None:
    with Program(tmp_path) as first:
        run_id = first.tell("ask", "ada", "call:quick,gate")
        journal.await_("begin", "gate")
        eventually(lambda: rows(onlooker, "SELECT 1 FROM tool_outputs"))
        first.kill()
    assert status_of(onlooker, run_id) == "in_progress"
    (tmp_path / "open").touch()
    with Program(tmp_path) as second:
        assert second.tell("wait", run_id) == "completed"
        second.end()
    assert journal.count("begin", "quick") == 1
    # Executed again, as its output was not recorded, under the id it had.
    once, again = journal.calls("gate")
    assert once == again
    assert conversation(onlooker, "ada") == [
        "call:quick,gate",
        "Done call:quick,gate with quick done, gate done.",
    ]
    assert broken_invariants(onlooker) == []


def test_a_worker_killed_while_the_model_answers_is_replaced(
    tmp_path: Path, onlooker: AssistantsEngine
) -> None:
    with Program(tmp_path) as first:
        run_id = first.tell("ask", "ada", "ponder")
        eventually(lambda: status_of(onlooker, run_id) == "in_progress")
        first.kill()
    with Program(tmp_path) as second:
        eventually(lambda: attempts(onlooker, run_id) == 2)
        assert second.tell("cancel", run_id) == "cancelling"
        assert second.tell("wait", run_id) == "cancelled"
        assert second.tell("ask", "ada", "say").startswith("run_")
        second.end()
    assert broken_invariants(onlooker) == []


def test_a_frozen_worker_finds_its_run_done_by_another(
    tmp_path: Path, journal: Journal, onlooker: AssistantsEngine
) -> None:
    with Program(tmp_path) as frozen, Program(tmp_path) as living:
        frozen.say("invoke", "ada", "call:gate")
        journal.await_("begin", "gate")
        frozen.signal(signal.SIGSTOP)
        journal.await_("begin", "gate", 2)
        (tmp_path / "open").touch()
        [run] = rows(onlooker, "SELECT id FROM runs")
        assert living.tell("wait", run["id"]) == "completed"
        before = rows(onlooker, "SELECT * FROM messages")
        frozen.signal(signal.SIGCONT)
        # Its caller gets what the other one has found out.
        assert frozen.hear() == "Done call:gate with gate done."
        journal.await_("end", "gate", 2)
        frozen.end()
        living.end()
    assert rows(onlooker, "SELECT * FROM messages") == before
    assert attempts(onlooker, run["id"]) == 2
    assert broken_invariants(onlooker) == []


def test_a_run_that_kills_its_workers_fails(
    tmp_path: Path, journal: Journal, onlooker: AssistantsEngine
) -> None:
    with Program(tmp_path) as first:
        run_id = first.tell("ask", "ada", "call:mine")
        first.process.wait()
    while status_of(onlooker, run_id) != "failed":
        with Program(tmp_path, ready=False) as next_one:
            process = next_one.process
            eventually(
                lambda process=process: (
                    process.poll() is not None
                    or status_of(onlooker, run_id) == "failed"
                )
            )
    assert journal.count("begin", "mine") == 5
    run = onlooker.runs.retrieve(run_id)
    assert run.last_error is not None
    assert run.last_error.message.startswith("The process that executed the run died")
    assert onlooker.threads.get_or_create(key="ada").id == run.thread_id
    assert broken_invariants(onlooker) == []


CUT_SHORT = "SELECT incomplete_reason FROM messages WHERE status = 'incomplete'"


def test_a_run_waits_for_an_engine_that_has_its_tools(
    tmp_path: Path, journal: Journal, onlooker: AssistantsEngine
) -> None:
    with Program(tmp_path, "rare") as first:
        run_id = first.tell("ask", "ada", "call:gate,rare")
        journal.await_("begin", "gate")
        eventually(lambda: rows(onlooker, "SELECT 1 FROM tool_outputs"))
        first.kill()
    (tmp_path / "open").touch()
    with Program(tmp_path) as without:
        eventually(lambda: status_of(onlooker, run_id) == "queued")
        assert without.process.stdin is not None
        said = without.end()
    assert run_id in said
    assert "rare" in said
    with Program(tmp_path, "rare") as later:
        assert later.tell("wait", run_id) == "completed"
        later.end()
    assert journal.count("begin", "rare") == 1
    assert broken_invariants(onlooker) == []


@pytest.mark.parametrize("plan", ["call:hang", "call:gate", "talk"])
def test_a_cancel_from_another_process_frees_run_and_thread(
    tmp_path: Path, journal: Journal, onlooker: AssistantsEngine, plan: str
) -> None:
    with Program(tmp_path) as worker, Program(tmp_path) as other:
        run_id = worker.tell("ask", "ada", plan)
        if plan != "talk":
            journal.await_("begin", plan.removeprefix("call:"))
        else:
            journal.await_("hear", "ada")  # so that there is something to cut short
        assert other.tell("cancel", run_id) == "cancelling"
        # Nobody asks for it: the worker hears it by itself.
        eventually(lambda: status_of(onlooker, run_id) == "cancelled")
        cut = [m["incomplete_reason"] for m in rows(onlooker, CUT_SHORT)]
        assert cut == (["run_cancelled"] if plan == "talk" else [])
        again = worker.tell("ask", "ada", "say")
        assert worker.tell("wait", again) == "completed"
        (tmp_path / "open").touch()
        other.end()
        worker.end()  # a thread that hangs keeps no process from ending
    assert conversation(onlooker, "ada")[-2:] == ["say", "Done say with nothing."]
    assert broken_invariants(onlooker) == []


def test_a_tool_that_hangs_becomes_an_error_that_the_model_sees(
    tmp_path: Path, onlooker: AssistantsEngine
) -> None:
    with Program(tmp_path, "impatient") as worker:
        run_id = worker.tell("ask", "ada", "call:hang,quick")
        assert worker.tell("wait", run_id) == "completed"
        worker.end()
    last = conversation(onlooker, "ada")[-1]
    assert "Error: TimeoutError: no result within 0.5 s, quick done" in last


def test_a_graph_inside_a_tool_goes_on_where_it_was(
    tmp_path: Path, journal: Journal, onlooker: AssistantsEngine
) -> None:
    with Program(tmp_path) as first:
        run_id = first.tell("ask", "ada", "call:steps")
        journal.await_("begin", "gate")
        first.kill()
    (tmp_path / "open").touch()
    with Program(tmp_path) as second:
        assert second.tell("wait", run_id) == "completed"
        second.end()
    assert journal.count("begin", "first") == 1
    assert journal.count("begin", "gate") == 2
    assert rows(onlooker, "SELECT * FROM run_checkpoints") == []
    assert broken_invariants(onlooker) == []


def test_an_engine_that_does_not_recover_fails_what_died(
    tmp_path: Path, journal: Journal, onlooker: AssistantsEngine
) -> None:
    with Program(tmp_path) as first:
        run_id = first.tell("ask", "ada", "call:gate")
        journal.await_("begin", "gate")
        first.kill()
    with Program(tmp_path, "bystander") as second:
        assert second.tell("wait", run_id) == "failed"
        again = second.tell("ask", "ada", "say")
        assert second.tell("wait", again) == "completed"
        second.end()
    assert journal.count("begin", "gate") == 1
    assert broken_invariants(onlooker) == []


def test_an_engine_that_closes_leaves_its_runs_to_others(
    tmp_path: Path, journal: Journal, onlooker: AssistantsEngine
) -> None:
    with Program(tmp_path) as first, Program(tmp_path) as second:
        run_id = first.tell("ask", "ada", "call:gate")
        queued = second.tell("ask", "ben", "say")
        journal.await_("begin", "gate")
        first.end()
        assert second.tell("wait", queued) == "completed"
        (tmp_path / "open").touch()
        assert second.tell("wait", run_id) in ("completed", "cancelled")
        second.end()
    assert broken_invariants(onlooker) == []
