"""Copies of databases in use: complete, of one moment, or not there at all."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from tests.conftest import EngineFactory
from tests.conversations import TIMEOUT, Gate, assistant_with, texts, thread_with, wait
from tests.stored import broken_invariants, everything, seed_messages

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.errors import StorageError
from langchain_assistants.storage import backup
from langchain_assistants.storage.backup import back_up_file
from langchain_assistants.testing import Reply, ScriptedChatModel


def opened(path: Path) -> AssistantsEngine:
    return AssistantsEngine(f"sqlite:///{path}", recover=False)


def test_a_backup_is_one_complete_file_that_can_be_used_at_once(
    engine_factory: EngineFactory, tmp_path: Path
) -> None:
    engine = engine_factory(["Hello."])
    thread, assistant = thread_with(engine, "Hi"), assistant_with(engine)
    wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    before = everything(engine)
    folder = tmp_path / "backups"
    folder.mkdir()
    path = engine.backup(str(folder / "today.db"))
    assert path == folder / "today.db"
    assert [file.name for file in folder.iterdir()] == ["today.db"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with opened(path) as copy:
        assert everything(copy) == before
        copy.messages.create(thread.id, role="user", content="More")
        assert texts(copy, thread.id) == ["Hi", "Hello.", "More"]
    assert everything(engine) == before


async def test_writers_go_on_while_a_backup_of_an_earlier_moment_is_made(
    engine_factory: EngineFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = engine_factory()
    thread = await engine.threads.acreate(messages=[{"role": "user", "content": "0"}])
    seed_messages(engine, thread.id, 500)
    begun, go_on = threading.Event(), threading.Event()
    steps: list[int] = []
    monkeypatch.setattr(backup, "_PAGES_A_STEP", 2)

    def step() -> bool:
        steps.append(1)
        if len(steps) == 2:
            begun.set()
            assert go_on.wait(TIMEOUT)
        return False

    target = tmp_path / "copy.db"
    source = Path(engine.url.removeprefix("sqlite:///"))
    copying = asyncio.create_task(
        asyncio.to_thread(back_up_file, source, target, stopped=step)
    )
    assert await asyncio.to_thread(begun.wait, TIMEOUT)
    for _ in range(20):
        await engine.messages.acreate(thread.id, role="user", content="x" * 5000)
    assert not target.exists()
    go_on.set()
    await copying
    assert len(steps) > 10
    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        count = connection.execute("SELECT count(*) FROM messages").fetchone()
    assert count == (501,)
    assert len([m async for m in engine.messages.alist(thread.id)]) == 521


def test_a_backup_that_nobody_waits_for_leaves_nothing(
    engine_factory: EngineFactory, tmp_path: Path
) -> None:
    source = Path(engine_factory().url.removeprefix("sqlite:///"))
    folder = tmp_path / "backups"
    folder.mkdir()
    back_up_file(source, folder / "copy.db", stopped=lambda: True)
    assert list(folder.iterdir()) == []


async def test_a_cancelled_backup_is_given_up(
    engine_factory: EngineFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_factory()
    begun, ended = threading.Event(), threading.Event()

    def copy(source: Path, target: Path, *, overwrite: bool, stopped: object) -> None:
        assert callable(stopped)
        begun.set()
        while not stopped():
            pass
        ended.set()

    monkeypatch.setattr("langchain_assistants.storage.sqlite.back_up_file", copy)
    task = asyncio.create_task(engine.abackup(tmp_path / "copy.db"))
    assert await asyncio.to_thread(begun.wait, TIMEOUT)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, TIMEOUT)


def test_a_file_is_replaced_only_when_asked(
    engine_factory: EngineFactory, tmp_path: Path
) -> None:
    engine, path = engine_factory(), tmp_path / "copy.db"
    path.write_text("something else")
    with pytest.raises(StorageError, match=r"is there already.*overwrite=True"):
        engine.backup(path)
    assert path.read_text() == "something else"
    engine.backup(path, overwrite=True)
    with opened(path) as copy:
        assert everything(copy) == everything(engine)


def test_a_file_that_appears_meanwhile_is_left_alone(
    engine_factory: EngineFactory, tmp_path: Path
) -> None:
    source, path = engine_factory().url.removeprefix("sqlite:///"), tmp_path / "c.db"

    def appear() -> bool:
        path.write_text("first")
        return False

    with pytest.raises(StorageError, match="is there already"):
        back_up_file(Path(source), path, stopped=appear)
    assert path.read_text() == "first"
    assert [file.name for file in tmp_path.glob("*c.db*")] == ["c.db"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_place_where_no_backup_may_be_is_told(
    engine_factory: EngineFactory, tmp_path: Path, overwrite: bool
) -> None:
    engine, other = engine_factory(), engine_factory()
    thread_with(other, "Hi")
    before = everything(engine), everything(other)
    own = engine.url.removeprefix("sqlite:///")
    link = tmp_path / "link.db"
    link.symlink_to(own)
    for path, told in (
        (tmp_path / "no" / "copy.db", "there is no folder"),
        (tmp_path, "it is a folder"),
        (own, "it is the database itself|is there already"),
        (link, "it is the database itself"),
        (other.url.removeprefix("sqlite:///"), "is in use|is there already"),
    ):
        with pytest.raises(StorageError, match=told) as error:
            engine.backup(path, overwrite=overwrite)
        assert str(path) in str(error.value)
    assert (everything(engine), everything(other)) == before


def test_a_full_disk_leaves_no_half_backup(
    engine_factory: EngineFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_factory()
    seed_messages(engine, thread_with(engine).id, 500)
    connect = sqlite3.connect

    def on_a_full_disk(*given: object, **options: object) -> sqlite3.Connection:
        connection = connect(*given, **options)  # type: ignore[call-overload]
        if str(given[0]).endswith(".part"):
            connection.execute("PRAGMA max_page_count = 8")
        return connection

    folder = tmp_path / "backups"
    folder.mkdir()
    monkeypatch.setattr(sqlite3, "connect", on_a_full_disk)
    with pytest.raises(StorageError, match=r"Cannot write the backup .*full"):
        engine.backup(folder / "copy.db")
    assert list(folder.iterdir()) == []


def test_a_backup_is_as_private_as_its_database(
    engine_factory: EngineFactory, tmp_path: Path
) -> None:
    engine = engine_factory()
    Path(engine.url.removeprefix("sqlite:///")).chmod(0o640)
    assert engine.backup(tmp_path / "copy.db").stat().st_mode & 0o777 == 0o640
    with AssistantsEngine("sqlite:///:memory:") as memory:
        assert memory.backup(tmp_path / "m.db").stat().st_mode & 0o777 == 0o600


def test_a_database_in_memory_is_backed_up_beside_its_writers(tmp_path: Path) -> None:
    with AssistantsEngine("sqlite:///:memory:") as engine:
        thread = thread_with(engine, "Hi")
        path = engine.backup(tmp_path / "memory.db")
        engine.messages.create(thread.id, role="user", content="Later")
    with opened(path) as copy:
        assert texts(copy, thread.id) == ["Hi"]
    with pytest.raises(StorageError, match="is closed"):
        asyncio.run(engine.database.back_up(tmp_path / "late.db"))


def test_what_is_no_database_cannot_be_backed_up(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="There is no database"):
        back_up_file(tmp_path / "none.db", tmp_path / "copy.db")
    (tmp_path / "text.db").write_bytes(b"no database, only text" * 100)
    with pytest.raises(StorageError, match="not a database"):
        back_up_file(tmp_path / "text.db", tmp_path / "copy.db")
    assert [file.name for file in tmp_path.iterdir()] == ["text.db"]


def test_a_database_copied_while_a_run_was_active_goes_on_in_both_places(
    engine_factory: EngineFactory, tmp_path: Path
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("one", wait_for=gate)])
    thread, assistant = thread_with(engine, "Hi"), assistant_with(engine)
    run = engine.runs.create(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    path = engine.backup(tmp_path / "copy.db")
    clock = engine._workplace.clock
    with AssistantsEngine(
        f"sqlite:///{path}",
        chat_model=ScriptedChatModel(["two"]),
        settings=Settings(lease=0.2),
        clock=lambda: clock() + 60,
    ) as copy:
        assert wait(copy, run).status == "completed"
        assert texts(copy, thread.id) == ["Hi", "two"]
        assert broken_invariants(copy) == []
    assert engine.runs.retrieve(run.id).status == "in_progress"
    gate.open()
    assert wait(engine, run).status == "completed"
    assert texts(engine, thread.id) == ["Hi", "one"]
    assert broken_invariants(engine) == []
