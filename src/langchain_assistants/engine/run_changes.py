"""Changes of a run's status: each is one UPDATE built from the table of transitions.

A run ends here and nowhere else; with it go its open steps, its ledger and checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import and_, delete, select, text, update

from langchain_assistants.engine.message_rows import (
    NewMessage,
    append_messages,
    thread_end,
)
from langchain_assistants.engine.run_rows import Claim, run_row
from langchain_assistants.engine.transitions import TRANSITIONS, Trigger, allows
from langchain_assistants.errors import (
    ActiveRunError,
    InvalidRequestError,
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

_ACTIVE = Statement(
    select(table).where(table.c.thread_id == param("thread_id"), ACTIVE)
)
_WAITING = Statement(
    select(table)
    .where(table.c.thread_id == param("thread_id"), WAITING)
    .order_by(table.c.seq)
    .limit(1)
)
_TAKE_THREAD = Statement(
    update(table)
    .where(table.c.id == param("id"), WAITING)
    .values(head=1, cursor=param("cursor"), waiting_messages=None)
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
_FREE: dict[str, Any] = {"worker": None, "lease_until": None}
_OWN = {"worker": param("worker"), "lease_until": param("lease_until")}
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
    **_OWN,
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
    graph_task=param("graph_task"),
    **_OWN,
)
_REQUEST_CANCEL = _changes(Trigger.REQUEST_CANCEL, required_action=None)
_RELEASE = _changes(Trigger.RELEASE, **_OWN)
_HAND_OVER = Statement(
    update(table)
    .where(table.c.id == param("id"), text("status = 'queued'"))
    .values(**_OWN)
    .returning(table)
)
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
_is_ours = and_(
    table.c.id == param("id"),
    table.c.attempt == param("attempt"),
    text("status = 'in_progress'"),
)
_CONFIRM = Statement(select(table.c.id).where(_is_ours))
_FENCE = Statement(
    update(table)
    .where(_is_ours)
    # Answers that the run was resumed with are used up once it has a newer step.
    .values(required_action=None, **_TOKENS)
    .returning(table.c.id)
)

StepStatus: TypeAlias = Literal[
    "in_progress", "cancelled", "failed", "completed", "expired"
]

STEP_STATUS: dict[Trigger, StepStatus] = {
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


class TakenOver(Fenced):
    """Another worker executes the run now: its lease was over here."""


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


def claim_run(
    run_id: str, tenant: str, claim: Claim, now: float
) -> Transaction[Row | None]:
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


def confirm(run_id: str, attempt: int) -> Transaction[None]:
    """Check that the run is still this worker's, and change nothing.

    Raises:
        Fenced: It is not.
    """
    if not (yield _CONFIRM(id=run_id, attempt=attempt)):
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
    row: Row, outputs: Mapping[str, Any], claim: Claim, now: float, task: str | None
) -> Transaction[Row]:
    """Queue a run again with the outputs it waited for; its deadline starts again.

    Args:
        row: The run, in `requires_action`.
        outputs: What to resume the graph with, by interrupt id.
        claim: Whose the run is now.
        now: The time.
        task: The graph task that goes on with the run, if one does.
    """
    rows = yield _SUBMIT(
        id=row["id"],
        attempt=row["attempt"],
        required_action=to_json({"resume": outputs}),
        expires_at=now + row["expires_after"],
        graph_task=row["graph_task"] if task is None else task,
        worker=claim.worker,
        lease_until=claim.lease_until,
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
    if status == "in_progress" and (row["lease_until"] or 0.0) > now:
        return rows[0]
    return (yield from end_run(rows[0], Ending(Trigger.CANCEL), now))


def mark_cancelling(row: Row) -> Transaction[Row | None]:
    """Mark a run for its own worker to cancel; None if it has been, or has ended."""
    return first((yield _REQUEST_CANCEL(id=row["id"], attempt=row["attempt"])))


def release_run(
    run_id: str, attempt: int, now: float, heir: Claim | None = None
) -> Transaction[Row | None]:
    """Give a run back to the queue: its worker cannot go on, its heir or anybody may.

    Args:
        run_id: The run.
        attempt: The attempt that ends.
        now: The time.
        heir: Whose it is from now on; None: whoever sweeps it up first.
    """
    worker, lease_until = (None, now) if heir is None else heir
    return first(
        (
            yield _RELEASE(
                id=run_id, attempt=attempt, worker=worker, lease_until=lease_until
            )
        )
    )


def hand_over(run_id: str, heir: Claim) -> Transaction[Row | None]:
    """Give a queued run to another worker."""
    return first((yield _HAND_OVER(id=run_id, **heir._asdict())))


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
            status=STEP_STATUS[ending.trigger],
            last_error=last_error,
            now=now,
        )
    yield _FORGET_OUTPUTS(run_id=run_id)
    if row["head"]:  # else the thread, and what is kept of it, is another run's
        yield _FORGET_CHECKPOINTS(thread_id=thread_id)
        yield from admit_waiting(thread_id, now)
    return rows[0]


def admit_waiting(thread_id: str, now: float) -> Transaction[None]:
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
