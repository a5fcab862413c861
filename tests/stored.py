"""Reads an engine's SQLite file past the engine: what is really stored, and whether
it keeps the invariants."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from langchain_assistants import AssistantsEngine

TABLES = (
    "assistants",
    "threads",
    "messages",
    "runs",
    "run_steps",
    "tool_outputs",
    "run_checkpoints",
    "files",
    "uploads",
    "upload_parts",
    "vector_stores",
    "vector_store_files",
    "vector_store_file_batches",
    "chunks",
    "chunk_vectors",
)
ACTIVE = ("queued", "in_progress", "requires_action", "cancelling")


def path_of(engine: AssistantsEngine) -> str:
    return engine.url.removeprefix("sqlite:///")


def rows(engine: AssistantsEngine, sql: str, *values: Any) -> list[dict[str, Any]]:
    """Execute SQL on the file over a connection of its own."""
    with closing(sqlite3.connect(path_of(engine), isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql, values)]


def everything(engine: AssistantsEngine) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of all tables: equal before and after means nothing changed."""
    return {name: rows(engine, f"SELECT * FROM {name}") for name in TABLES}


def seed_messages(engine: AssistantsEngine, thread_id: str, count: int) -> None:
    """Append messages straight to the file: the engine would take far longer."""
    with closing(sqlite3.connect(path_of(engine))) as connection, connection:
        [(last,)] = connection.execute(
            "SELECT last_seq FROM threads WHERE id = ?", (thread_id,)
        )
        connection.executemany(
            "INSERT INTO messages (thread_id, seq, id, role, status, content, "
            "created_at) VALUES (?, ?, ?, ?, 'completed', ?, 1.0)",
            (
                (
                    thread_id,
                    number,
                    f"msg_{thread_id}_{number:08d}",
                    "user" if number % 2 else "assistant",
                    json.dumps(
                        [
                            {
                                "type": "text",
                                "text": {
                                    "value": f"Seeded message {number}.",
                                    "annotations": [],
                                },
                            }
                        ]
                    ),
                )
                for number in range(last + 1, last + count + 1)
            ),
        )
        connection.execute(
            "UPDATE threads SET last_seq = ? WHERE id = ?", (last + count, thread_id)
        )


def broken_invariants(engine: AssistantsEngine) -> list[str]:
    """Return what contradicts the invariants in the file at rest; empty: nothing."""
    return contradictions(everything(engine))


def contradictions(tables: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return what contradicts the invariants in these rows."""
    return [
        *_broken_threads(tables),
        *_broken_runs(tables),
        *_broken_steps(tables),
        *_broken_messages(tables),
    ]


def _broken_threads(tables: dict[str, list[dict[str, Any]]]) -> Iterable[str]:
    threads = {row["id"] for row in tables["threads"]}
    for name in ("messages", "runs", "run_steps", "run_checkpoints"):
        for row in tables[name]:
            if row["thread_id"] not in threads:
                yield f"{name} keeps a row of the deleted thread {row['thread_id']}"
    for thread_id in threads:
        runs = [run for run in tables["runs"] if run["thread_id"] == thread_id]
        holding = [run for run in runs if run["head"] and run["status"] in ACTIVE]
        waiting = [run for run in runs if not run["head"] and run["status"] == "queued"]
        if len(holding) > 1:
            yield f"{thread_id} is held by {[run['id'] for run in holding]}"
        if waiting and not holding:
            yield f"{waiting[0]['id']} waits for {thread_id}, which nobody holds"


def _broken_runs(tables: dict[str, list[dict[str, Any]]]) -> Iterable[str]:
    ledger = {row["run_id"] for row in tables["tool_outputs"]}
    steps = tables["run_steps"]
    active = {run["thread_id"] for run in tables["runs"] if run["status"] in ACTIVE}
    for run in tables["runs"]:
        run_id, status = run["id"], run["status"]
        open_steps = [
            step
            for step in steps
            if step["run_id"] == run_id and step["status"] == "in_progress"
        ]
        if status not in ACTIVE:
            if run["ended_at"] is None or run["worker"] or run["required_action"]:
                yield f"{run_id} is {status}, but its row is not that of an ended run"
            if open_steps or run_id in ledger:
                yield f"{run_id} is {status}, but left {open_steps or 'a ledger'}"
        elif run["ended_at"] is not None:
            yield f"{run_id} is {status}, but has an end"
        if status == "requires_action":
            action = json.loads(run["required_action"])["action"]
            wanted = {c["id"] for c in action["submit_tool_outputs"]["tool_calls"]}
            calls = [
                call
                for step in open_steps
                for call in json.loads(step["details"])["tool_calls"]
            ]
            lacking = {c["id"] for c in calls if c["function"]["output"] is None}
            if wanted != lacking or len(open_steps) != 1:
                yield f"{run_id} requires {wanted}, but {lacking} have no output"
    for checkpoint in tables["run_checkpoints"]:
        if checkpoint["thread_id"] not in active:
            yield f"{checkpoint['thread_id']} keeps a checkpoint without a run"


def _broken_steps(tables: dict[str, list[dict[str, Any]]]) -> Iterable[str]:
    runs = {run["id"]: run for run in tables["runs"]}
    numbers: dict[str, list[int]] = {}
    for step in tables["run_steps"]:
        numbers.setdefault(step["run_id"], []).append(step["seq"])
        if step["run_id"] not in runs:
            yield f"{step['id']} is a step of no run"
        calls = json.loads(step["details"]).get("tool_calls", ())
        if step["status"] == "completed" and any(
            call["function"]["output"] is None for call in calls
        ):
            yield f"{step['id']} is completed, but a call has no output"
    for run_id, given in numbers.items():
        if sorted(given) != list(range(len(given))):
            yield f"the steps of {run_id} are numbered {sorted(given)}"


def _broken_messages(tables: dict[str, list[dict[str, Any]]]) -> Iterable[str]:
    ends = {row["id"]: row["last_seq"] for row in tables["threads"]}
    for message in tables["messages"]:
        if message["seq"] > ends.get(message["thread_id"], 0):
            yield f"{message['id']} lies behind the end of its thread"
        if message["status"] == "in_progress":
            yield f"{message['id']} is stored unfinished"
