"""Rows of runs: every change of a run's status, each in one transaction.

The UPDATEs are built from the table of transitions; a run ends here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import delete, func, insert, select, text, update

from langchain_assistants.engine.listing import Listing
from langchain_assistants.engine.message_rows import (
    NewMessage,
    append_messages,
    thread_end,
)
from langchain_assistants.engine.transitions import (
    TRANSITIONS,
    Trigger,
    allows,
    is_terminal,
)
from langchain_assistants.errors import (
    ActiveRunError,
    InvalidRequestError,
    NotFoundError,
    StorageError,
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
from langchain_assistants.storage.tables import (
    ACTIVE,
    WAITING,
    run_checkpoints,
    run_steps,
    tool_outputs,
)
from langchain_assistants.storage.tables import runs as table
from langchain_assistants.types.runs import Run, Usage

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


def to_run(row: Row, *, status: str | None = None) -> Run:
    """Return the wire's object for a row.

    Args:
        row: All columns of the run.
        status: What the object shall say instead: a run that was claimed in the
            transaction that made it is shown to its maker as `queued`, as clients need.
    """
    settings = from_json(row["settings"])
    shown = row["status"] if status is None else status
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
        incomplete_details=None if reason is None else {"reason": reason},
        metadata=from_json(row["metadata"]),
        usage=(
            to_usage(row["prompt_tokens"], row["completion_tokens"]) if used else None
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


def to_usage(prompt: int, completion: int) -> Usage:
    """Return the wire's object for token counts."""
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
    )
_ACTIVE = Statement(
    select(table).where(table.c.thread_id == param("thread_id"), ACTIVE)
)
_WAITING = Statement(
    select(table)
    .where(table.c.thread_id == param("thread_id"), WAITING)
    .order_by(table.c.seq)
    .limit(1)
)
_FOLLOWING = Statement(
    select(func.min(table.c.cursor).label("cursor")).where(
        table.c.thread_id == param("thread_id"),
        table.c.seq > param("seq"),
        table.c.head == 1,
    )
)
_TAKE_THREAD = Statement(
    update(table)
    .where(table.c.id == param("id"), WAITING)
    .values(head=1, cursor=param("cursor"), waiting_messages=None)
)
_METADATA = Statement(
    update(table).where(table.c.id == param("id")).values(metadata=param("metadata"))
)
_CLOSE_STEPS = Statement(
    update(run_steps)
    .where(run_steps.c.run_id == param("run_id"), text("status = 'in_progress'"))
    .values(
        status=param("status"), ended_at=param("now"), last_error=param("last_error")
    )
)
_FORGET_OUTPUTS = Statement(
    delete(tool_outputs).where(tool_outputs.c.run_id == param("run_id"))
)
_FORGET_CHECKPOINTS = Statement(
    delete(run_checkpoints).where(
        run_checkpoints.c.thread_id == param("thread_id"), run_checkpoints.c.slot == ""
    )
)
OF_THREAD = Listing.of(table.c.seq, table.c.thread_id == param("thread_id"))

_DELETES = (
    Statement(
        delete(tool_outputs).where(
            tool_outputs.c.run_id.in_(
                select(table.c.id).where(table.c.thread_id == param("thread_id"))
            )
        )
    ),
    Statement(
        delete(run_steps).where(
            run_steps.c.run_id.in_(
                select(table.c.id).where(table.c.thread_id == param("thread_id"))
            )
        )
    ),
    Statement(
        delete(run_checkpoints).where(
            run_checkpoints.c.thread_id == param("thread_id")
        )
    ),
    Statement(delete(table).where(table.c.thread_id == param("thread_id"))),
)


def _changes(trigger: Trigger, **values: Any) -> Statement:
    """Build the UPDATE of one transition; it returns the row it changed, if any.

    `attempt` fences it: a worker whose run was given to another changes nothing.
    """
    sources, target = TRANSITIONS[trigger]
    listed = ", ".join(f"'{status}'" for status in sorted(sources))
    return Statement(
        update(table)
        .where(
            table.c.id == param("id"),
            table.c.attempt == param("attempt"),
            text(f"status IN ({listed})"),
        )
        .values(status=target, **values)
        .returning(table)
    )


