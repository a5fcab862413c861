"""Rows of runs: how they are inserted, read and shown; not how their status changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update

from langchain_assistants.engine.graph_tasks import GraphTask
from langchain_assistants.engine.listing import Listing
from langchain_assistants.engine.message_rows import (
    NewMessage,
    append_messages,
)
from langchain_assistants.engine.transitions import (
    is_terminal,
)
from langchain_assistants.errors import (
    NotFoundError,
)
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
    from_json,
    param,
    to_json,
)
from langchain_assistants.storage.tables import runs as table
from langchain_assistants.types.runs import IncompleteDetails, Run, RunStatus, Usage

PREFIX = "run_"
KIND = "run"

_INSERT = Statement(
    insert(table)
    .values({c.name: param(c.name) for c in table.c if c.name != "seq"})
    .returning(table)
)
_BY_ID = Statement(
    select(table).where(table.c.id == param("id"), table.c.tenant == param("tenant"))
)
_ANY_TENANT = Statement(
    select(table.c.tenant, table.c.thread_id, table.c.seq, table.c.cursor).where(
        table.c.id == param("id")
    )
)


def to_run(row: Row, *, status: RunStatus | None = None) -> Run:
    """Return the wire's object for a row.

    Args:
        row: All columns of the run.
        status: What the object shall say instead: a run that was claimed in the
            transaction that made it is shown to its maker as `queued`, as clients need.
    """
    settings = from_json(row["settings"])
    shown: RunStatus = row["status"] if status is None else status
    ended = None if row["ended_at"] is None else int(row["ended_at"])
    action = from_json(row["required_action"])
    reason = row["incomplete_reason"]
    used = shown == "requires_action" or is_terminal(shown)
    keeps_deadline = shown == "expired" or not is_terminal(shown)
    return Run(
        id=row["id"],
        created_at=int(row["created_at"]),
        thread_id=row["thread_id"],
        assistant_id=row["assistant_id"],
        status=shown,
        required_action=action["action"] if shown == "requires_action" else None,
        last_error=from_json(row["last_error"]),
        expires_at=int(row["expires_at"]) if keeps_deadline else None,
        started_at=(
            None
            if row["started_at"] is None or status == "queued"
            else int(row["started_at"])
        ),
        cancelled_at=ended if shown == "cancelled" else None,
        failed_at=ended if shown == "failed" else None,
        completed_at=ended if shown in ("completed", "incomplete") else None,
        incomplete_details=reason and IncompleteDetails(reason=reason),
        metadata=from_json(row["metadata"]),
        usage=(
            to_usage(
                row["prompt_tokens"],
                row["completion_tokens"],
                row["interpreter_seconds"],
            )
            if used
            else None
        ),
        model=settings["model"],
        instructions=settings["instructions"] or "",
        tools=settings["tools"],
        temperature=settings["temperature"],
        top_p=settings["top_p"],
        max_prompt_tokens=settings["max_prompt_tokens"],
        max_completion_tokens=settings["max_completion_tokens"],
        truncation_strategy=settings["truncation_strategy"],
        tool_choice=settings["tool_choice"],
        parallel_tool_calls=settings["parallel_tool_calls"],
        response_format=settings["response_format"],
    )


def to_usage(prompt: int, completion: int, seconds: float | None = None) -> Usage:
    """Return the wire's object for token counts and seconds of an interpreter."""
    tokens = Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
    )
    if seconds is not None:
        tokens.interpreter_seconds = round(seconds, 3)
    return tokens


_FOLLOWING = Statement(
    select(table.c.cursor)
    .where(
        table.c.thread_id == param("thread_id"),
        table.c.seq > param("seq"),
        table.c.head == 1,
    )
    # Runs hold their thread in the order of their creation.
    .order_by(table.c.seq)
    .limit(1)
)
_METADATA = Statement(
    update(table).where(table.c.id == param("id")).values(metadata=param("metadata"))
)
OF_THREAD = Listing.of(table.c.seq, table.c.thread_id == param("thread_id"))


