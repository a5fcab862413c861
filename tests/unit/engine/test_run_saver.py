"""RunSaver: LangGraph's conformance suite, and what is durable of a run when."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from tests.conftest import EngineFactory
from tests.conversations import Gate
from tests.dialogue import Dialogue
from tests.stored import path_of, rows

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine.location import open_sqlite
from langchain_assistants.engine.run_saver import RunSaver, strict_serializer
from langchain_assistants.settings import Settings
from langchain_assistants.testing import Reply, ScriptedChatModel, call


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def ask_user(question: str = "?") -> str:
    """Ask the user."""
    raise AssertionError("the caller executes it")


ASKS = Reply(tool_calls=[call("ask_user", id="call_q")])
ADDS = Reply(tool_calls=[call("add", {"a": 1, "b": 2}, id="call_add")])


def checkpoints(engine: AssistantsEngine) -> list[dict[str, Any]]:
    """The durable checkpoints."""
    return rows(engine, "SELECT * FROM run_checkpoints ORDER BY id")


def state_of(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The state in a durable checkpoint, as it is stored."""
    stored = strict_serializer().loads_typed((checkpoint["type"], checkpoint["data"]))
    values: dict[str, Any] = stored["channel_values"]
    return values


def corrupt(engine: AssistantsEngine, column: str, value: bytes) -> None:
    """Overwrite a column of every durable checkpoint."""
    with closing(sqlite3.connect(path_of(engine))) as connection, connection:
        connection.execute(f"UPDATE run_checkpoints SET {column} = ?", (value,))


# LangGraph's suite.


# What asks for a checkpoint that is not the newest: a run needs none of them.
NEEDS_OLDER_ONES = {
    "test_put_multiple_checkpoints_same_thread",
    "test_put_incremental_channel_update",
    "test_get_tuple_specific_checkpoint_id",
}


@pytest.mark.parametrize("keep", [True, False])
async def test_the_saver_passes_langgraphs_suite_for_what_it_claims(
    tmp_path: Path, keep: bool
) -> None:
    async def saver() -> AsyncIterator[RunSaver]:
        database = open_sqlite(str(tmp_path / "saver.db"), Settings())
        yield RunSaver(database, keep=keep)
        database.close()

    # Keeping only the newest checkpoint, there is nothing to list.
    claimed = {"put", "put_writes", "get_tuple", "delete_thread"}
    claimed |= {"list"} if keep else set()
    registered = checkpointer_test(name="RunSaver")(saver)
    report = await validate(registered, capabilities=claimed)
    failed = {
        failure.partition(":")[0]
        for name in claimed
        for failure in report.results[name].failures or ()
    }
    assert failed == (set() if keep else NEEDS_OLDER_ONES)
    assert all(report.results[name].tests_passed for name in claimed)


async def test_the_saver_lists_one_thread_at_a_time(tmp_path: Path) -> None:
    database = open_sqlite(str(tmp_path / "saver.db"), Settings())
    with pytest.raises(NotImplementedError, match="one thread"):
        await anext(RunSaver(database).alist(None))
    database.close()


async def test_writes_for_a_checkpoint_that_is_not_the_newest_are_dropped(
    tmp_path: Path,
) -> None:
    database = open_sqlite(str(tmp_path / "saver.db"), Settings())
    saver = RunSaver(database)
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    old = await saver.aput(config, empty_checkpoint(), {}, {})
    new = await saver.aput(old, empty_checkpoint(), {}, {})
    await saver.aput_writes(old, [("messages", "late")], "task")
    found = await saver.aget_tuple(new)
    assert found is not None
    assert found.pending_writes == []
    assert found.parent_config == old
    database.close()


# What is durable of a run, and for how long.


