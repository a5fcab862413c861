"""Runs that a caller's LangGraph graph started: found again by task, and by state."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exists, select, text

from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
    param,
)
from langchain_assistants.storage.tables import messages
from langchain_assistants.storage.tables import runs as table


@dataclass(frozen=True, slots=True)
class GraphTask:
    """The task of a caller's graph that asks for a run.

    LangGraph gives a task that is executed again after a crash or an interrupt its old
    id, and a replay from an older checkpoint new ones.

    Attributes:
        id: The task's, with the number of the call within the task. In a graph that is
            part of another it ends with `@` and that one's checkpoint.
        thread: The `thread_id` of the graph, if it has one.
        node: The names of the nodes that lead to it.
        continues: The run that the graph's state names.
        alone: Whether the graph keeps its state and is no part of another.
        root_checkpoint: Where the outermost graph is, if this one is part of it.
    """

    id: str
    thread: str | None = None
    node: str | None = None
    continues: str | None = None
    alone: bool = False
    root_checkpoint: str | None = None

    def has_left(self, run: Row) -> bool:
        """Tell whether a run waits for this graph, which knows nothing of it.

        Its checkpointer has lost it, or the graph around it got new input in place of
        outputs. A parallel branch, which its graph knows, is at the same checkpoint.
        """
        own = (self.thread, self.node)
        if self.thread is None or (run["graph_thread"], run["graph_node"]) != own:
            return False
        if self.root_checkpoint is None:
            return self.alone
        return not run["graph_task"].endswith(f"@{self.root_checkpoint}")


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

_ANSWERED = Statement(
    select(messages.c.seq).where(
        messages.c.thread_id == param("thread_id"),
        messages.c.source_id == param("source_id"),
        exists().where(
            table.c.thread_id == messages.c.thread_id,
            table.c.cursor >= messages.c.seq,
            table.c.graph_thread == param("graph_thread"),
            table.c.graph_node == param("node"),
            text("runs.status IN ('completed', 'requires_action')"),
        ),
    )
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


def answered_before(
    task: GraphTask, thread_id: str, source_id: str
) -> Transaction[int | None]:
    """Return the number of a message that the graph has got an answer to, if it has.

    For a graph whose state names no run: it went back to before its first answer.
    """
    given = {"graph_thread": task.thread, "node": task.node}
    row = first((yield _ANSWERED(thread_id=thread_id, source_id=source_id, **given)))
    return None if row is None else int(row["seq"])
