"""What the doctor finds in databases that are well, neglected, foreign or broken."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections import namedtuple
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import Gate, assistant_with, calls, thread_with
from tests.conversations import wait as wait_for
from tests.sandbox import Sandboxes
from tests.stored import broken_invariants, everything, path_of, rows
from tests.unit.engine.conftest import Do
from tests.unit.storage.test_migrations import upgrade

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine import doctor
from langchain_assistants.engine.diagnosis import Diagnosis, Finding
from langchain_assistants.engine.doctor import examine
from langchain_assistants.storage.inspection import SQLiteFile
from langchain_assistants.storage.schema import HEAD
from langchain_assistants.testing import Reply


def look(path: str | Path, clock: Clock, **options: Any) -> Diagnosis:
    """Examine a file that no engine has open."""
    settings = options.pop("settings", Settings(busy_timeout=0.01))
    return asyncio.run(examine(str(path), settings, clock(), **options))


def only(diagnosis: Diagnosis, *levels: str) -> list[Finding]:
    return [found for found in diagnosis.findings if found.level in levels]


def execute(path: str, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_healthy_database_has_no_problem_and_is_left_as_it_is(
    engine_factory: EngineFactory, clock: Clock, do: Do
) -> None:
    engine = engine_factory([calls("call_a")], clock=clock)
    thread, assistant = thread_with(engine, "Hi"), assistant_with(engine, "look_up")
    wait_for(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    engine.threads.delete(engine.threads.fork(thread.id).id)
    before = everything(engine)
    for repair in (False, True):
        diagnosis = do(engine.doctor, repair=repair)
        assert diagnosis.healthy
        assert only(diagnosis, "notice", "problem") == []
        assert diagnosis.database == path_of(engine)
        said = " ".join(found.message for found in diagnosis.findings)
        for part in (
            "Python 3",
            "SQLite 3",
            "langgraph",
            "openai",
            "lease 15 s",
            HEAD,
        ):
            assert part in said
        assert everything(engine) == before
    assert diagnosis.to_dict()["healthy"] is True


def test_a_database_in_memory_is_looked_over(clock: Clock) -> None:
    with AssistantsEngine("sqlite:///:memory:", clock=clock) as engine:
        thread_with(engine, "Hi")
        diagnosis = engine.doctor(repair=True)
    assert diagnosis.healthy
    assert {found.subject for found in diagnosis.findings} >= {"runs", "rows"}


def neglected(factory: EngineFactory, clock: Clock) -> tuple[str, list[str]]:
    """Make a file whose process died with two runs: one executing, one waiting."""
    gate = Gate()
    engine = factory([Reply("x", wait_for=gate)], clock=clock)
    thread = thread_with(engine, "Hi")
    assistant = assistant_with(engine)
    other = factory.reopen(["x"], clock=clock)
    ids = [
        engine.runs.create(thread.id, assistant_id=assistant.id).id,
        engine.runs.create(
            thread.id,
            assistant_id=assistant.id,
            on_active_run="queue",
            expires_after=2_592_000,
        ).id,
    ]
    gate.wait_until_reached()
    path = other.backup(factory.folder / "neglected.db")
    engine.runs.cancel(ids[1])
    gate.open()
    wait_for(engine, engine.runs.retrieve(ids[0]))
    return str(path), ids


def statuses(path: str) -> dict[str, tuple[str, int]]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT id, status, head FROM runs").fetchall()
    return {id: (status, head) for id, status, head in found}


def test_a_run_whose_lease_is_over_is_told_and_left_to_an_engine(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    path, [first, second] = neglected(engine_factory, clock)
    before = statuses(path)
    assert before == {first: ("in_progress", 1), second: ("queued", 0)}
    clock.advance(20)
    assert only(look(path, clock), "notice", "problem") == []  # an engine may be slow
    clock.advance(20)
    diagnosis = look(path, clock, repair=True)
    [notice] = only(diagnosis, "notice", "problem")
    assert (notice.level, notice.subject, notice.ids) == ("notice", "runs", (first,))
    assert statuses(path) == before


def test_a_run_whose_lease_and_deadline_are_over_is_ended_by_a_repair(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    path, [first, second] = neglected(engine_factory, clock)
    clock.advance(605)
    assert look(path, clock).healthy  # an engine may be about to end it
    clock.advance(20)
    [problem] = only(look(path, clock), "notice", "problem")
    assert (problem.level, problem.ids) == ("problem", (first,))
    assert "--repair" in problem.advice
    assert statuses(path)[first] == ("in_progress", 1)

    diagnosis = look(path, clock, repair=True)
    assert diagnosis.healthy
    [mended] = [found for found in diagnosis.findings if found.subject == "runs"]
    assert mended.repaired
    assert mended.ids == (first,)
    assert statuses(path) == {first: ("expired", 1), second: ("queued", 1)}
    with AssistantsEngine(f"sqlite:///{path}", clock=clock, recover=False) as engine:
        assert broken_invariants(engine) == []


def test_the_tools_that_abandoned_runs_need_are_named(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    path, _ = neglected(engine_factory, clock)
    execute(path, "UPDATE runs SET required_tools = '[\"look_up\"]'")
    clock.advance(60)
    [notice] = only(look(path, clock), "notice")
    assert "look_up" in notice.advice


def test_a_run_that_waits_for_nobody_is_let_in_by_a_repair(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    path, [first, second] = neglected(engine_factory, clock)
    execute(
        path, f"UPDATE runs SET status = 'failed', ended_at = 1 WHERE id = '{first}'"
    )
    [problem] = only(look(path, clock), "problem")
    assert problem.ids == (second,)
    assert look(path, clock, repair=True).healthy
    assert statuses(path)[second] == ("queued", 1)


def test_a_living_run_is_never_touched_not_even_past_its_deadline(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("x", wait_for=gate)], clock=clock)
    thread, assistant = thread_with(engine, "Hi"), assistant_with(engine)
    run = engine.runs.create(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    execute(path_of(engine), "UPDATE runs SET expires_at = 1")
    before = everything(engine)["runs"]
    assert engine.doctor(repair=True).healthy
    assert everything(engine)["runs"] == before
    execute(path_of(engine), f"UPDATE runs SET expires_at = {clock() + 600}")
    gate.open()
    assert wait_for(engine, run).status == "completed"


STRAYS = {
    "messages": "DELETE FROM threads",
    "runs": "DELETE FROM threads",
    "run_steps": "DELETE FROM runs",
    "tool_outputs": "INSERT INTO tool_outputs VALUES ('run_none', 'call_x', 1, x'00')",
    "run_checkpoints": (
        "INSERT INTO run_checkpoints VALUES "
        "('thread_none', '', '', 'c', NULL, 'msgpack', x'00', x'00', x'00')"
    ),
    "upload_parts": "INSERT INTO upload_parts VALUES ('upload_none', 'part_x', 1, 0)",
    "vector_store_files": (
        "INSERT INTO vector_store_files VALUES "
        "(1, 'vs_none', 'file-none', NULL, 1, 'failed', NULL, '{}', '{}', 0, 0, "
        "NULL, NULL)"
    ),
    "vector_store_file_batches": (
        "INSERT INTO vector_store_file_batches VALUES ('vsfb_x', 'vs_none', 1, 0)"
    ),
}


@pytest.mark.parametrize("table", STRAYS)
def test_rows_that_belong_to_nothing_are_counted_and_deleted_by_a_repair(
    engine_factory: EngineFactory,
    clock: Clock,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = engine_factory(["Hello."], clock=clock)
    thread, assistant = thread_with(engine, "a", "b", "c"), assistant_with(engine)
    wait_for(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    execute(path_of(engine), STRAYS[table])
    count = len(rows(engine, f"SELECT * FROM {table}"))
    assert count
    [problem] = only(engine.doctor(), "notice", "problem")
    assert (problem.level, problem.subject) == ("problem", "rows")
    assert f"{count} of {table}" in problem.message
    assert problem.ids

    diagnosis = engine.doctor(repair=True)
    assert diagnosis.healthy
    assert [found.subject for found in diagnosis.findings if found.repaired][
        -1
    ] == "rows"
    assert engine.doctor().healthy
    assert rows(engine, f"SELECT * FROM {table}") == []


def test_rows_that_belong_to_something_stay(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(
        [calls("call_a")] * 2, clock=clock, settings=Settings(keep_checkpoints=True)
    )
    assistant = assistant_with(engine, "look_up")
    for word in ("kept", "lost"):
        thread = thread_with(engine, word)
        wait_for(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    kept = rows(engine, "SELECT * FROM run_checkpoints")
    execute(path_of(engine), f"DELETE FROM messages WHERE thread_id = '{thread.id}'")
    execute(path_of(engine), f"DELETE FROM threads WHERE id = '{thread.id}'")
    engine.doctor(repair=True)
    left = rows(engine, "SELECT * FROM run_checkpoints")
    assert left == [row for row in kept if row["thread_id"] != thread.id]
    assert left
    assert len(rows(engine, "SELECT * FROM runs")) == 1
    assert broken_invariants(engine) == []


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path, clock: Clock) -> None:
    diagnosis = look(tmp_path / "none.db", clock, repair=True)
    assert diagnosis.healthy
    [notice] = only(diagnosis, "notice")
    assert "is not there" in notice.message
    assert list(tmp_path.glob("none.db*")) == []


def garbage(path: Path) -> None:
    path.write_bytes(b"no database, only text" * 500)


def torn(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:40960] = bytes(32768)
    path.write_bytes(content)


def lost_index_entry(path: Path) -> None:
    """Let an index lack a row: only a thorough check sees that."""
    execute(
        str(path),
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(sql, 'IS NOT NULL', 'IS NULL') "
        "WHERE name = 'ix_threads_tenant_key'",
    )


def newer(path: Path) -> None:
    execute(str(path), "UPDATE alembic_version SET version_num = '9999'")


def foreign(path: Path) -> None:
    execute(str(path), "DROP TABLE alembic_version")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (garbage, "not a database"),
        (torn, "damaged"),
        (lost_index_entry, "ix_threads_tenant_key"),
        (newer, "newer langchain-assistants"),
        (foreign, "not made by langchain-assistants"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_file_that_no_engine_can_use_is_a_finding(
    engine_factory: EngineFactory, tmp_path: Path, clock: Clock, harm: Any, told: str
) -> None:
    engine = engine_factory()
    engine.threads.create(key="k", messages=[{"role": "user", "content": "Hi"}])
    path = engine.backup(tmp_path / "harmed.db")
    harm(path)
    before = path.read_bytes()
    for repair in (False, True):
        diagnosis = look(path, clock, repair=repair)
        [problem] = only(diagnosis, "problem")
        assert told in problem.message
    assert path.read_bytes() == before


def test_an_empty_or_an_older_file_is_told_and_not_migrated(
    tmp_path: Path, clock: Clock
) -> None:
    empty, older = tmp_path / "empty.db", tmp_path / "older.db"
    empty.touch()
    upgrade(str(older), "0001")
    for path, said in ((empty, "no tables yet"), (older, "Revision 0001")):
        diagnosis = look(path, clock, repair=True)
        assert diagnosis.healthy
        [notice] = only(diagnosis, "notice")
        assert said in notice.message
        assert HEAD in notice.message
    assert empty.stat().st_size == 0


def test_a_file_that_cannot_be_written_is_a_problem(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    path = path_of(engine_factory(clock=clock))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        [problem] = only(look(path, clock), "problem")
        other.execute("ROLLBACK")
    assert "locked by another process" in problem.message
    assert look(path, clock).healthy


def test_a_large_log_is_told_and_emptied_by_a_repair(
    engine_factory: EngineFactory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_LARGE_LOG", 10_000)
    engine = engine_factory(clock=clock)
    path, log = path_of(engine), Path(f"{path_of(engine)}-wal")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM threads").fetchall()
        thread_with(engine, "x" * 20_000)
        [notice] = only(engine.doctor(), "notice", "problem")
        assert (notice.level, notice.subject) == ("notice", "log")
        size = log.stat().st_size
        [notice] = only(look(path, clock, repair=True), "notice", "problem")
        assert log.stat().st_size == size  # somebody still reads what is in it
    diagnosis = look(path, clock, repair=True)
    assert log.stat().st_size == 0
    assert [f.subject for f in diagnosis.findings if f.repaired] == ["log"]


def test_settings_that_endanger_data_or_let_it_grow_are_told(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    settings = Settings(synchronous="OFF", keep_checkpoints=True, thread_ttl=60)
    engine = engine_factory(clock=clock, settings=settings)
    told = only(engine.doctor(), "notice", "problem")
    assert [(found.level, found.subject) for found in told] == [
        ("notice", "settings")
    ] * 2
    assert any("60 s after" in found.message for found in engine.doctor().findings)


def test_a_full_disk_and_an_old_sqlite_are_told(
    engine_factory: EngineFactory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage(1000))
    monkeypatch.setattr(doctor, "IS_TOO_OLD", True)
    engine = engine_factory(clock=clock)
    told = only(engine.doctor(), "notice", "problem")
    assert [(found.level, found.subject) for found in told] == [
        ("problem", "software"),
        ("notice", "disk"),
    ]


def test_the_doctor_stays_off_the_threads_of_the_engine(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_factory()
    seen: list[str] = []

    def damage(self: SQLiteFile) -> list[str]:
        seen.append(threading.current_thread().name)
        return []

    monkeypatch.setattr(SQLiteFile, "damage", damage)
    engine.doctor()
    assert not seen[0].startswith("langchain-assistants")
    assert os.path.exists(path_of(engine))


def test_an_interpreter_is_tried(engine_factory: EngineFactory) -> None:
    sandboxes = Sandboxes()
    engine = engine_factory([], interpreter=sandboxes)

    def found() -> Finding:
        findings = engine.doctor().findings
        return next(one for one in findings if one.subject == "interpreter")

    assert found().level == "ok"
    sandboxes.problems.append("The jail has a hole.")
    assert found().level == "notice"
    assert "'in-process' does not work here: The jail has a hole." in found().message
