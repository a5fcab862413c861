"""Runs whose process has died, in the hands of another one."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from tests.conftest import EngineFactory
from tests.conversations import (
    TIMEOUT,
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

BRIEF = Settings(lease=1.0)


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


def test_a_tool_does_not_begin_after_a_freeze_that_was_longer_than_its_lease(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects = Counter[str]()

    def charge(q: str) -> str:
        """Charge the customer."""
        effects["charge"] += 1
        return q

    charges = Reply(tool_calls=[call("charge", {"q": "x"})])
    engine = engine_factory([charges, "Done."], tools=[charge])
    engine._heartbeat.stop()
    pool = engine._offloading._pool
    submit, freezes = pool.submit, iter(["once"])

    def freeze(work: Any, *args: Any) -> Any:
        for _ in freezes:
            [lease] = engine.conductor.ownership.snapshot().values()
            lease.renewed_at = float("-inf")
        return submit(work, *args)

    monkeypatch.setattr(pool, "submit", freeze)
    assistant = engine.assistants.create(model="m", tools=[hosted("charge")])
    thread = thread_with(engine, "Hi")
    run = engine.runs.create(thread.id, assistant_id=assistant.id)
    assert wait(engine, run).status == "completed"
    # In its second attempt: the first one was over when its thread began.
    assert effects == {"charge": 1}
    assert rows(engine, "SELECT attempt FROM runs") == [{"attempt": 2}]


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