def test_checkpoints_are_gone_when_the_run_ends(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel([ADDS, ASKS, "Done."]) as model:
        engine = engine_factory(model, tools=[add])
        talk = Dialogue(engine, executed=[add], functions=[ask_user])
        waiting = talk.ask("Go")
        assert len(checkpoints(engine)) == 1
        talk.submit(waiting, {"call_q": "yes"})
    assert checkpoints(engine) == []
    assert rows(engine, "SELECT * FROM tool_outputs") == []


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
def test_checkpoints_are_gone_however_the_run_ends(
    engine_factory: EngineFactory, clock: Any, status: str
) -> None:
    steps = [ASKS, ValueError("bug")] if status == "failed" else [ASKS]
    with ScriptedChatModel(steps) as model:
        engine = engine_factory(model, clock=clock)
        talk = Dialogue(engine, functions=[ask_user])
        run = talk.ask("Go")
        if status == "failed":
            run = talk.submit(run, {"call_q": "yes"})
        elif status == "cancelled":
            run = engine.runs.cancel(run.id)
        else:
            clock.advance(601)
            run = engine.runs.retrieve(run.id)
    assert run.status == status
    assert checkpoints(engine) == []


def test_the_checkpoint_is_durable_before_a_tool_starts(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()

    def wait() -> str:
        """Wait."""
        gate.pass_through()
        return "waited"

    with ScriptedChatModel([Reply(tool_calls=[call("wait")]), "Done."]) as model:
        engine = engine_factory(model, tools=[wait])
        talk = Dialogue(engine, executed=[wait])
        run = talk.begin("Go")
        gate.wait_until_reached()
        (checkpoint,) = checkpoints(engine)
        (step,) = talk.steps(run)
        gate.open()
        assert talk.wait(run).status == "completed"
    assert step.status == "in_progress"
    answer = state_of(checkpoint)["messages"][-1]
    assert [made["id"] for made in answer.tool_calls] == [c.id for c in talk.calls(run)]


def test_history_is_stored_as_ids_only(engine_factory: EngineFactory) -> None:
    secret = "a sentence that must not be stored twice"
    with ScriptedChatModel([ADDS, "3", ASKS]) as model:
        engine = engine_factory(model, tools=[add])
        talk = Dialogue(engine, executed=[add], functions=[ask_user])
        talk.ask(secret)
        talk.ask("Go")
    (checkpoint,) = checkpoints(engine)
    stored = state_of(checkpoint)["messages"]
    *history, own = stored
    assert all(isinstance(entry, str) for entry in history)
    assert isinstance(own, BaseMessage)
    assert len(history) == 5
    assert secret.encode() not in checkpoint["data"]


def test_a_longer_history_makes_no_longer_checkpoint_than_its_ids(
    engine_factory: EngineFactory,
) -> None:
    sizes = []
    for earlier in (0, 40):
        model = ScriptedChatModel([*["x" * 2000] * earlier, ASKS])
        engine = engine_factory(model)
        talk = Dialogue(engine, functions=[ask_user])
        for _ in range(earlier):
            talk.ask("y" * 2000)
        talk.ask("Go")
        sizes.append(len(checkpoints(engine)[0]["data"]))
    assert sizes[1] - sizes[0] < 40 * 2 * 40


def test_a_stopped_run_is_resumed_by_another_engine(
    engine_factory: EngineFactory,
) -> None:
    executed: list[int] = []

    def count() -> int:
        """Count."""
        executed.append(1)
        return len(executed)

    both = Reply(tool_calls=[call("count"), call("ask_user", id="call_q")])
    with ScriptedChatModel(["Hello.", both, "Done."]) as model:
        engine = engine_factory(model, tools=[count])
        talk = Dialogue(engine, executed=[count], functions=[ask_user])
        talk.ask("Hi")
        waiting = talk.ask("Go")
        engine.close()
        talk.engine = engine_factory.reopen(model, tools=[count])
        run = talk.submit(waiting, {"call_q": "yes"})
    assert run.status == "completed"
    assert executed == [1]
    assert talk.outputs(run) == ["1", "yes"]
    seen = model.calls[-1].messages
    assert [(m.type, m.text) for m in seen] == [
        ("human", "Hi"),
        ("ai", "Hello."),
        ("human", "Go"),
        ("ai", ""),
        ("tool", "1"),
        ("tool", "yes"),
    ]
    assert talk.texts == ["Hi", "Hello.", "Go", "Done."]


@pytest.mark.parametrize("column", ["data", "writes", "metadata"])
def test_a_corrupt_checkpoint_fails_the_run_clearly_and_the_thread_lives_on(
    engine_factory: EngineFactory, column: str
) -> None:
    with ScriptedChatModel([ASKS, "Hello again."]) as model:
        engine = engine_factory(model)
        talk = Dialogue(engine, functions=[ask_user])
        waiting = talk.ask("Go")
        engine.close()
        corrupt(engine, column, b"\xc1garbage")
        talk.engine = engine_factory.reopen(model)
        run = talk.submit(waiting, {"call_q": "yes"})
        assert run.status == "failed"
        assert run.last_error is not None
        assert run.last_error.code == "server_error"
        checkpoint = f"checkpoint of run {run.id} on thread {talk.thread_id}"
        assert checkpoint in run.last_error.message
        assert checkpoints(talk.engine) == []
        assert talk.ask("Again").status == "completed"


def test_a_checkpoint_that_names_a_lost_message_fails_the_run_clearly(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel([ASKS, "Hello again."]) as model:
        engine = engine_factory(model)
        talk = Dialogue(engine, functions=[ask_user])
        waiting = talk.ask("Go")
        engine.close()
        with closing(sqlite3.connect(path_of(engine))) as connection, connection:
            connection.execute("DELETE FROM messages")
        talk.engine = engine_factory.reopen(model)
        run = talk.submit(waiting, {"call_q": "yes"})
        assert run.status == "failed"
        assert run.last_error is not None
        assert "cannot be read" in run.last_error.message
        assert talk.ask("Again").status == "completed"


def test_a_lost_checkpoint_does_not_wedge_the_thread(
    engine_factory: EngineFactory,
) -> None:
    model = ScriptedChatModel([ASKS], respond=lambda messages, asked: "Hello again.")
    engine = engine_factory(model)
    talk = Dialogue(engine, functions=[ask_user])
    waiting = talk.ask("Go")
    engine.close()
    with closing(sqlite3.connect(path_of(engine))) as connection, connection:
        connection.execute("DELETE FROM run_checkpoints")
    talk.engine = engine_factory.reopen(model)
    assert talk.submit(waiting, {"call_q": "yes"}).status in ("failed", "completed")
    assert talk.ask("Again").status == "completed"


def test_kept_checkpoints_stay_after_the_run(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel([ADDS, "3", ASKS, "Done."]) as model:
        engine = engine_factory(
            model, tools=[add], settings=Settings(keep_checkpoints=True)
        )
        talk = Dialogue(engine, executed=[add], functions=[ask_user])
        assert talk.ask("1 + 2?").status == "completed"
        first = checkpoints(engine)
        assert len(first) >= 3
        waiting = talk.ask("Go")
        assert talk.submit(waiting, {"call_q": "yes"}).status == "completed"
        assert len(checkpoints(engine)) > len(first)
    assert talk.texts == ["1 + 2?", "3", "Go", "Done."]
    assert [m.type for m in model.calls[-1].messages] == [
        "human",
        "ai",
        "tool",
        "ai",
        "human",
        "ai",
        "tool",
    ]


async def test_kept_checkpoints_can_be_listed(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel(["Hello."]) as model:
        engine = engine_factory(model, settings=Settings(keep_checkpoints=True))
        assistant = await engine.assistants.acreate(model="scripted")
        thread = await engine.threads.acreate(
            messages=[{"role": "user", "content": "Hi"}]
        )
        run = await engine.runs.acreate(thread.id, assistant_id=assistant.id)
        await engine.runs.await_(run.id)
    saver = RunSaver(engine.database, keep=True)
    config: Any = {"configurable": {"thread_id": thread.id}}
    found = [item async for item in saver.alist(config)]
    assert len(found) == len(checkpoints(engine)) > 1
    newest = await saver.aget_tuple(config)
    assert newest is not None
    assert newest.checkpoint["id"] == found[0].checkpoint["id"]
