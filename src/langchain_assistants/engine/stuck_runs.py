"""Runs that hold their thread although nobody takes care of them any more.

An engine that is open sweeps them by itself (`sweep`); these are what is left where no
engine is, or where none may take them over.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import exists, not_, or_, select

from langchain_assistants.engine.run_changes import admit_waiting, expire_run
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    from_json,
    param,
)
from langchain_assistants.storage.tables import ACTIVE, WAITING
from langchain_assistants.storage.tables import runs as table

_is_left = or_(table.c.lease_until.is_(None), table.c.lease_until <= param("before"))
_ACTIVE_LEFT = Statement(select(table).where(ACTIVE, _is_left).order_by(table.c.seq))
_holder = table.alias("holder")
_is_held = exists().where(
    _holder.c.thread_id == table.c.thread_id,
    _holder.c.head == 1,
    _holder.c.ended_at.is_(None),
)
_NEXT_IN_VAIN = Statement(
    select(table).where(WAITING, not_(_is_held)).order_by(table.c.seq)
)


@dataclass(slots=True)
class StuckRuns:
    """Runs that nobody takes care of.

    Attributes:
        over: Their lease and their deadline are over: they can only be ended.
        abandoned: Their lease is over, not their deadline: an engine may go on.
        in_vain: They wait for a thread that no run holds.
    """

    over: list[Row] = field(default_factory=list)
    abandoned: list[Row] = field(default_factory=list)
    in_vain: list[Row] = field(default_factory=list)


def stuck_runs(now: float, tolerance: float) -> Transaction[StuckRuns]:
    """Return the runs that nobody takes care of.

    Args:
        now: The time.
        tolerance: How many seconds late they may be before they count.
    """
    found, before = StuckRuns(), now - tolerance
    for row in (yield _ACTIVE_LEFT(before=before)):
        if row["expires_at"] <= before:
            found.over.append(row)
        elif row["lease_until"] is not None:
            found.abandoned.append(row)
    found.in_vain = yield _NEXT_IN_VAIN()
    return found


def end_stuck_runs(now: float, tolerance: float) -> Transaction[int]:
    """End the runs whose time is over, and admit those that wait in vain."""
    found = yield from stuck_runs(now, tolerance)
    for row in found.over:
        yield from expire_run(row, now)
    for thread_id in {row["thread_id"] for row in found.in_vain}:
        yield from admit_waiting(thread_id, now)
    return len(found.over) + len(found.in_vain)


def tools_needed(rows: list[Row]) -> list[str]:
    """Return the names of the tools that an engine must have to go on with runs."""
    return sorted(
        {tool for row in rows for tool in from_json(row["required_tools"]) or ()}
    )