_TOKENS = {
    "prompt_tokens": param("prompt_tokens"),
    "completion_tokens": param("completion_tokens"),
}
_FREE = {"worker": None, "lease_until": None}
_END = {
    **_TOKENS,
    **_FREE,
    "required_action": None,
    "last_error": param("last_error"),
    "incomplete_reason": param("incomplete_reason"),
    "ended_at": param("now"),
}
_CLAIM = _changes(
    Trigger.CLAIM,
    worker=param("worker"),
    lease_until=param("lease_until"),
    started_at=param("now"),
    attempt=table.c.attempt + 1,
)
_REQUIRE_ACTION = _changes(
    Trigger.REQUIRE_ACTION, **_TOKENS, **_FREE, required_action=param("required_action")
)
_SUBMIT = _changes(
    Trigger.SUBMIT_TOOL_OUTPUTS,
    required_action=param("required_action"),
    expires_at=param("expires_at"),
)
_REQUEST_CANCEL = _changes(Trigger.REQUEST_CANCEL, required_action=None)
_RELEASE = _changes(Trigger.RELEASE, **_FREE)
_ENDS = {
    trigger: _changes(trigger, **_END)
    for trigger in (
        Trigger.COMPLETE,
        Trigger.EXHAUST,
        Trigger.FAIL,
        Trigger.CANCEL,
        Trigger.EXPIRE,
    )
}
_FENCE = Statement(
    update(table)
    .where(
        table.c.id == param("id"),
        table.c.attempt == param("attempt"),
        text("status = 'in_progress'"),
    )
    # Answers that the run was resumed with are used up once it has a newer step.
    .values(required_action=None, **_TOKENS)
    .returning(table.c.id)
)

_STEP_STATUS = {
    Trigger.COMPLETE: "completed",
    Trigger.EXHAUST: "completed",
    Trigger.FAIL: "failed",
    Trigger.CANCEL: "cancelled",
    Trigger.EXPIRE: "expired",
}
MESSAGE_REASON = {
    Trigger.EXHAUST: "max_tokens",
    Trigger.FAIL: "run_failed",
    Trigger.CANCEL: "run_cancelled",
    Trigger.EXPIRE: "run_expired",
}


class Fenced(StorageError):
    """The run is no longer this worker's: cancelled, expired or taken over."""

    def __init__(self, run_id: str) -> None:
        """Name the run."""
        super().__init__(
            f"Run {run_id} is no longer executed here: it was cancelled, it expired, "
            "or another worker took it over."
        )


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens that a run has used so far."""

    prompt: int = 0
    completion: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends.

    Attributes:
        trigger: One of COMPLETE, EXHAUST, FAIL, CANCEL, EXPIRE.
        last_error: The wire's `{code, message}` of a failed run.
        incomplete_reason: The budget that an incomplete run used up.
    """

    trigger: Trigger
    last_error: Mapping[str, str] | None = None
    incomplete_reason: str | None = None


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


def active_run(thread_id: str, now: float) -> Transaction[Row | None]:
    """Return the run that holds a thread, after expiring it if its time is over."""
    while True:
        row = first((yield _ACTIVE(thread_id=thread_id)))
        if row is None or row["expires_at"] > now:
            return row
        yield from expire_run(row, now)


def refuse_active_run(
    thread_id: str, now: float, *, adding_messages: bool = False
) -> Transaction[None]:
    """Check that no run holds a thread.

    Raises:
        ActiveRunError: One does.
    """
    row = yield from active_run(thread_id, now)
    if row is not None:
        raise ActiveRunError(thread_id, row["id"], adding_messages=adding_messages)


def insert_run(
    run: NewRun, claim: Claim | None, *, end: int, head: bool
) -> Transaction[Row]:
    """Insert a run, as claimed if a worker is given.

    Its messages join the thread now if the run holds the thread, else with its start.

    Args:
        run: The run.
        claim: Who executes it from now on.
        end: Number of the thread's newest message.
        head: Whether the run holds the thread, or waits for it.
    """
    cursor = end
    if head:
        cursor = yield from append_messages(
            run.thread_id, cursor, run.messages, run.now
        )
    claimed = claim if head else None
    rows = yield _INSERT(
        id=run.id,
        tenant=run.tenant,
        thread_id=run.thread_id,
        assistant_id=run.assistant_id,
        assistant_version=run.assistant_version,
        status="queued" if claimed is None else "in_progress",
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
        attempt=0 if claimed is None else 1,
        worker=None if claimed is None else claimed.worker,
        lease_until=None if claimed is None else claimed.lease_until,
        run_after=None,
        required_tools=to_json(list(run.required_tools)) if run.required_tools else None,
        expires_after=run.expires_after,
        expires_at=run.now + run.expires_after,
        created_at=run.now,
        started_at=None if claimed is None else run.now,
        ended_at=None,
    )
    return rows[0]


def claim_run(run_id: str, tenant: str, claim: Claim, now: float) -> Transaction[Row | None]:
    """Make a queued run this worker's; None if it is not to be had (any more)."""
    row = yield from run_row(run_id, tenant)
    if not row["head"] or not allows(Trigger.CLAIM, row["status"]):
        return None
    if row["expires_at"] <= now:
        yield from expire_run(row, now)
        return None
    return first(
        (
            yield _CLAIM(
                id=run_id,
                attempt=row["attempt"],
                worker=claim.worker,
                lease_until=claim.lease_until,
                now=now,
            )
        )
    )


def fence(run_id: str, attempt: int, tokens: Tokens) -> Transaction[None]:
    """Check that the run is still this worker's, and note what it has used.

    Raises:
        Fenced: It is not.
    """
    rows = yield _FENCE(
        id=run_id,
        attempt=attempt,
        prompt_tokens=tokens.prompt,
        completion_tokens=tokens.completion,
    )
    if not rows:
        raise Fenced(run_id)


