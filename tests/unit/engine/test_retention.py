"""Threads that nobody has used for `thread_ttl` are deleted; others never."""

from __future__ import annotations

import asyncio

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import assistant_with, calls, outputs, texts, thread_with, user
from tests.conversations import wait as wait_for
from tests.stored import broken_invariants, rows

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine import retention
from langchain_assistants.engine.retention import Retention

DAY = 86_400


def sweep(engine: AssistantsEngine, clock: Clock, ttl: float = DAY) -> list[str]:
    """Let one sweep look at the first threads, and return the ids that are left."""
    asyncio.run(Retention(engine.database, ttl).sweep(clock()))
    return [thread.id for thread in engine.threads.list(order="asc")]


def test_a_thread_goes_when_its_newest_message_and_run_are_old_enough(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(["Hello."], clock=clock)
    assistant = assistant_with(engine)
    empty = engine.threads.create().id
    with_run = thread_with(engine, "Hi").id
    spoken_to = thread_with(engine, "Hi").id
    clock.advance(DAY / 2)
    wait_for(engine, engine.runs.create(with_run, assistant_id=assistant.id))
    engine.messages.create(spoken_to, **user("Still there?"))
    forked = engine.threads.fork(empty).id
    assert sweep(engine, clock) == [empty, with_run, spoken_to, forked]
    clock.advance(DAY / 2)
    assert sweep(engine, clock) == [with_run, spoken_to, forked]
    clock.advance(DAY / 2)
    assert sweep(engine, clock) == []
    for table in ("messages", "runs", "run_steps"):
        assert rows(engine, f"SELECT * FROM {table}") == []


def test_a_thread_with_an_active_run_stays_however_old_it_is(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory([calls("call_a"), "Done."], clock=clock)
    assistant = assistant_with(engine, "look_up")
    thread = thread_with(engine, "Hi").id
    run = engine.runs.create(thread, assistant_id=assistant.id, expires_after=30 * DAY)
    run = wait_for(engine, run)
    clock.advance(10 * DAY)
    assert sweep(engine, clock) == [thread]
    engine.runs.submit_tool_outputs(run.id, tool_outputs=outputs("call_a"))
    assert wait_for(engine, run).status == "completed"
    assert sweep(engine, clock) == [thread]
    clock.advance(DAY)
    assert sweep(engine, clock) == []


def test_a_fork_outlives_the_thread_it_came_from(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    old = thread_with(engine, "Hi").id
    clock.advance(DAY - 1)
    fork = engine.threads.fork(old).id
    clock.advance(1)
    assert sweep(engine, clock) == [fork]
    assert texts(engine, fork) == ["Hi"]
    assert broken_invariants(engine) == []


def test_a_sweep_looks_at_some_threads_and_the_next_one_goes_on(
    engine_factory: EngineFactory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_factory(clock=clock)
    for _ in range(retention._LOOKED_AT + 5):
        engine.threads.create()
    clock.advance(DAY)
    keeper = Retention(engine.database, DAY)
    asyncio.run(keeper.sweep(clock()))
    assert len(list(engine.threads.list())) == 5
    young = engine.threads.create().id
    asyncio.run(keeper.sweep(clock()))
    assert [thread.id for thread in engine.threads.list()] == [young]
    clock.advance(DAY)
    asyncio.run(keeper.sweep(clock()))
    assert list(engine.threads.list()) == []


def test_a_thread_that_is_used_after_it_was_looked_at_stays(
    engine_factory: EngineFactory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_factory(clock=clock)
    thread = thread_with(engine, "Hi").id
    gone = thread_with(engine, "Hi").id
    clock.advance(DAY)
    read = engine.database.read

    async def read_and_use(transaction: object) -> object:
        found = await read(transaction)  # type: ignore[arg-type]
        monkeypatch.undo()
        await engine.messages.acreate(thread, role="user", content="Wait!")
        await engine.threads.adelete(gone)
        return found

    monkeypatch.setattr(engine.database, "read", read_and_use)
    assert sweep(engine, clock) == [thread]
    assert texts(engine, thread) == ["Hi", "Wait!"]


@pytest.mark.parametrize("ttl", [None, DAY])
def test_the_engines_own_sweep_deletes_where_the_setting_says_so(
    engine_factory: EngineFactory, clock: Clock, ttl: float | None
) -> None:
    engine = engine_factory(clock=clock, settings=Settings(thread_ttl=ttl))
    thread = thread_with(engine, "Hi").id
    clock.advance(2 * DAY)
    asyncio.run(engine._heartbeat.sweep())
    left = [left.id for left in engine.threads.list()]
    assert left == ([thread] if ttl is None else [])


def test_the_setting_comes_from_the_environment_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings().thread_ttl is None
    monkeypatch.setenv("LANGCHAIN_ASSISTANTS_THREAD_TTL", "3600")
    assert Settings().thread_ttl == 3600
    with pytest.raises(ValueError, match="greater than 0"):
        Settings(thread_ttl=0)
