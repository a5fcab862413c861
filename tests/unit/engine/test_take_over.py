"""Runs whose process has died, in the hands of another one."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from tests.conftest import EngineFactory
from tests.conversations import (
    TIMEOUT,
    Gate,
    assistant_with,
    calls,
    hosted,
    texts,
    thread_with,
    user,
    wait,
)
from tests.stored import broken_invariants, rows

from langchain_assistants import Settings
from langchain_assistants.engine.conductor import Conductor
from langchain_assistants.errors import StorageError
from langchain_assistants.storage.database import Row
from langchain_assistants.testing import Reply, call

BRIEF = Settings(lease=0.2)


def test_a_waiting_run_has_a_living_owner_before_its_turn_comes(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([calls("call_a")], settings=BRIEF)
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine, "Hi")
    first = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    waiting = engine.runs.create(
        thread.id,
        assistant_id=assistant.id,
        additional_messages=[user("And now?")],
        on_active_run="queue",
    )
    assert first.status == "requires_action"
    engine.close()
    heir = engine_factory.reopen(["Done."], settings=BRIEF)
    owner = heir.conductor.ownership.worker

    def worker() -> str:
        [row] = rows(heir, "SELECT worker FROM runs WHERE id = ?", waiting.id)
        return row["worker"]

    until = time.monotonic() + TIMEOUT
    while worker() != owner:
        assert time.monotonic() < until
    assert heir.runs.retrieve(waiting.id).status == "queued"
    heir.runs.cancel(first.id)
    assert wait(heir, waiting).status == "completed"
    assert texts(heir, thread.id) == ["Hi", "And now?", "Done."]
    assert broken_invariants(heir) == []


def test_a_tool_that_waits_for_a_thread_longer_than_its_lease_does_not_begin(
    engine_factory: EngineFactory,
) -> None:
    gate, effects = Gate(), Counter[str]()

    def hold(q: str) -> str:
        """Keep the only thread."""
        effects["hold"] += 1
        gate.pass_through()
        return q

    def charge(q: str) -> str:
        """Charge the customer."""
        effects["charge"] += 1
        return q

    both = Reply(tool_calls=[call(name, {"q": "x"}) for name in ("hold", "charge")])
    engine = engine_factory(
        [both, "Done."], tools=[hold, charge], settings=Settings(tool_threads=1)
    )
    assistant = engine.assistants.create(
        model="m", tools=[hosted("hold"), hosted("charge")]
    )
    thread = thread_with(engine, "Hi")
    run = engine.runs.create(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    engine._heartbeat.stop()
    engine.conductor.ownership.snapshot()[run.id].renewed_at = float("-inf")
    gate.open()
    assert wait(engine, run).status == "completed"
    # In its second attempt: the first one was over before its turn came.
    assert effects == {"hold": 2, "charge": 1}


def test_a_database_error_while_a_run_waits_for_its_turn_does_not_leave_it_waiting(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_factory([calls("call_a"), "Done."], settings=BRIEF)
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine, "Hi")
    first = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    failures, turn = iter([StorageError("Locked.")]), Conductor._turn

    async def fail_once(self: Conductor, row: Row, *, claim: bool) -> Row:
        for failure in failures:
            raise failure
        return await turn(self, row, claim=claim)

    monkeypatch.setattr(Conductor, "_turn", fail_once)
    waiting = engine.runs.create(
        thread.id, assistant_id=assistant.id, on_active_run="queue"
    )
    engine.runs.cancel(first.id)
    assert wait(engine, waiting).status == "completed"
    assert next(failures, None) is None
