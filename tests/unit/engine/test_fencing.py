"""Runs that somebody else ended, or whose database fails, while they execute."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import (
    Gate,
    assistant_with,
    calls,
    hosted,
    names,
    texts,
    thread_with,
    user,
    wait,
)
from tests.stored import broken_invariants

from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.engine import conductor
from langchain_assistants.errors import RunCancelled, RunExpired, StorageError
from langchain_assistants.testing import Reply, ScriptedChatModel


def gated_engine(factory: EngineFactory, gate: Gate, clock: Clock) -> AssistantsEngine:
    """Open an engine whose one tool waits at the gate."""

    def look_up(q: str) -> str:
        """Look something up."""
        gate.pass_through()
        return q

    return factory([calls("call_a"), "Too late."], tools=[look_up], clock=clock)


def test_a_cancel_from_another_engine_is_seen_at_the_next_step(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    gate = Gate()
    engine = gated_engine(engine_factory, gate, clock)
    other = engine_factory.reopen(clock=clock)
    assistant = engine.assistants.create(model="m", tools=[hosted("look_up")])
    thread = thread_with(engine, "Hi")
    events = engine.runs.stream(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    [run] = other.runs.list(thread.id)
    assert other.runs.cancel(run.id).status == "cancelling"
    gate.open()
    told = names(events)
    assert told[-1] in ("run.cancelled", "run.completed")
    assert f"run.{wait(engine, run).status}" == told[-1]
    assert broken_invariants(engine) == []
    other.messages.create(thread.id, **user("Hello?"))


def test_a_run_that_another_engine_expired_stores_nothing_more(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    gate = Gate()
    engine = gated_engine(engine_factory, gate, clock)
    other = engine_factory.reopen(clock=clock)
    assistant = engine.assistants.create(model="m", tools=[hosted("look_up")])
    thread = thread_with(engine, "Hi")
    events = engine.runs.stream(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    [run] = other.runs.list(thread.id)
    clock.advance(600)
    expired = other.runs.retrieve(run.id)
    assert expired.status == "expired"
    gate.open()
    assert names(events)[-1] == "run.expired"
    assert engine.runs.retrieve(run.id) == expired
    assert texts(engine, thread.id) == ["Hi"]
    assert broken_invariants(engine) == []


def test_a_caller_is_told_that_another_engine_ended_its_run(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    def end_elsewhere(messages: Any, _: Any) -> Reply:
        run = other.runs.list(thread.id, limit=1).data[0]
        if messages[-1].content == "expire":
            clock.advance(600)
            other.runs.retrieve(run.id)
        else:
            other.runs.cancel(run.id)
        return calls("call_a")

    engine = engine_factory(
        ScriptedChatModel(respond=lambda *given: _off_loop(end_elsewhere, *given)),
        clock=clock,
    )
    other = engine_factory.reopen(clock=clock)
    thread = thread_with(engine)
    runnable = AssistantRunnable(
        assistant_id=assistant_with(engine, "look_up").id, engine=engine
    )
    with pytest.raises(RunExpired):
        runnable.invoke({"content": "expire", "thread_id": thread.id})
    with pytest.raises(RunCancelled):
        runnable.invoke({"content": "cancel", "thread_id": thread.id})
    assert broken_invariants(engine) == []


def _off_loop(function: Any, *given: Any) -> Any:
    """Call from a thread, as another process would: the model runs on our loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *given).result()


def test_a_database_that_stays_broken_ends_the_stream_and_the_deadline_the_run(
    engine_factory: EngineFactory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor, "_STORAGE_RETRIES", (0.0,))
    gate = Gate()
    engine = engine_factory([Reply("x", wait_for=gate), "y", "z"], clock=clock)
    thread, assistant = thread_with(engine, "Hi"), assistant_with(engine)
    events = engine.runs.stream(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    write = engine.database.write

    async def fail(transaction: Any) -> Any:
        transaction.close()
        raise StorageError("The disk is gone.")

    monkeypatch.setattr(engine.database, "write", fail)
    gate.open()
    told = list(events)
    assert told[-1].event == "error"
    monkeypatch.setattr(engine.database, "write", write)
    [run] = engine.runs.list(thread.id)
    assert run.status == "in_progress"
    clock.advance(600)
    assert engine.runs.retrieve(run.id).status == "expired"
    again = engine.runs.create(thread.id, assistant_id=assistant.id)
    assert wait(engine, again).status == "completed"
    assert broken_invariants(engine) == []


def test_a_caller_waits_for_its_turn_and_executes_its_run_itself(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("one", wait_for=gate), "two"])
    thread, assistant = thread_with(engine, "Hi"), assistant_with(engine)
    runnable = AssistantRunnable(assistant_id=assistant.id, engine=engine)
    engine.runs.create(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(
            runnable.invoke,
            {"content": "And?", "thread_id": thread.id, "on_active_run": "queue"},
        )
        gate.open()
        assert [message.text for message in answer.result()] == ["two"]
    assert sorted(texts(engine, thread.id)) == ["And?", "Hi", "one", "two"]
