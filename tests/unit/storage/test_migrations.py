"""A file of an earlier version is opened by this one, with all that is in it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from tests.conftest import EngineFactory
from tests.stored import path_of

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import StorageError
from langchain_assistants.storage.schema import (
    HEAD,
    configuration,
    migrate,
    revision_of,
)
from langchain_assistants.storage.sqlite import SQLiteDatabase
from langchain_assistants.testing import ScriptedChatModel

SETTINGS = {
    "model": "scripted",
    "instructions": "Be kind.",
    "tools": [],
    "temperature": None,
    "top_p": None,
    "reasoning_effort": None,
    "response_format": None,
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "max_prompt_tokens": None,
    "max_completion_tokens": None,
    "truncation_strategy": {"type": "auto", "last_messages": None},
    "history": "full",
    "tool_errors": "model",
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"q": "it"}', "output": "found"},
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "assistants": [
        {
            "id": "asst_old",
            "tenant": "default",
            "version": 3,
            "created_at": 1.0,
            "name": "Tutor",
            "model": "scripted",
            "tools": "[]",
            "metadata": "{}",
            "digest": "d",
        }
    ],
    "threads": [
        {
            "id": "thread_old",
            "tenant": "default",
            "key": "customer:1",
            "last_seq": 2,
            "created_at": 2.0,
            "metadata": '{"a":"b"}',
        }
    ],
    "messages": [
        {
            "thread_id": "thread_old",
            "seq": seq,
            "id": f"msg_{seq}",
            "role": role,
            "status": "completed",
            "content": json.dumps(
                [{"type": "text", "text": {"value": text, "annotations": []}}]
            ),
            "run_id": run_id,
            "created_at": 3.0,
        }
        for seq, role, text, run_id in (
            (1, "user", "Find it.", None),
            (2, "assistant", "Here it is.", "run_old"),
        )
    ],
    "runs": [
        {
            "id": "run_old",
            "tenant": "default",
            "thread_id": "thread_old",
            "assistant_id": "asst_old",
            "assistant_version": 3,
            "status": "completed",
            "head": 1,
            "cursor": 1,
            "settings": json.dumps(SETTINGS),
            "metadata": "{}",
            "prompt_tokens": 5,
            "completion_tokens": 7,
            "attempt": 1,
            "expires_after": 600.0,
            "expires_at": 604.0,
            "created_at": 4.0,
            "started_at": 4.0,
            "ended_at": 5.0,
        }
    ],
    "run_steps": [
        {
            "run_id": "run_old",
            "seq": 0,
            "id": "step_old",
            "thread_id": "thread_old",
            "turn": 0,
            "position": 1,
            "type": "tool_calls",
            "status": "completed",
            "details": json.dumps({"type": "tool_calls", "tool_calls": [CALL]}),
            "created_at": 4.0,
            "ended_at": 4.5,
        }
    ],
}


@pytest.fixture
def old_engine(engine_factory: EngineFactory) -> AssistantsEngine:
    """An engine of this version on a file of the first one, with a conversation."""
    path = engine_factory.folder / "engine_0.db"
    upgrade(str(path), "0001")
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, rows in ROWS.items():
            for row in rows:
                names, places = ", ".join(row), ", ".join("?" * len(row))
                connection.execute(
                    f"INSERT INTO {table} ({names}) VALUES ({places})",
                    list(row.values()),
                )
    assert revision_of(str(path)) == "0001"
    return engine_factory(ScriptedChatModel(respond=lambda messages, asked: "Again."))


def upgrade(path: str, revision: str) -> None:
    """Bring a file to some revision, as an earlier version would have made it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        command.upgrade(configuration(connection), revision)
    engine.dispose()


def everything(path: str) -> dict[str, list[dict[str, Any]]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
            for table in ROWS
        }


def test_opening_an_older_file_migrates_it_and_keeps_every_row(
    old_engine: AssistantsEngine,
) -> None:
    assert revision_of(path_of(old_engine)) == HEAD
    for table, rows in everything(path_of(old_engine)).items():
        for row, written in zip(rows, ROWS[table], strict=True):
            assert written.items() <= row.items()
            added = row.keys() - written.keys() - {"seq"}
            assert [name for name in added if row[name] is not None] == []


def test_a_conversation_of_an_older_file_goes_on(old_engine: AssistantsEngine) -> None:
    thread = old_engine.threads.get_or_create(key="customer:1")
    run = old_engine.runs.create(
        thread.id,
        assistant_id="asst_old",
        additional_messages=[{"role": "user", "content": "And now?"}],
    )
    assert old_engine.runs.wait(run.id, timeout=20).status == "completed"
    messages = old_engine.messages.list(thread.id, order="asc")
    assert [message.text for message in messages] == [
        "Find it.",
        "Here it is.",
        "And now?",
        "Again.",
    ]
    [step] = old_engine.steps.list("run_old")
    assert step.id == "step_old"


def test_a_thread_of_an_older_file_can_be_forked_with_its_tool_calls(
    old_engine: AssistantsEngine,
) -> None:
    fork = old_engine.threads.fork("thread_old", after="msg_2")
    model = ScriptedChatModel(["Found."])
    path = path_of(old_engine)
    old_engine.close()
    with AssistantsEngine(f"sqlite:///{path}", chat_model=model) as engine:
        run = engine.runs.create(
            fork.id,
            assistant_id="asst_old",
            additional_messages=[{"role": "user", "content": "Where?"}],
        )
        assert engine.runs.wait(run.id, timeout=20).status == "completed"
    [asked] = model.calls
    texts = [message.text for message in asked.messages]
    assert texts == ["Find it.", "", "found", "Here it is.", "Where?"]


def test_every_revision_leads_to_the_tables_of_this_version(
    engine_factory: EngineFactory,
) -> None:
    memory = SQLiteDatabase(":memory:")
    memory.create_all()
    wanted = shape(memory._writer)
    memory.close()
    revisions: Sequence[Any] = [
        script.revision
        for script in ScriptDirectory.from_config(configuration()).walk_revisions()
    ]
    assert len(revisions) == int(HEAD)
    for revision in revisions:
        path = str(engine_factory.folder / f"from_{revision}.db")
        upgrade(path, revision)
        migrate(path)
        with closing(sqlite3.connect(path)) as connection:
            assert shape(connection) == wanted


def shape(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return the columns of every table by name, and every index with its condition."""
    found: dict[str, Any] = {}
    for kind, name, sql in connection.execute(
        "SELECT type, name, sql FROM sqlite_master "
        "WHERE name NOT LIKE 'sqlite_%' AND name <> 'alembic_version'"
    ).fetchall():
        if kind == "table":
            columns = connection.execute(f"PRAGMA table_info({name})").fetchall()
            found[name] = sorted(tuple(column)[1:] for column in columns)
        else:
            found[name] = " ".join(sql.replace('"', "").split())
    return found


def test_a_migration_that_fails_leaves_the_older_file_as_it_was(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(engine_factory.folder / "engine_0.db")
    upgrade(path, "0001")
    with closing(sqlite3.connect(path)) as connection, connection:
        # What revision 0002 is about to create, after it has added its columns.
        connection.execute("CREATE TABLE ix_runs_graph_task (id INTEGER)")
        before = shape(connection)
    with pytest.raises(StorageError, match="ix_runs_graph_task"):
        migrate(path)
    assert revision_of(path) == "0001"
    with closing(sqlite3.connect(path)) as connection:
        assert shape(connection) == before
