"""What lies in a SQLite file, read past the engine as any SQLite browser would."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

CONTENTS = {
    "assistants": "model, instructions and tools, under an id",
    "threads": "conversations, with their keys",
    "messages": "what was said",
    "runs": "an assistant at work on a thread, once",
    "run_steps": "tool calls with their outputs, messages written, tokens used",
    "tool_outputs": "outputs while a run goes on: a crash repeats no finished call",
    "run_checkpoints": "LangGraph's state while a run goes on",
}
"""The tables that the engine keeps, in the order in which they are shown."""


class StoredMessage(NamedTuple):
    """A message as its row holds it."""

    role: str
    text: str


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        yield connection


def row_counts(file: Path) -> dict[str, int]:
    """Count the rows of the engine's tables."""
    with _reading(file) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in CONTENTS
        }


def recorded_calls(file: Path, run_id: str) -> set[str]:
    """Read which tool calls of a run that goes on have their output recorded."""
    statement = "SELECT tool_call_id FROM tool_outputs WHERE run_id = ?"
    with _reading(file) as connection:
        return {call_id for (call_id,) in connection.execute(statement, (run_id,))}


def newest_messages(file: Path, thread_id: str, limit: int) -> list[StoredMessage]:
    """Read a thread's newest messages, the newest one last."""
    statement = (
        "SELECT role, content FROM messages "
        "WHERE thread_id = ? ORDER BY seq DESC LIMIT ?"
    )
    with _reading(file) as connection:
        rows = connection.execute(statement, (thread_id, limit)).fetchall()
    return [StoredMessage(role, _text(content)) for role, content in reversed(rows)]


def _text(content: str) -> str:
    parts = (part.get("text") for part in json.loads(content))
    return " ".join(part["value"] for part in parts if part)
