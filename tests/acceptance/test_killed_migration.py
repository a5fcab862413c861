"""A process that is killed while it migrates a file: the next one has it whole."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests import warm
from tests.acceptance.program import PATIENCE, environment
from tests.stored import rows
from tests.unit.storage.test_migrations import shape, upgrade

from langchain_assistants import AssistantsEngine
from langchain_assistants.storage.schema import HEAD, revision_of

PROGRAM = """
import signal, sys
from sqlalchemy import Engine, event
from langchain_assistants.storage.schema import migrate

@event.listens_for(Engine, "after_cursor_execute")
def stop(connection, cursor, statement, *_):
    if sys.argv[2] in statement:
        print("reached", flush=True)
        signal.pause()

migrate(sys.argv[1])
"""


def killed_while_migrating(path: Path, statement: str, home: Path) -> None:
    """Migrate a file in a process that dies right after a statement."""
    process = warm.Popen(
        [sys.executable, "-c", PROGRAM, str(path), statement],
        env=environment(home),
        cwd=home,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "reached\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "statement", ["ADD COLUMN source_id", "ix_runs_graph_task", "ix_threads_parent_id"]
)
def test_an_older_file_is_migrated_by_the_next_process_with_all_its_rows(
    tmp_path: Path, statement: str
) -> None:
    path = tmp_path / "app.db"
    upgrade(str(path), "0001")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO threads (id, tenant, last_seq, created_at, metadata) "
            "VALUES (?, 'default', 0, 1.0, '{}')",
            [(f"thread_{number}",) for number in range(50)],
        )
        older = shape(connection)
    killed_while_migrating(path, statement, tmp_path)
    assert revision_of(str(path)) == "0001"
    with closing(sqlite3.connect(path)) as connection:
        assert shape(connection) == older
    with AssistantsEngine(f"sqlite:///{path}") as engine:
        assert revision_of(str(path)) == HEAD
        assert len(list(engine.threads.list())) == 50
        assert rows(engine, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_a_new_file_is_made_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    killed_while_migrating(path, "CREATE TABLE runs", tmp_path)
    assert revision_of(str(path)) is None
    with AssistantsEngine(f"sqlite:///{path}") as engine:
        assert engine.threads.create().id
    assert revision_of(str(path)) == HEAD
