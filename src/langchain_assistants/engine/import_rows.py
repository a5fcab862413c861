"""Rows of imported assistants, threads, messages, runs and steps.

An object that is there already is never changed. What an object says may be wrong is
not looked for here: it has been checked against its type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import func, insert, select

from langchain_assistants.engine.assistants import assistant_columns, to_assistant
from langchain_assistants.engine.import_outcomes import (
    TAKEN_ID,
    Imported,
    Outcome,
    compared,
)
from langchain_assistants.engine.message_rows import (
    NewMessage,
    append_messages,
    to_message,
)
from langchain_assistants.engine.run_changes import refuse_active_run
from langchain_assistants.engine.run_rows import to_run
from langchain_assistants.engine.run_settings import RunSettings
from langchain_assistants.engine.step_rows import to_step
from langchain_assistants.engine.threads import thread_by_key, to_thread
from langchain_assistants.errors import ActiveRunError
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
    param,
    to_json,
)
from langchain_assistants.storage.functions import strings_of
from langchain_assistants.storage.tables import (
    assistants,
    messages,
    run_steps,
    runs,
    threads,
)

_LIFETIME = 600.0
_asked = strings_of(param("ids")).table_valued("value")
_ids = select(_asked.c.value)
_INSERT = {
    table.name: Statement(
        insert(table).values(
            {c.name: param(c.name) for c in table.c if c.name != "seq"}
        )
    )
    for table in (assistants, threads, runs)
}
_INSERT_STEP = Statement(
    insert(run_steps).values({c.name: param(c.name) for c in run_steps.c})
)
_KNOWN = {
    table.name: Statement(select(table).where(table.c.id.in_(_ids)))
    for table in (assistants, threads, messages, runs)
}
_KNOWN_STEPS = Statement(
    select(*run_steps.c, runs.c.assistant_id)
    .join(runs, runs.c.id == run_steps.c.run_id)
    .where(run_steps.c.id.in_(_ids))
)
_THREAD = Statement(
    select(threads.c.id, threads.c.last_seq).where(
        threads.c.id == param("id"), threads.c.tenant == param("tenant")
    )
)
_NEWEST_MESSAGE = Statement(
    select(messages.c.created_at)
    .where(messages.c.thread_id == param("thread_id"))
    .order_by(messages.c.seq.desc())
    .limit(1)
)
_LAST_BEFORE = Statement(
    select(func.coalesce(func.max(messages.c.seq), 0).label("seq")).where(
        messages.c.thread_id == param("thread_id"),
        messages.c.created_at <= param("created_at"),
    )
)
_NEWEST_RUN = Statement(
    select(runs.c.created_at)
    .where(runs.c.thread_id == param("thread_id"))
    .order_by(runs.c.seq.desc())
    .limit(1)
)
_RUN = Statement(
    select(runs).where(runs.c.id == param("id"), runs.c.tenant == param("tenant"))
)
_LAST_STEP = Statement(
    select(run_steps)
    .where(run_steps.c.run_id == param("run_id"))
    .order_by(run_steps.c.seq.desc())
    .limit(1)
)


def _known(table: str, items: Iterable[Imported]) -> Transaction[dict[str, Row]]:
    rows = yield _KNOWN[table](ids=to_json([item.id for item in items]))
    return {row["id"]: row for row in rows}


def take_assistants(
    items: Sequence[Imported], tenant: str, now: float
) -> Transaction[list[Outcome]]:
    """Store assistants."""
    known = yield from _known("assistants", items)
    outcomes: list[Outcome] = []
    for item in items:
        columns = assistant_columns(item.body) | {
            "id": item.id,
            "tenant": tenant,
            "version": item.body.get("version") or 1,
            "created_at": item.created_at,
        }
        row = known.get(item.id)
        if row is None:
            yield _INSERT["assistants"](**columns)
            outcomes.append(Outcome(taken=True))
        elif row["tenant"] != tenant:
            outcomes.append(TAKEN_ID)
        else:
            here, given = to_assistant(row), to_assistant(columns)
            outcomes.append(compared(item, here.to_dict(), given.to_dict()))
    return outcomes


def take_threads(
    items: Sequence[Imported], tenant: str, now: float
) -> Transaction[list[Outcome]]:
    """Store threads without their messages."""
    known = yield from _known("threads", items)
    outcomes: list[Outcome] = []
    for item in items:
        body, repair = item.body, None
        context = body.get("context")
        columns: dict[str, Any] = {
            "id": item.id,
            "tenant": tenant,
            "key": body.get("key"),
            "parent_id": None,
            "parent_seq": None,
            "parent_run": None,
            "last_seq": 0,
            "created_at": item.created_at,
            "metadata": to_json(body.get("metadata") or {}),
            "tool_resources": to_json(body.get("tool_resources") or {}),
            "context": None if context is None else to_json(context),
            "summary": None,
        }
        row = known.get(item.id)
        if row is not None:
            if row["tenant"] != tenant:
                outcomes.append(TAKEN_ID)
            else:
                here, given = to_thread(row), to_thread(columns)
                outcomes.append(compared(item, here.to_dict(), given.to_dict()))
            continue
        key = columns["key"]
        if key is not None and (yield from thread_by_key(key, tenant)) is not None:
            columns["key"] = None
            repair = "its key is another thread's: it has none now"
        yield _INSERT["threads"](**columns)
        outcomes.append(Outcome(taken=True, repair=repair))
    return outcomes


def take_messages(
    items: Sequence[Imported], tenant: str, now: float
) -> Transaction[list[Outcome]]:
    """Append messages to their threads; those of a thread together, in order."""
    known = yield from _known("messages", items)
    outcomes: list[Outcome] = []
    for thread_id, group in groupby(items, key=lambda item: item.parent):
        outcomes += yield from _take_messages_of(
            thread_id, list(group), known, tenant, now
        )
    return outcomes


def _take_messages_of(
    thread_id: str,
    items: Sequence[Imported],
    known: Mapping[str, Row],
    tenant: str,
    now: float,
) -> Transaction[list[Outcome]]:
    thread = first((yield _THREAD(id=thread_id, tenant=tenant)))
    if thread is None:
        return [_without_thread(thread_id)] * len(items)
    end = thread["last_seq"]
    newest = first((yield _NEWEST_MESSAGE(thread_id=thread_id)))
    newest_at = 0 if newest is None else int(newest["created_at"])
    refusal: str | None = None
    if any(item.id not in known for item in items):
        try:
            yield from refuse_active_run(thread_id, now, adding_messages=True)
        except ActiveRunError as error:
            refusal = str(error)
    outcomes: list[Outcome] = []
    added: list[NewMessage] = []
    for item in items:
        message = _new_message(item)
        row = known.get(item.id)
        if row is not None:
            if row["thread_id"] != thread_id:
                outcomes.append(TAKEN_ID)
                continue
            given = to_message({**message._asdict(), "thread_id": thread_id}).to_dict()
            here = to_message(row).to_dict()
            outcomes.append(compared(item, here, given, row["seq"]))
        elif refusal is not None:
            outcomes.append(Outcome(refusal=refusal))
        elif item.created_at < newest_at:
            outcomes.append(
                Outcome(
                    refusal=f"{thread_id} has newer messages already: import all of a "
                    "thread's messages at once, into a database without it"
                )
            )
        else:
            added.append(message)
            outcomes.append(Outcome(taken=True, place=end + len(added)))
    yield from append_messages(thread_id, end, added, now)
    return outcomes


def _without_thread(thread_id: str) -> Outcome:
    return Outcome(
        refusal=f"there is no thread {thread_id}: add its object to what is imported"
    )


def _new_message(item: Imported) -> NewMessage:
    body = item.body
    details = body.get("incomplete_details") or {}
    ended = {"completed": "completed_at", "incomplete": "incomplete_at"}
    return NewMessage(
        id=item.id,
        role=body["role"],
        content=to_json(body["content"]),
        attachments=to_json(body["attachments"]) if body.get("attachments") else None,
        metadata=to_json(body["metadata"]) if body.get("metadata") else None,
        status=body["status"],
        assistant_id=body.get("assistant_id"),
        run_id=body.get("run_id"),
        incomplete_reason=details.get("reason"),
        created_at=item.created_at,
        ended_at=body.get(ended.get(body["status"], "")),
    )


def take_runs(
    items: Sequence[Imported], tenant: str, now: float
) -> Transaction[list[Outcome]]:
    """Store runs that have ended; those of a thread together, the oldest first."""
    known = yield from _known("runs", items)
    outcomes: list[Outcome] = []
    for thread_id, group in groupby(items, key=lambda item: item.parent):
        thread = first((yield _THREAD(id=thread_id, tenant=tenant)))
        newest = first((yield _NEWEST_RUN(thread_id=thread_id)))
        newest_at = 0 if newest is None else int(newest["created_at"])
        for item in group:
            if thread is None:
                outcomes.append(_without_thread(thread_id))
                continue
            columns = _run_columns(item, tenant)
            row = known.get(item.id)
            if row is not None:
                if row["tenant"] != tenant:
                    outcomes.append(TAKEN_ID)
                else:
                    here, given = to_run(row), to_run(columns)
                    outcomes.append(compared(item, here.to_dict(), given.to_dict()))
            elif item.created_at < newest_at:
                outcomes.append(Outcome(refusal=f"{thread_id} has newer runs already"))
            else:
                if columns["cursor"] is None:
                    place = yield _LAST_BEFORE(
                        thread_id=thread_id, created_at=item.created_at
                    )
                    columns["cursor"] = place[0]["seq"]
                yield _INSERT["runs"](**columns)
                newest_at = item.created_at
                outcomes.append(Outcome(taken=True))
    return outcomes


def _run_columns(item: Imported, tenant: str) -> dict[str, Any]:
    body = item.body
    usage = body.get("usage") or {}
    details = body.get("incomplete_details") or {}
    error = body.get("last_error")
    given = {name: body.get(name) for name in RunSettings._fields if name in body}
    unset = dict.fromkeys(RunSettings._fields)
    settings = {**unset, "history": "full", "tool_errors": "model", **given}
    expires_at = body.get("expires_at") or item.created_at + _LIFETIME
    ended = [body.get(f"{name}_at") for name in ("completed", "failed", "cancelled")]
    if body["status"] == "expired":
        ended = [expires_at]
    return {
        "id": item.id,
        "tenant": tenant,
        "thread_id": item.parent,
        "assistant_id": body["assistant_id"],
        "assistant_version": 1,
        "status": body["status"],
        "head": 1,
        "cursor": item.place,
        "waiting_messages": None,
        "settings": to_json(settings),
        "metadata": to_json(body.get("metadata") or {}),
        "required_action": None,
        "last_error": None if error is None else to_json(error),
        "incomplete_reason": details.get("reason"),
        "prompt_tokens": usage.get("prompt_tokens") or 0,
        "completion_tokens": usage.get("completion_tokens") or 0,
        "interpreter_seconds": usage.get("interpreter_seconds"),
        "attempt": 1,
        "worker": None,
        "lease_until": None,
        "run_after": None,
        "required_tools": None,
        "expires_after": _LIFETIME,
        "expires_at": expires_at,
        "created_at": item.created_at,
        "started_at": body.get("started_at"),
        "ended_at": next(filter(None, ended), item.created_at),
        "graph_thread": None,
        "graph_node": None,
        "graph_task": None,
    }


def take_steps(
    items: Sequence[Imported], tenant: str, now: float
) -> Transaction[list[Outcome]]:
    """Store steps; those of a run together, in order."""
    rows = yield _KNOWN_STEPS(ids=to_json([item.id for item in items]))
    known = {row["id"]: row for row in rows}
    outcomes: list[Outcome] = []
    for run_id, group in groupby(items, key=lambda item: item.parent):
        run = first((yield _RUN(id=run_id, tenant=tenant)))
        last = first((yield _LAST_STEP(run_id=run_id)))
        seq = -1 if last is None else last["seq"]
        newest_at = 0 if last is None else int(last["created_at"])
        for item in group:
            if run is None:
                outcomes.append(Outcome(refusal=f"there is no run {run_id}"))
                continue
            columns = _step_columns(item, run, seq + 1)
            row = known.get(item.id)
            if row is not None:
                if row["run_id"] != run_id:
                    outcomes.append(TAKEN_ID)
                    continue
                given = to_step(columns | {"assistant_id": run["assistant_id"]})
                here = to_step(row)
                outcomes.append(compared(item, here.to_dict(), given.to_dict()))
            elif item.created_at < newest_at:
                outcomes.append(Outcome(refusal=f"{run_id} has newer steps already"))
            else:
                yield _INSERT_STEP(**columns)
                seq, newest_at = seq + 1, item.created_at
                outcomes.append(Outcome(taken=True))
    return outcomes


def _step_columns(item: Imported, run: Row, seq: int) -> dict[str, Any]:
    body = item.body
    usage, error = body.get("usage") or {}, body.get("last_error")
    ended = body.get(f"{body['status']}_at")
    return {
        "run_id": item.parent,
        "seq": seq,
        "id": item.id,
        "thread_id": run["thread_id"],
        "turn": seq,
        "position": run["cursor"] if item.place is None else item.place,
        "type": body["type"],
        "status": body["status"],
        "details": to_json(body["step_details"]),
        "last_error": None if error is None else to_json(error),
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "metadata": to_json(body["metadata"]) if body.get("metadata") else None,
        "created_at": item.created_at,
        "ended_at": item.created_at if ended is None else ended,
    }
