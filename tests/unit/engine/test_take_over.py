"""Runs whose process has died, in the hands of another one."""

from __future__ import annotations

import asyncio

from tests.conftest import EngineFactory
from tests.conversations import (
    TIMEOUT,
    assistant_with,
    calls,
    texts,
    thread_with,
    user,
    wait,
)
from tests.stored import broken_invariants, rows

from langchain_assistants import Settings

BRIEF = Settings(lease=0.2)


async def test_a_waiting_run_has_a_living_owner_before_its_turn_comes(
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
    await engine.aclose()
    heir = engine_factory.reopen(["Done."], settings=BRIEF)
    owner = heir.conductor.ownership.worker

    def worker() -> str:
        [row] = rows(heir, "SELECT worker FROM runs WHERE id = ?", waiting.id)
        return row["worker"]

    async with asyncio.timeout(TIMEOUT):
        while worker() != owner:
            await asyncio.sleep(0)
    assert heir.runs.retrieve(waiting.id).status == "queued"
    heir.runs.cancel(first.id)
    assert wait(heir, waiting).status == "completed"
    assert texts(heir, thread.id) == ["Hi", "And now?", "Done."]
    assert broken_invariants(heir) == []

