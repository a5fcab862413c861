"""Forks: a new thread with the messages of another up to a point, and its tool calls.

Messages are copied with their numbers; the tool calls before the fork are read from
the runs of the thread it came from (see `history`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import func, insert, literal_column, select, text, update

from langchain_assistants.engine.ids import NewId
from langchain_assistants.engine.message_rows import PREFIX as MESSAGE_PREFIX
from langchain_assistants.engine.message_rows import message_row
from langchain_assistants.engine.run_rows import PREFIX as RUN_PREFIX
from langchain_assistants.engine.run_rows import insert_completed_copy
from langchain_assistants.engine.step_rows import PREFIX as STEP_PREFIX
from langchain_assistants.engine.step_rows import StepDraft, steps_of, to_draft
from langchain_assistants.errors import NotFoundError
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
    from_json,
    param,
    to_json,
)
from langchain_assistants.storage.functions import random_hex
from langchain_assistants.storage.tables import messages, runs, threads

_ANY_RUN = 2**63 - 1
_OWN = {"seq", "id", "key", "parent_id", "parent_seq", "parent_run", "last_seq"}
_copied = [c for c in threads.c if c.name not in {*_OWN, "created_at", "summary"}]
_INSERT = Statement(
    insert(threads).values(
        {c.name: param(c.name) for c in threads.c if c.name != "seq"}
    )
)
_THREAD = Statement(select(threads).where(threads.c.id == param("id")))
_RUN = Statement(select(runs).where(runs.c.id == param("id")))
_LAST_WRITTEN = Statement(
    select(func.max(messages.c.seq).label("seq")).where(
        messages.c.thread_id == param("thread_id"),
        messages.c.seq >= param("cursor"),
        messages.c.run_id == param("run_id"),
    )
)
_LAST_RUN = Statement(
    select(runs.c.seq)
    .where(
        runs.c.thread_id == param("thread_id"),
        runs.c.seq <= param("newest"),
        runs.c.cursor < param("before"),
        runs.c.ended_at.is_not(None),
        text("head = 1"),
    )
    .order_by(runs.c.seq.desc())
    .limit(1)
)
_MESSAGE_AT = Statement(
    select(messages.c.id).where(
        messages.c.thread_id == param("thread_id"), messages.c.seq == param("seq")
    )
)
_GIVE_MESSAGES = Statement(
    update(messages)
    .where(
        messages.c.thread_id == param("thread_id"),
        messages.c.seq > param("cursor"),
        messages.c.run_id == param("run_id"),
    )
    .values(run_id=param("copy_id"))
)
_changed: dict[str, Any] = {
    "thread_id": param("fork_id"),
    "id": literal_column(f"'{MESSAGE_PREFIX}'") + random_hex(),
    "source_id": func.coalesce(messages.c.source_id, messages.c.id),
}
_COPY_MESSAGES = Statement(
    insert(messages).from_select(
        [c.name for c in messages.c],
        select(*(_changed.get(c.name, c) for c in messages.c)).where(
            messages.c.thread_id == param("thread_id"),
            messages.c.seq <= param("through"),
        ),
    )
)


def fork_after_message(
    thread: Row, message_id: str | None, fork_id: str, key: str | None, now: float
) -> Transaction[Row]:
    """Fork a thread after one of its messages, or at its end.

    Raises:
        NotFoundError: The message is not the thread's.
    """
    through = thread["last_seq"]
    before = through + 1
    if message_id is not None:
        message = yield from message_row(message_id, thread["tenant"])
        if message["thread_id"] != thread["id"]:
            raise NotFoundError.for_id("message", message_id)
        through = before = message["seq"]
    last_run = yield from _last_run(thread, before)
    return (yield from _fork(thread, fork_id, through, last_run, now, key))


def fork_before_message(
    thread_id: str, seq: int, fork_id: str, now: float
) -> Transaction[Row]:
    """Fork a thread before the message with a number."""
    thread = (yield _THREAD(id=thread_id))[0]
    last_run = yield from _last_run(thread, seq)
    return (yield from _fork(thread, fork_id, seq - 1, last_run, now))


def fork_after_run(run_id: str, fork_id: str, now: float) -> Transaction[Row]:
    """Fork a run's thread after the last message that the run wrote."""
    run = (yield _RUN(id=run_id))[0]
    thread = (yield _THREAD(id=run["thread_id"]))[0]
    written = yield _LAST_WRITTEN(
        thread_id=run["thread_id"], cursor=run["cursor"], run_id=run_id
    )
    through = written[0]["seq"] or run["cursor"]
    return (yield from _fork(thread, fork_id, through, run["seq"], now))


