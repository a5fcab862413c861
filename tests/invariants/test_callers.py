from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
from tests import warm
from tests.conftest import EngineFactory
from tests.conversations import (
    TIMEOUT,
    Gate,
    assistant_with,
    thread_with,
    user,
)
from tests.stored import ACTIVE, broken_invariants, path_of, rows

from langchain_assistants import AssistantRunnable, AssistantsEngine, Settings
from langchain_assistants.errors import StorageError
from langchain_assistants.storage.database import Transaction
from langchain_assistants.testing import (
    Reply,
    ScriptedChatModel,
)


def statuses(engine: AssistantsEngine) -> set[str]:
    return {row["status"] for row in rows(engine, "SELECT status FROM runs")}


def blocked_runnable(
    factory: EngineFactory, gate: Gate
) -> tuple[AssistantRunnable, AssistantsEngine, str]:
    engine = factory(
        ScriptedChatModel(respond=lambda *_: Reply("never", wait_for=gate))
    )
    runnable = AssistantRunnable(assistant_id=assistant_with(engine).id, engine=engine)
    return runnable, engine, thread_with(engine).id


def is_free(engine: AssistantsEngine, thread_id: str) -> bool:
    engine.messages.create(thread_id, **user("Anybody?"))
    return broken_invariants(engine) == [] and not statuses(engine) & set(ACTIVE)


@pytest.mark.parametrize("ticks", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 200])
async def test_a_caller_that_goes_away_frees_its_thread(
    engine_factory: EngineFactory, ticks: int
) -> None:
    runnable, engine, thread_id = blocked_runnable(engine_factory, Gate())
    task = asyncio.create_task(
        runnable.ainvoke({"content": "Hi", "thread_id": thread_id})
    )
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(is_free, engine, thread_id)


async def test_a_caller_that_goes_away_while_the_model_thinks_frees_its_thread(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    runnable, engine, thread_id = blocked_runnable(engine_factory, gate)
    task = asyncio.create_task(
        runnable.ainvoke({"content": "Hi", "thread_id": thread_id})
    )
    assert await asyncio.to_thread(gate.reached.wait, TIMEOUT)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(is_free, engine, thread_id)
    assert statuses(engine) == {"cancelled"}


@pytest.mark.parametrize("waits", [False, True])
async def test_a_caller_that_goes_away_while_the_database_is_locked_frees_its_thread(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    gate = Gate()
    runnable, engine, thread_id = blocked_runnable(engine_factory, gate)
    given = {"content": "Hi", "thread_id": thread_id, "on_active_run": "queue"}
    tasks = [asyncio.create_task(runnable.ainvoke(given))]
    assert await asyncio.to_thread(gate.reached.wait, TIMEOUT)
    if waits:
        tasks.append(asyncio.create_task(runnable.ainvoke(given)))
        while len(rows(engine, "SELECT id FROM runs")) < 2:
            await asyncio.to_thread(statuses, engine)
    write, failures = engine.database.write, iter([StorageError("Locked.")])

    async def fail_once(transaction: Transaction[Any]) -> Any:
        for failure in failures:
            transaction.close()
            raise failure
        return await write(transaction)

    monkeypatch.setattr(engine.database, "write", fail_once)
    for task in reversed(tasks):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert next(failures, None) is None
    assert await asyncio.to_thread(is_free, engine, thread_id)
    assert statuses(engine) == {"cancelled"}


async def test_a_caller_that_goes_away_while_it_waits_its_turn_frees_its_thread(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    runnable, engine, thread_id = blocked_runnable(engine_factory, gate)
    ahead = await engine.runs.acreate(thread_id, assistant_id=runnable.assistant_id)
    assert await asyncio.to_thread(gate.reached.wait, TIMEOUT)
    task = asyncio.create_task(
        runnable.ainvoke(
            {"content": "Hi", "thread_id": thread_id, "on_active_run": "queue"}
        )
    )
    stored = 1
    while stored < 2:
        [row] = await asyncio.to_thread(rows, engine, "SELECT count(*) AS n FROM runs")
        stored = row["n"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await engine.runs.acancel(ahead.id)
    await engine.runs.await_(ahead.id, timeout=TIMEOUT)
    assert await asyncio.to_thread(is_free, engine, thread_id)
    assert texts_of(engine) == ["Anybody?"]


def texts_of(engine: AssistantsEngine) -> list[str]:
    stored = rows(engine, "SELECT content FROM messages ORDER BY seq")
    return [json.loads(row["content"])[0]["text"]["value"] for row in stored]


async def test_a_closed_async_generator_frees_its_thread(
    engine_factory: EngineFactory,
) -> None:
    runnable, engine, thread_id = blocked_runnable(engine_factory, Gate())
    events = runnable.astream_run({"content": "Hi", "thread_id": thread_id})
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]
    assert await asyncio.to_thread(is_free, engine, thread_id)


def test_a_closed_generator_frees_its_thread(engine_factory: EngineFactory) -> None:
    runnable, engine, thread_id = blocked_runnable(engine_factory, Gate())
    events = runnable.stream_run({"content": "Hi", "thread_id": thread_id})
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert is_free(engine, thread_id)


INTERRUPTED = """
import sys
from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.testing import Reply, ScriptedChatModel

class Never:
    told = False
    def is_set(self):
        if not self.told:
            self.told = True
            print("asked", flush=True)
        return False

model = ScriptedChatModel([Reply("never", wait_for=Never())])
engine = AssistantsEngine(sys.argv[1], chat_model=model)
runnable = AssistantRunnable.create_assistant("a", "b", [], "m", engine=engine)
try:
    runnable.invoke({"content": "Hi", "thread_key": "k"})
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_a_caller_that_is_interrupted_frees_its_thread(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    process = warm.Popen(
        [sys.executable, "-c", INTERRUPTED, engine.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "interrupted\n"), err
    thread = engine.threads.get_or_create(key="k")
    assert is_free(engine, thread.id)
    assert statuses(engine) == {"cancelled"}


def test_a_process_that_is_closed_in_order_leaves_no_thread_busy(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    engine = engine_factory(
        ScriptedChatModel(respond=lambda *_: Reply("never", wait_for=gate)),
        settings=Settings(max_concurrent_runs=2),
    )
    assistant = assistant_with(engine)
    threads = [thread_with(engine, "Hi") for _ in range(2)]
    for thread in threads:
        engine.runs.create(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    closing = threading.Thread(target=engine.close)
    closing.start()
    closing.join(TIMEOUT)
    reopened = engine_factory.reopen()
    assert all(is_free(reopened, thread.id) for thread in threads)
    assert path_of(reopened) == path_of(engine)