class Claim(NamedTuple):
    """Who executes a run, and until when without a sign of life."""

    worker: str
    lease_until: float


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that a transaction is about to insert."""

    id: str
    tenant: str
    thread_id: str
    assistant_id: str
    assistant_version: int
    settings: Mapping[str, Any]
    metadata: Mapping[str, str]
    messages: Sequence[NewMessage]
    required_tools: Sequence[str]
    expires_after: float
    now: float
    task: GraphTask | None = None


def run_row(run_id: str, tenant: str) -> Transaction[Row]:
    """Read a run's row.

    Raises:
        NotFoundError: There is none with this id.
    """
    row = first((yield _BY_ID(id=run_id, tenant=tenant)))
    if row is None:
        raise NotFoundError.for_id(KIND, run_id)
    return row


def run_row_of_any_tenant(run_id: str) -> Transaction[Row]:
    """Read a run's row for a worker: they serve every tenant.

    Raises:
        NotFoundError: There is none with this id.
    """
    row = first((yield _ANY_TENANT(id=run_id)))
    if row is None:
        raise NotFoundError.for_id(KIND, run_id)
    return row


def insert_run(
    run: NewRun, claim: Claim, *, claimed: bool, end: int, head: bool
) -> Transaction[Row]:
    """Insert a run.

    Its messages join the thread now if the run holds the thread, else with its start.

    Args:
        run: The run.
        claim: Whose it is, also while it is queued.
        claimed: Whether it is executed from now on, if it holds the thread.
        end: Number of the thread's newest message.
        head: Whether the run holds the thread, or waits for it.
    """
    cursor = end
    if head:
        cursor = yield from append_messages(
            run.thread_id, cursor, run.messages, run.now
        )
    begins = claimed and head
    rows = yield _INSERT(
        id=run.id,
        tenant=run.tenant,
        thread_id=run.thread_id,
        assistant_id=run.assistant_id,
        assistant_version=run.assistant_version,
        status="in_progress" if begins else "queued",
        head=int(head),
        cursor=cursor,
        waiting_messages=None if head else to_json([list(m) for m in run.messages]),
        settings=to_json(run.settings),
        metadata=to_json(run.metadata),
        required_action=None,
        last_error=None,
        incomplete_reason=None,
        prompt_tokens=0,
        completion_tokens=0,
        interpreter_seconds=None,
        attempt=int(begins),
        worker=claim.worker,
        lease_until=claim.lease_until,
        run_after=None,
        required_tools=to_json(list(run.required_tools))
        if run.required_tools
        else None,
        expires_after=run.expires_after,
        expires_at=run.now + run.expires_after,
        created_at=run.now,
        started_at=run.now if begins else None,
        ended_at=None,
        graph_thread=run.task and run.task.thread,
        graph_node=run.task and run.task.node,
        graph_task=run.task and run.task.id,
    )
    return rows[0]


def insert_completed_copy(
    run: Row, run_id: str, thread_id: str, now: float
) -> Transaction[Row]:
    """Insert what a run had done at some moment as a completed run of a fork."""
    columns = {c.name: run[c.name] for c in table.c if c.name != "seq"}
    columns |= {
        "id": run_id,
        "thread_id": thread_id,
        "status": "completed",
        "required_action": None,
        "last_error": None,
        "incomplete_reason": None,
        "worker": None,
        "lease_until": None,
        "created_at": now,
        "ended_at": now,
        "graph_task": None,
    }
    return (yield _INSERT(**columns))[0]


class Span(NamedTuple):
    """Exclusive bounds of the message numbers that a run wrote."""

    low: int
    high: int | None


def run_span(run_id: str, thread_id: str) -> Transaction[Span]:
    """Return where in the thread a run's messages lie, so that no list scans it all."""
    row = first((yield _ANY_TENANT(id=run_id)))
    if row is None or row["thread_id"] != thread_id:
        return Span(-1, 0)
    following = yield _FOLLOWING(thread_id=thread_id, seq=row["seq"])
    cursor = following[0]["cursor"] if following else None
    return Span(row["cursor"], None if cursor is None else cursor + 1)


def set_metadata(run_id: str, metadata: Mapping[str, str]) -> Transaction[None]:
    """Replace a run's metadata."""
    yield _METADATA(id=run_id, metadata=to_json(metadata))
