"""Deleting a thread with everything that hangs on it.

A fork reads the tool calls of the thread it came from. Those that forks need stay,
under rows that no tenant sees, until the last of the forks is deleted.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, exists, select, text, update

from langchain_assistants.engine.message_rows import delete_messages
from langchain_assistants.storage.database import (
    Statement,
    Transaction,
    first,
    param,
)
from langchain_assistants.storage.tables import (
    interpreter_sessions,
    run_checkpoints,
    run_steps,
    runs,
    threads,
    tool_outputs,
)

HIDDEN = ""
"""The tenant of what only forks read any more."""

_fork = threads.alias("fork")
_maker = runs.alias("maker")
_of_thread = runs.c.thread_id == param("thread_id")


def _is_read_by_a_fork() -> ColumnElement[bool]:
    """Tell of a step whether a fork of its thread shows it; see `history`."""
    return exists().where(
        text("run_steps.type = 'tool_calls'"),
        _fork.c.parent_id == param("thread_id"),
        run_steps.c.position <= _fork.c.parent_seq,
        _maker.c.id == run_steps.c.run_id,
        _maker.c.seq <= _fork.c.parent_run,
    )


_DELETE_OUTPUTS = Statement(
    delete(tool_outputs).where(
        tool_outputs.c.run_id.in_(select(runs.c.id).where(_of_thread))
    )
)
_DELETE_CHECKPOINTS = Statement(
    delete(run_checkpoints).where(run_checkpoints.c.thread_id == param("thread_id"))
)
_DELETE_SESSION = Statement(
    delete(interpreter_sessions).where(
        interpreter_sessions.c.thread_id == param("thread_id")
    )
)
_DELETE_STEPS = Statement(
    delete(run_steps).where(
        run_steps.c.run_id.in_(select(runs.c.id).where(_of_thread)),
        ~_is_read_by_a_fork(),
    )
)
_DELETE_RUNS = Statement(
    delete(runs).where(_of_thread, ~exists().where(run_steps.c.run_id == runs.c.id))
)
_ANY_FORK = Statement(
    select(threads.c.id).where(threads.c.parent_id == param("thread_id")).limit(1)
)
_HIDE_RUNS = Statement(
    update(runs)
    .where(_of_thread)
    .values(
        tenant=HIDDEN,
        settings="{}",
        metadata="{}",
        last_error=None,
        graph_thread=None,
        graph_node=None,
        graph_task=None,
    )
)
_HIDE_THREAD = Statement(
    update(threads)
    .where(threads.c.id == param("thread_id"))
    .values(
        tenant=HIDDEN,
        key=None,
        metadata="{}",
        tool_resources=None,
        context=None,
        summary=None,
    )
)
_DELETE_THREAD = Statement(
    delete(threads)
    .where(threads.c.id == param("thread_id"))
    .returning(threads.c.parent_id)
)
_HIDDEN_THREAD = Statement(
    select(threads.c.id).where(
        threads.c.id == param("thread_id"), threads.c.tenant == HIDDEN
    )
)


def delete_thread(thread_id: str) -> Transaction[None]:
    """Delete a thread on which no run is active."""
    yield from delete_messages(thread_id)
    yield _DELETE_OUTPUTS(thread_id=thread_id)
    yield _DELETE_CHECKPOINTS(thread_id=thread_id)
    yield _DELETE_SESSION(thread_id=thread_id)
    left: str | None = thread_id
    while left is not None:
        yield _DELETE_STEPS(thread_id=left)
        yield _DELETE_RUNS(thread_id=left)
        if (yield _ANY_FORK(thread_id=left)):
            yield _HIDE_RUNS(thread_id=left)
            yield _HIDE_THREAD(thread_id=left)
            return
        [deleted] = yield _DELETE_THREAD(thread_id=left)
        # What only this fork read of a hidden thread goes with it.
        parent = first((yield _HIDDEN_THREAD(thread_id=deleted["parent_id"])))
        left = None if parent is None else parent["id"]
