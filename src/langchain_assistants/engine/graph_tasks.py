"""Runs that a caller's LangGraph graph started: found again by task, and by state."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, text

from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
    param,
)
from langchain_assistants.storage.tables import runs as table


@dataclass(frozen=True, slots=True)
class GraphTask:
    """The task of a caller's graph that asks for a run.

    LangGraph gives a task that is executed again after a crash or an interrupt its old
    id, and a replay from an older checkpoint new ones.

    Attributes:
        id: The task's, with the number of the call within the task.
        thread: The `thread_id` of the graph, if it has one.
        node: The names of the nodes that lead to it.
        continues: The run that the graph's state names.
        alone: Whether the graph keeps its state and is no part of another.
    """

    id: str
    thread: str | None = None
    node: str | None = None
    continues: str | None = None
    alone: bool = False

    def has_left(self, run: Row) -> bool:
        """Tell whether a run waits for a graph whose checkpointer has lost it."""
        return (
            self.alone
            and self.thread is not None
            and (run["graph_thread"], run["graph_node"]) == (self.thread, self.node)
        )


_OF_TASK = Statement(
    select(table)
    .where(
        table.c.graph_task == param("task"),
        # Literal, as in the partial index that serves it.
        text("graph_task IS NOT NULL"),
        table.c.tenant == param("tenant"),
    )
    .order_by(table.c.seq.desc())
    .limit(1)
)
_older = table.alias("older")
_NEWER = Statement(
    select(table.c.id)
    .join(_older, _older.c.thread_id == table.c.thread_id)
    .where(
        _older.c.id == param("id"),
        table.c.thread_id == param("thread_id"),
        table.c.seq > _older.c.seq,
        table.c.graph_thread == param("graph_thread"),
        (table.c.graph_node == param("node"))
        | (table.c.graph_node == _older.c.graph_node),
        text("runs.status IN ('completed', 'requires_action')"),
    )
    .limit(1)
)


def run_of_task(task: GraphTask, tenant: str) -> Transaction[Row | None]:
    """Return the newest run that a task has started, if it has started one."""
    return first((yield _OF_TASK(task=task.id, tenant=tenant)))


def is_superseded(task: GraphTask, thread_id: str) -> Transaction[bool]:
    """Tell whether the graph went back behind a newer run of its own.

    Its state names a run of the thread, but the same graph thread has got an answer
    since, from this node or from the one that started the named run.
    """
    rows = yield _NEWER(
        id=task.continues,
        thread_id=thread_id,
        graph_thread=task.thread,
        node=task.node,
    )
    return bool(rows)
