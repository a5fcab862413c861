"""Runs that a caller's LangGraph graph started on a server, found again by marks.

The marks are metadata of runs and messages: all that the API keeps for its callers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_assistants.backends.base import RunOrder
from langchain_assistants.backends.wire.events import read_object
from langchain_assistants.backends.wire.sdk import Wire
from langchain_assistants.engine.graph_tasks import GraphTask
from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.types.runs import Run

TASK_MARK = "graph_task"
_THREAD_MARK = "graph_thread"
_NODE_MARK = "graph_node"
_SOURCE_MARK = "graph_message"
_LONGEST = 512  # characters of a value of metadata
_RUNS_LOOKED_AT = 5  # one task may ask its assistant several times

_ANSWERED = ("completed", "requires_action")
_WITHOUT_ANSWER = ("failed", "cancelled", "expired", "incomplete")


async def known_run_or_order(
    wire: Wire, thread_id: str, order: RunOrder
) -> Run | RunOrder:
    """Return the run that the order's task has started before, or what is to be done.

    Raises:
        InvalidRequestError: The graph went back to an older state: over the wire no
            thread can be forked.
    """
    task = order.task
    if task is not None and (runs := await _newest_runs(wire, thread_id)):
        newest = runs[0]
        for run in runs:
            if _is_of(run, task):
                return run
        _check_not_behind(newest, order)
        if _is_left(newest, task):
            order = order._replace(left={**order.left, thread_id: newest.id})
    return await _untaken(wire, thread_id, order) if order.source_ids else order


def marked(order: RunOrder) -> RunOrder:
    """Return the order with marks of its task and of its messages' origin."""
    messages = list(order.messages)
    for place, source_id in enumerate(order.source_ids):
        if 0 < len(source_id) <= _LONGEST:
            own = messages[place].get("metadata") or {}
            metadata = {**own, _SOURCE_MARK: source_id}
            messages[place] = {**messages[place], "metadata": metadata}
    if order.task is None:
        return order._replace(messages=messages)
    given = {
        TASK_MARK: order.task.id,
        _THREAD_MARK: order.task.thread,
        _NODE_MARK: order.task.node,
    }
    marks = {name: value for name, value in given.items() if value}
    metadata = {**(order.body.get("metadata") or {}), **marks}
    body = {**order.body, "metadata": metadata}
    return order._replace(messages=messages, body=body)


async def with_tools(wire: Wire, order: RunOrder) -> RunOrder:
    """Return the order with the tools that it brings besides the assistant's.

    A run's tools replace those of its assistant, so these are read.
    """
    assistant = await wire.get(f"/assistants/{order.body['assistant_id']}")
    stored = [_without_nulls(tool) for tool in assistant.get("tools") or ()]
    names = {tool.get("function", {}).get("name") for tool in stored}
    new = [tool for tool in order.tools if tool["function"]["name"] not in names]
    if not new:
        return order
    return order._replace(body={**order.body, "tools": [*stored, *new]})


async def _newest_runs(wire: Wire, thread_id: str) -> list[Run]:
    """Return the newest runs of a thread, the newest first."""
    query = {"order": "desc", "limit": _RUNS_LOOKED_AT}
    page = await wire.get(f"/threads/{thread_id}/runs", query)
    return [read_object(Run, item) for item in page.get("data") or ()]


def _is_of(run: Run, task: GraphTask) -> bool:
    """Tell whether a task that is executed again has started the run before."""
    known = (run.metadata or {}).get(TASK_MARK) == task.id
    return known and run.status not in _WITHOUT_ANSWER


def _is_left(run: Run, task: GraphTask) -> bool:
    """Tell whether the run waits for the task's graph, which knows nothing of it."""
    marks = run.metadata or {}
    row = {name: marks.get(name) for name in (TASK_MARK, _THREAD_MARK, _NODE_MARK)}
    return run.status == "requires_action" and task.has_left(row)


def _check_not_behind(newest: Run, order: RunOrder) -> None:
    """Refuse an order of a state that the thread has gone on from."""
    task, marks = order.task, newest.metadata or {}
    went_on = (
        task is not None
        and task.thread is not None
        and (marks.get(_THREAD_MARK), marks.get(_NODE_MARK)) == (task.thread, task.node)
        and newest.status in _ANSWERED
        and task.continues not in (None, newest.id)
    )
    if went_on or order.outputs is not None:
        raise InvalidRequestError(
            f"The graph went back behind {newest.id}, but {newest.thread_id} has gone "
            "on since, and over the wire a thread cannot be forked. Begin another "
            "thread, or give the graph an engine.",
            code="invalid_value",
            param="thread_id",
        )


async def _untaken(wire: Wire, thread_id: str, order: RunOrder) -> RunOrder:
    """Return the order without the messages that the thread has taken before.

    The newest 100 tell: what stands before the oldest that is known there counts as
    taken, for the thread is longer than that.
    """
    page = await wire.get(
        f"/threads/{thread_id}/messages", {"order": "desc", "limit": 100}
    )
    items: Sequence[Mapping[str, Any]] = page.get("data") or []
    taken = {item["id"] for item in items}
    taken |= {(item.get("metadata") or {}).get(_SOURCE_MARK) for item in items}
    places = [n for n, source in enumerate(order.source_ids) if source in taken]
    begin = places[0] if places and page.get("has_more") else 0
    new = [
        place
        for place, source in enumerate(order.source_ids)
        if place >= begin and source not in taken
    ]
    return order._replace(
        messages=[order.messages[place] for place in new],
        source_ids=[order.source_ids[place] for place in new],
    )


def _without_nulls(tool: Mapping[str, Any]) -> dict[str, Any]:
    plain = dict(tool)
    if isinstance(function := tool.get("function"), Mapping):
        plain["function"] = {k: v for k, v in function.items() if v is not None}
    return plain
