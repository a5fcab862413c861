"""A disk that is full or read-only: told clearly, nothing half stored, and it passes.

`PRAGMA max_page_count` stands for the disk.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.conftest import EngineFactory
from tests.conversations import (
    Gate,
    assistant_with,
    calls,
    hosted,
    texts,
    thread_with,
    user,
    wait,
)
from tests.stored import broken_invariants, everything, path_of

from langchain_assistants import AssistantRunnable, AssistantsEngine, Settings
from langchain_assistants.engine import conductor
from langchain_assistants.engine.sweep import MAX_ATTEMPTS, Suspects
from langchain_assistants.errors import StorageError
from langchain_assistants.storage.database import Statement, each
from langchain_assistants.testing import Reply

ENDLESS = 2**30


def disk(engine: AssistantsEngine, pages: int) -> None:
    """Give the database so many pages; of fewer than it has, SQLite grants those."""
    statement = Statement(text(f"PRAGMA max_page_count = {pages}"))
    asyncio.run(engine.database.write(each([statement()])))


def test_a_request_on_a_full_disk_stores_nothing_and_says_what_to_do(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["Hello."])
    thread, assistant = thread_with(engine, "Hi"), assistant_with(engine)
    before = everything(engine)
    disk(engine, 1)
    long = {"role": "user", "content": "x" * 200_000}
    for request in (
        lambda: engine.messages.create(thread.id, **long),
        lambda: engine.threads.create(messages=[user("Hi"), long]),
        lambda: engine.runs.create(
            thread.id, assistant_id=assistant.id, additional_messages=[long]
        ),
        lambda: AssistantRunnable(assistant_id=assistant.id, engine=engine).invoke(
            {"content": long["content"], "thread_id": thread.id}
        ),
    ):
        with pytest.raises(StorageError, match="is full") as error:
            request()
        assert path_of(engine) in str(error.value)
        assert "Free some space" in str(error.value)
        assert everything(engine) == before
    assert texts(engine, thread.id) == ["Hi"]
    disk(engine, ENDLESS)
    run = engine.runs.create(
        thread.id, assistant_id=assistant.id, additional_messages=[long]
    )
    assert wait(engine, run).status == "completed"
    assert broken_invariants(engine) == []


def test_a_run_that_meets_a_full_disk_goes_on_when_there_is_space_again(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor, "_STORAGE_RETRIES", (0.0,) * MAX_ATTEMPTS)
    gate, executed = Gate(), []

    def look_up(q: str) -> str:
        """Look something up."""
        executed.append(q)
        gate.pass_through()
        return "x" * 200_000

    engine = engine_factory(
        [calls("call_a"), "Done."], tools=[look_up], settings=Settings(lease=0.4)
    )
    assistant = engine.assistants.create(model="m", tools=[hosted("look_up")])
    thread = thread_with(engine, "Hi")
    events = engine.runs.stream(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    disk(engine, 1)
    gate.open()
    last = list(events)[-1]
    assert last.event == "error"
    assert "is full" in last.data.message
    assert len(executed) > MAX_ATTEMPTS
    [run] = engine.runs.list(thread.id)
    assert run.status in ("queued", "in_progress")
    assert texts(engine, thread.id) == ["Hi"]

    disk(engine, ENDLESS)
    assert wait(engine, run).status == "completed"
    assert texts(engine, thread.id) == ["Hi", "Done."]
    assert broken_invariants(engine) == []


def test_a_run_that_was_given_back_often_is_tried_again_but_not_at_once() -> None:
    suspects = Suspects(patience=0.0, recover=True, lease=1e9)
    row: dict[str, Any] = {
        "id": "run_a",
        "attempt": MAX_ATTEMPTS,
        "status": "queued",
        "lease_until": 10.0,
        "expires_at": 1e12,
    }
    assert suspects.remedies([row], {}, 20.0) == []
    suspects.lease = 0.0
    assert suspects.remedies([row], {}, 20.0) == [(row, "take")]
    died = {**row, "status": "in_progress"}
    assert suspects.remedies([died], {}, 20.0) == [(died, "fail")]


@contextmanager
def unprivileged() -> Iterator[None]:
    """Lose root's right to write everywhere, if the tests have it."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that others may enter: the tests' own is private."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        Path(folder).chmod(0o755)


def test_a_read_only_file_can_be_read_and_refuses_writes_clearly(
    engine_factory: EngineFactory, shared_folder: Path
) -> None:
    engine = engine_factory(["Hello."])
    thread, assistant = thread_with(engine, "Hi"), assistant_with(engine)
    wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    path = engine.backup(shared_folder / "archive.db")
    path.chmod(0o444)
    shared_folder.chmod(0o555)
    before = path.read_bytes()
    with unprivileged(), AssistantsEngine(f"sqlite:///{path}") as archive:
        assert texts(archive, thread.id) == ["Hi", "Hello."]
        assert archive.threads.retrieve(thread.id).id == thread.id
        for request in (
            lambda: archive.messages.create(thread.id, **user("More")),
            lambda: archive.runs.create(thread.id, assistant_id=assistant.id),
            lambda: archive.threads.delete(thread.id),
        ):
            with pytest.raises(StorageError, match=r"archive\.db is read-only"):
                request()
        found = archive.doctor()
        assert [problem.subject for problem in found.problems] == ["file"]
        assert "read-only" in found.problems[0].message
    assert path.read_bytes() == before
    assert list(shared_folder.iterdir()) == [path]


def test_a_folder_where_no_log_can_be_written_is_told_when_opening(
    engine_factory: EngineFactory, shared_folder: Path
) -> None:
    engine = engine_factory()
    path = engine.backup(shared_folder / "app.db")
    AssistantsEngine(f"sqlite:///{path}").close()  # from now on it has a log
    path.chmod(0o444)
    shared_folder.chmod(0o555)
    with unprivileged():
        with pytest.raises(StorageError, match="its folder writable") as error:
            AssistantsEngine(f"sqlite:///{path}")
        with pytest.raises(StorageError, match="writable directory"):
            AssistantsEngine(f"sqlite:///{shared_folder / 'new.db'}")
    assert str(path) in str(error.value)


def test_a_stream_tells_a_full_disk_to_who_listens_only_once(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor, "_STORAGE_RETRIES", ())
    gate = Gate()
    engine = engine_factory([Reply("x" * 200_000, wait_for=gate)])
    thread, assistant = thread_with(engine, "Hi"), assistant_with(engine)
    events = engine.runs.stream(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    disk(engine, 1)
    gate.open()
    told = [event.event for event in events]
    assert told.count("error") == 1
    assert "thread.run.failed" not in told
    assert texts(engine, thread.id) == ["Hi"]