def require_action(
    run_id: str, attempt: int, action: Mapping[str, Any], tokens: Tokens
) -> Transaction[Row]:
    """Leave a run waiting for its caller.

    Raises:
        Fenced: The run is no longer this worker's.
    """
    rows = yield _REQUIRE_ACTION(
        id=run_id,
        attempt=attempt,
        required_action=to_json(action),
        prompt_tokens=tokens.prompt,
        completion_tokens=tokens.completion,
    )
    if not rows:
        raise Fenced(run_id)
    return rows[0]


def submit_outputs(
    row: Row, outputs: Mapping[str, Any], now: float
) -> Transaction[Row]:
    """Queue a run again with the outputs it waited for; its deadline starts again.

    Args:
        row: The run, in `requires_action`.
        outputs: What to resume the graph with, by interrupt id.
        now: The time.
    """
    rows = yield _SUBMIT(
        id=row["id"],
        attempt=row["attempt"],
        required_action=to_json({"resume": outputs}),
        expires_at=now + row["expires_after"],
    )
    return rows[0]


def request_cancel(row: Row, now: float) -> Transaction[Row]:
    """Ask for a run to be cancelled; at once where no worker executes it.

    Raises:
        InvalidRequestError: The run has ended, or is being cancelled already.
    """
    status = row["status"]
    if not allows(Trigger.REQUEST_CANCEL, status):
        raise InvalidRequestError(f"Cannot cancel run with status '{status}'.")
    rows = yield _REQUEST_CANCEL(id=row["id"], attempt=row["attempt"])
    if status == "in_progress":
        return rows[0]
    return (yield from end_run(rows[0], Ending(Trigger.CANCEL), now))


def mark_cancelling(row: Row) -> Transaction[Row | None]:
    """Mark a run for its own worker to cancel; None if it is marked or ended already."""
    return first((yield _REQUEST_CANCEL(id=row["id"], attempt=row["attempt"])))


def release_run(run_id: str, attempt: int) -> Transaction[Row | None]:
    """Give a run back to the queue (its worker cannot go on)."""
    return first((yield _RELEASE(id=run_id, attempt=attempt)))


def expire_run(row: Row, now: float) -> Transaction[Row]:
    """End a run whose deadline has passed; one being cancelled ends cancelled."""
    trigger = Trigger.CANCEL if row["status"] == "cancelling" else Trigger.EXPIRE
    return (yield from end_run(row, Ending(trigger), now))


def end_run(
    row: Row,
    ending: Ending,
    now: float,
    *,
    tokens: Tokens | None = None,
) -> Transaction[Row]:
    """End a run: steps, messages, ledger and checkpoint with it; let the next one in.

    Raises:
        Fenced: The run changed hands or has ended already.
    """
    run_id, thread_id = row["id"], row["thread_id"]
    last_error = None if ending.last_error is None else to_json(ending.last_error)
    rows = yield _ENDS[ending.trigger](
        id=run_id,
        attempt=row["attempt"],
        last_error=last_error,
        incomplete_reason=ending.incomplete_reason,
        prompt_tokens=row["prompt_tokens"] if tokens is None else tokens.prompt,
        completion_tokens=(
            row["completion_tokens"] if tokens is None else tokens.completion
        ),
        now=now,
    )
    if not rows:
        raise Fenced(run_id)
    if ending.trigger is not Trigger.COMPLETE:
        yield _CLOSE_STEPS(
            run_id=run_id,
            status=_STEP_STATUS[ending.trigger],
            last_error=last_error,
            now=now,
        )
    yield _FORGET_OUTPUTS(run_id=run_id)
    yield _FORGET_CHECKPOINTS(thread_id=thread_id)
    if row["head"]:
        yield from _admit_waiting(thread_id, now)
    return rows[0]


def _admit_waiting(thread_id: str, now: float) -> Transaction[None]:
    """Give a freed thread to the run that has waited longest."""
    while True:
        row = first((yield _WAITING(thread_id=thread_id)))
        if row is None:
            return
        if row["expires_at"] <= now:
            yield from expire_run(row, now)
            continue
        end = yield from thread_end(thread_id, row["tenant"])
        messages = [NewMessage(*m) for m in from_json(row["waiting_messages"])]
        cursor = yield from append_messages(thread_id, end, messages, now)
        yield _TAKE_THREAD(id=row["id"], cursor=cursor)
        return


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
    cursor = following[0]["cursor"]
    return Span(row["cursor"], None if cursor is None else cursor + 1)


def set_metadata(run_id: str, metadata: Mapping[str, str]) -> Transaction[None]:
    """Replace a run's metadata."""
    yield _METADATA(id=run_id, metadata=to_json(metadata))


def delete_runs(thread_id: str) -> Transaction[None]:
    """Delete everything that runs left on a thread."""
    for statement in _DELETES:
        yield statement(thread_id=thread_id)
