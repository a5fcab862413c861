from __future__ import annotations

import asyncio
import itertools
import logging
import time
from types import SimpleNamespace

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import (
    Gate,
    function,
    texts,
    thread_with,
    user,
    wait,
)
from tests.stored import broken_invariants, rows

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine import heartbeat, sweep
from langchain_assistants.engine.run_rows import Claim
from langchain_assistants.engine.sweep import apply
from langchain_assistants.errors import StorageError
from langchain_assistants.testing import Reply, call
from langchain_assistants.types.runs import Run

LEASE = 2.0
SHORT = Settings(lease=LEASE)


def work(q: str) -> str:
    """Work."""
    return f"worked on {q}"


@pytest.fixture
def gate() -> Gate:
    """Where the model of the first engine stands until the end of the test."""
    return Gate()


@pytest.fixture
def first(engine_factory: EngineFactory, clock: Clock, gate: Gate) -> AssistantsEngine:
    """An engine whose runs wait before the gate."""
    steps = [Reply("too late", wait_for=gate)] * 2
    return engine_factory(steps, clock=clock, settings=SHORT, tools=[work])


def begun(engine: AssistantsEngine, gate: Gate) -> Run:
    """Return a run that waits before the gate for its model's answer."""
    entry = function("work") | {"run_on": "engine"}
    assistant = engine.assistants.create(model="m", tools=[entry])
    thread = thread_with(engine, "go")
    run = engine.runs.create(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    return run


def dies(engine: AssistantsEngine, clock: Clock) -> None:
    """Take an engine's pulse away until its leases are over."""
    engine._heartbeat.stop()
    clock.advance(LEASE + 0.1)


def test_a_run_whose_process_died_is_taken_over_with_its_tools(
    engine_factory: EngineFactory, first: AssistantsEngine, clock: Clock, gate: Gate
) -> None:
    run = begun(first, gate)
    second = engine_factory.reopen(
        [Reply("", tool_calls=[call("work", {"q": "it"})]), "done"],
        clock=clock,
        settings=SHORT,
        tools=[work],
    )
    dies(first, clock)
    assert wait(second, run).status == "completed"
    gate.open()
    assert first.runs.wait(run.id).status == "completed"
    assert texts(second, run.thread_id) == ["go", "done"]
    assert rows(second, "SELECT attempt FROM runs") == [{"attempt": 2}]
    assert broken_invariants(second) == []


def test_a_run_that_is_delivered_twice_keeps_its_lease(
    first: AssistantsEngine, gate: Gate
) -> None:
    run = begun(first, gate)
    first.portal.call(lambda: first.conductor._deliver(run.id))
    assert run.id in first.conductor.ownership
    gate.open()
    assert wait(first, run).status == "completed"
    while run.id in first.conductor.ownership:
        time.sleep(0)  # its end is told a moment before its lease is dropped


def test_the_run_that_waits_behind_it_is_taken_over_too(
    engine_factory: EngineFactory, first: AssistantsEngine, clock: Clock, gate: Gate
) -> None:
    run = begun(first, gate)
    waiting = first.runs.create(
        run.thread_id,
        assistant_id=run.assistant_id,
        on_active_run="queue",
        additional_messages=[user("and then")],
    )
    second = engine_factory.reopen(
        ["one", "two"], clock=clock, settings=SHORT, tools=[work]
    )
    dies(first, clock)
    assert wait(second, run).status == "completed"
    assert wait(second, waiting).status == "completed"
    assert texts(second, run.thread_id) == ["go", "one", "and then", "two"]
    gate.open()


def test_a_run_whose_tools_nobody_has_stays_queued_and_they_are_named_once(
    engine_factory: EngineFactory,
    first: AssistantsEngine,
    clock: Clock,
    gate: Gate,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = begun(first, gate)
    second = engine_factory.reopen([], clock=clock, settings=SHORT)
    second._heartbeat.stop()
    second._heartbeat._suspects.patience = 0.0
    dies(first, clock)
    with caplog.at_level(logging.WARNING, "langchain_assistants.engine.heartbeat"):
        asyncio.run(second._heartbeat.sweep())
        asyncio.run(second._heartbeat.sweep())
    assert second.runs.retrieve(run.id).status == "queued"
    [warning] = caplog.messages
    assert run.id in warning
    assert "needs work; open an engine with tools=" in warning
    third = engine_factory.reopen(["done"], clock=clock, settings=SHORT, tools=[work])
    assert wait(third, run).status == "completed"
    gate.open()


def test_an_engine_that_does_not_recover_ends_what_died(
    engine_factory: EngineFactory, first: AssistantsEngine, clock: Clock, gate: Gate
) -> None:
    run = begun(first, gate)
    second = engine_factory.reopen(
        [], clock=clock, settings=SHORT, tools=[work], recover=False
    )
    dies(first, clock)
    # Those who would execute it come first.
    clock.advance(LEASE)
    ended = wait(second, run)
    assert ended.status == "failed"
    assert ended.last_error is not None
    assert ended.last_error.message == "The process that executed the run died."
    gate.open()


def test_a_cancel_in_another_engine_is_heard(
    engine_factory: EngineFactory, first: AssistantsEngine, clock: Clock, gate: Gate
) -> None:
    run = begun(first, gate)
    second = engine_factory.reopen([], clock=clock, settings=SHORT, tools=[work])
    assert second.runs.cancel(run.id).status == "cancelling"
    assert wait(second, run).status == "cancelled"
    assert rows(second, "SELECT attempt FROM runs") == [{"attempt": 1}]
    gate.open()


def test_after_a_jump_of_the_clock_a_living_worker_keeps_its_run(
    engine_factory: EngineFactory, first: AssistantsEngine, clock: Clock, gate: Gate
) -> None:
    run = begun(first, gate)
    first._heartbeat.stop()
    clock.advance(300.0)
    asyncio.run(first._heartbeat.beat())
    [row] = rows(first, "SELECT lease_until, attempt FROM runs")
    assert row == {"lease_until": clock.now + LEASE, "attempt": 1}
    gate.open()
    assert wait(first, run).status == "completed"


def test_who_could_not_renew_while_the_file_was_locked_is_not_taken_for_dead(
    engine_factory: EngineFactory,
    first: AssistantsEngine,
    clock: Clock,
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = begun(first, gate)
    second = engine_factory.reopen([], clock=clock, settings=SHORT, recover=False)
    for engine in (first, second):
        engine._heartbeat.stop()
    clock.advance(3 * LEASE)
    ticks = itertools.count(step=LEASE)
    with monkeypatch.context() as patched:
        for module in (heartbeat, sweep):
            # Each look at the clock is a lease later than the one before.
            elapsing = SimpleNamespace(monotonic=lambda: float(next(ticks)))
            patched.setattr(module, "time", elapsing)
        asyncio.run(second._heartbeat.sweep())
        with pytest.raises(StorageError, match="was locked for"):
            asyncio.run(second._heartbeat.sweep())
        asyncio.run(second._heartbeat.sweep())
    asyncio.run(first._heartbeat.beat())
    gate.open()
    assert wait(first, run).status == "completed"


def test_a_late_run_that_was_deleted_meanwhile_is_left_alone(
    first: AssistantsEngine,
) -> None:
    seen = {"id": "run_gone", "tenant": "default"}
    take = apply(seen, "take", Claim("worker", 1.0), 0.0)
    assert first.portal.call(lambda: first.database.write(take)) is None