def fork_within_run(
    run_id: str, outputs: Mapping[str, str], fork_id: str, new_id: NewId, now: float
) -> Transaction[Row]:
    """Fork a run's thread after one of its rounds of tool calls, with other outputs.

    The fork gets a completed run of its own with the rounds up to that one, so the
    next run finds calls and outputs in its history.

    Args:
        run_id: A run that has ended.
        outputs: By call id; they name the round.
        fork_id: The new thread's id.
        new_id: Makes further ids.
        now: The time.
    """
    run = (yield _RUN(id=run_id))[0]
    thread = (yield _THREAD(id=run["thread_id"]))[0]
    through = run["cursor"]
    rounds: list[StepDraft] = []
    for row in (yield from steps_of(run_id)):
        step = to_draft(row)
        through = step.position
        calls = step.details.get("tool_calls", ())
        if calls:
            rounds.append(step)
        if any(call["id"] in outputs for call in calls):
            for call in calls:
                if call["id"] in outputs:
                    call["function"]["output"] = outputs[call["id"]]
            break
    fork = yield from _fork(thread, fork_id, through, run["seq"] - 1, now)
    copy_id = new_id(RUN_PREFIX)
    yield from insert_completed_copy(run, copy_id, fork_id, now)
    # Text and calls of one answer belong together in the history.
    yield _GIVE_MESSAGES(
        thread_id=fork_id, cursor=run["cursor"], run_id=run_id, copy_id=copy_id
    )
    for number, step in enumerate(rounds):
        copy = replace(
            step,
            id=new_id(STEP_PREFIX),
            run_id=copy_id,
            thread_id=fork_id,
            seq=number,
        )
        copy.end("completed", now)
        yield copy.insert()
    return fork


def _fork(
    thread: Row,
    fork_id: str,
    through: int,
    last_run: int,
    now: float,
    key: str | None = None,
) -> Transaction[Row]:
    yield _COPY_MESSAGES(thread_id=thread["id"], fork_id=fork_id, through=through)
    row: dict[str, Any] = {c.name: thread[c.name] for c in _copied} | {
        "id": fork_id,
        "key": key,
        "parent_id": thread["id"],
        "parent_seq": through,
        "parent_run": last_run,
        "last_seq": through,
        "created_at": now,
        "summary": (yield from _summary(thread, fork_id, through)),
    }
    yield _INSERT(**row)
    return row


def _summary(thread: Row, fork_id: str, through: int) -> Transaction[str | None]:
    """Return a thread's summary for its fork, None if it reaches beyond that."""
    summary = from_json(thread["summary"])
    if summary is None or summary["seq"] > through:
        return None
    if summary["through"].startswith(MESSAGE_PREFIX):
        copy = first((yield _MESSAGE_AT(thread_id=fork_id, seq=summary["seq"])))
        summary["through"] = summary["through"] if copy is None else copy["id"]
    return to_json(summary)


def _last_run(thread: Row, before: int) -> Transaction[int]:
    """Return the number of the last run that ended before a message, 0 for none.

    It may be one of the threads that the thread comes from.
    """
    newest = _ANY_RUN
    while True:
        last = first(
            (yield _LAST_RUN(thread_id=thread["id"], newest=newest, before=before))
        )
        if last is not None:
            return int(last["seq"])
        newest, parent_id = thread["parent_run"], thread["parent_id"]
        parent = parent_id and first((yield _THREAD(id=parent_id)))
        if not parent:
            return 0
        thread = parent
