"""Triggers in the database that write down what no look at its rows would show later.

Their order is the order in which SQLite executed the writes, whoever made them.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_NOW = "(julianday('now') - 2440587.5) * 86400.0"
_CHANGE = "INSERT INTO chaos_changes (run, thread, was, status, head, attempt, worker)"
_SCRIPT = f"""
CREATE TABLE chaos_changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT, thread TEXT, was TEXT, status TEXT, head INTEGER, attempt INTEGER,
    worker TEXT
);
CREATE TRIGGER chaos_run_created AFTER INSERT ON runs BEGIN
    {_CHANGE} VALUES (NEW.id, NEW.thread_id, NULL, NEW.status, NEW.head, NEW.attempt,
        NEW.worker);
END;
CREATE TRIGGER chaos_run_changed AFTER UPDATE ON runs
WHEN OLD.status <> NEW.status OR OLD.head <> NEW.head OR OLD.attempt <> NEW.attempt
BEGIN
    {_CHANGE} VALUES (NEW.id, NEW.thread_id, OLD.status, NEW.status, NEW.head,
        NEW.attempt, NEW.worker);
END;
CREATE TABLE chaos_outputs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT, call TEXT, attempt INTEGER, at REAL
);
CREATE TRIGGER chaos_output_recorded AFTER INSERT ON tool_outputs BEGIN
    INSERT INTO chaos_outputs (run, call, attempt, at)
    VALUES (NEW.run_id, NEW.tool_call_id, NEW.attempt, {_NOW});
END;
"""


def install(path: Path) -> None:
    """Set up the triggers in a database that has its tables."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_SCRIPT)
