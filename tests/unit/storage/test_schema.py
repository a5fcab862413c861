from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from tests import warm

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import StorageError
from langchain_assistants.storage.schema import (
    HEAD,
    configuration,
    migrate,
    revision_of,
)
from langchain_assistants.storage.sqlite import SQLiteDatabase
from langchain_assistants.storage.tables import metadata


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "app.db")


def execute(path: str, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_head_is_alembics_head() -> None:
    assert ScriptDirectory.from_config(configuration()).get_heads() == [HEAD]


def test_a_new_file_is_brought_to_head(path: str) -> None:
    assert revision_of(path) is None
    migrate(path)
    assert revision_of(path) == HEAD
    migrate(path)
    assert revision_of(path) == HEAD


def test_the_migrations_make_what_the_tables_say(path: str) -> None:
    migrate(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_migrations_make_the_tables_of_a_database_in_memory(path: str) -> None:
    migrate(path)
    memory = SQLiteDatabase(":memory:")
    memory.create_all()
    with closing(sqlite3.connect(path)) as file:
        migrated = schema(file)
    assert schema(memory._writer) == migrated
    memory.close()


def schema(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return tables by their columns and options, indexes by their SQL."""
    found: dict[str, Any] = {}
    for kind, name, sql in connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    ).fetchall():
        plain = re.sub(r"\s+", " ", sql.replace('"', ""))
        if kind == "index":
            found[name] = plain
        else:
            columns = connection.execute(f"PRAGMA table_info({name})").fetchall()
            found[name] = (
                [tuple(column) for column in columns],
                "AUTOINCREMENT" in plain,
                "WITHOUT ROWID" in plain,
            )
    return found


def test_a_newer_schema_is_refused_and_left_alone(path: str) -> None:
    migrate(path)
    execute(path, "UPDATE alembic_version SET version_num = '9999'")
    for call in (migrate, lambda path: AssistantsEngine(f"sqlite:///{path}")):
        with pytest.raises(StorageError) as error:
            call(path)
        assert path in str(error.value)
        assert "newer langchain-assistants" in str(error.value)
        assert "Upgrade the package" in str(error.value)
    assert revision_of(path) == "9999"


@pytest.mark.parametrize(
    "tables",
    [
        ["CREATE TABLE threads (id INTEGER)"],
        [
            "CREATE TABLE alembic_version (version_num TEXT)",
            "INSERT INTO alembic_version VALUES ('abc')",
        ],
    ],
)
def test_the_database_of_another_program_is_refused_and_left_alone(
    path: str, tables: list[str]
) -> None:
    execute(path, *tables)
    before = Path(path).read_bytes()
    with pytest.raises(StorageError, match="not made by langchain-assistants"):
        AssistantsEngine(f"sqlite:///{path}")
    assert Path(path).read_bytes() == before


def test_a_file_that_is_no_database_is_refused(path: str) -> None:
    Path(path).write_bytes(b"no database, only text" * 100)
    with pytest.raises(StorageError, match="not a database"):
        AssistantsEngine(f"sqlite:///{path}")


def test_tables_of_other_names_may_share_the_file(path: str) -> None:
    execute(path, "CREATE TABLE mine (id INTEGER)", "INSERT INTO mine VALUES (1)")
    AssistantsEngine(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id FROM mine").fetchall() == [(1,)]


@pytest.mark.parametrize("lock", ["EXCLUSIVE", "IMMEDIATE"])
def test_a_new_file_that_another_process_holds_is_told(path: str, lock: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"BEGIN {lock}")
        with pytest.raises(StorageError, match="locked"):
            migrate(path, timeout=0.01)
    migrate(path, timeout=0.01)


def test_processes_that_open_a_new_file_at_once_all_get_it(path: str) -> None:
    program = (
        "import sys\n"
        "from langchain_assistants import AssistantsEngine\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "with AssistantsEngine(sys.argv[1]) as engine:\n"
        "    print(engine.threads.get_or_create(key='k').id)\n"
    )
    processes = [
        warm.Popen(
            [sys.executable, "-c", program, f"sqlite:///{path}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], printed
    assert len({out for out, _ in printed}) == 1
