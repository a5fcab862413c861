"""What a process does about runs that nobody takes care of: the transactions of it.

Any process sweeps, any number at once: each change checks the row again. Who is late
by the clock is only suspected at first, for clocks jump and processes freeze together.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from sqlalchemy import and_, select, text, update

from langchain_assistants.engine.ownership import Lease
from langchain_assistants.engine.run_changes import (
    Ending,
    end_run,
    expire_run,
    hand_over,
    release_run,
)
from langchain_assistants.engine.run_rows import Claim, run_row
from langchain_assistants.engine.transitions import Trigger, is_terminal
from langchain_assistants.errors import NotFoundError
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    from_json,
    param,
    to_json,
)
from langchain_assistants.storage.functions import strings_of
from langchain_assistants.storage.tables import ACTIVE, WAITING
from langchain_assistants.storage.tables import runs as table

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""How often a run is executed before it counts as what kills its workers."""

Remedy: TypeAlias = Literal["expire", "cancel", "release", "queue", "fail", "take"]
"""What a late run needs: an end, a new worker, or (`queue`) one that has its tools."""

_LATE = (table.c.expires_at <= param("now")) | (table.c.lease_until <= param("now"))
_LATE_ACTIVE = Statement(select(table).where(ACTIVE, _LATE))
_LATE_WAITING = Statement(select(table).where(WAITING, _LATE))
_asked = strings_of(param("ids")).table_valued("value")
_is_owned = and_(
    table.c.id.in_(select(_asked.c.value)),
    table.c.worker == param("worker"),
    text("status IN ('queued', 'in_progress', 'cancelling')"),
)
_seen = (table.c.id, table.c.status, table.c.attempt, table.c.lease_until)
_OWNED = Statement(select(*_seen).where(_is_owned))
_GIVE_BACK = Statement(
    update(table)
    .where(_is_owned, text("status = 'queued'"))
    .values(lease_until=param("now"))
)
_RENEW = Statement(
    update(table)
    .where(_is_owned)
    .values(lease_until=param("lease_until"))
    .returning(*_seen)
)


def renew(
    ids: Iterable[str], worker: str, lease_until: float
) -> Transaction[list[Row]]:
    """Renew the leases of these runs; return those that are still the worker's.

    By an explicit list: a run that was claimed since the list was made is not lost
    because it is missing in the answer.
    """
    return (
        yield _RENEW(ids=to_json(list(ids)), worker=worker, lease_until=lease_until)
    )


def give_back(ids: Iterable[str], worker: str, now: float) -> Transaction[None]:
    """End the worker's leases of those of these runs that are queued."""
    yield _GIVE_BACK(ids=to_json(list(ids)), worker=worker, now=now)


def owned(ids: Iterable[str], worker: str) -> Transaction[list[Row]]:
    """Return those of these runs that are still the worker's."""
    return (yield _OWNED(ids=to_json(list(ids)), worker=worker))


def late_runs(now: float) -> Transaction[list[Row]]:
    """Return the runs whose deadline or lease is over."""
    active = yield _LATE_ACTIVE(now=now)
    return active + (yield _LATE_WAITING(now=now))


class _Seen(NamedTuple):
    """How a late run looked when it was first noticed."""

    attempt: int
    status: str
    lease_until: float | None
    at: float


@dataclass(slots=True)
class Suspects:
    """Remembers which runs were late before, and decides what is to be done.

    Attributes:
        patience: Seconds that a living worker gets to renew a lease that is over.
        recover: Whether this process executes the runs of others.
        lease: Length of a lease.
    """

    patience: float
    recover: bool
    lease: float
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def remedies(
        self, late: list[Row], own: dict[str, Lease], now: float
    ) -> list[tuple[Row, Remedy]]:
        """Return what is to be done about the late runs that are not our own."""
        seen: dict[str, _Seen] = {}
        decided: list[tuple[Row, Remedy]] = []
        for row in late:
            if row["id"] in own:
                continue
            look = _Seen(
                row["attempt"], row["status"], row["lease_until"], time.monotonic()
            )
            before = self._seen.get(row["id"])
            same = before is not None and before[:3] == look[:3]
            first = before if same and before is not None else look
            seen[row["id"]] = first
            waited = look.at - first.at
            remedy = self._remedy(row, now, waited)
            if remedy is not None:
                decided.append((row, remedy))
        self._seen = seen
        return decided

    def are_new(self, late: list[Row]) -> bool:
        """Tell whether some of these runs were not late before."""
        return any(row["id"] not in self._seen for row in late)

    def forget(self) -> None:
        """Suspect nobody: give everyone time for a sign of life again."""
        self._seen = {}

    def _remedy(self, row: Row, now: float, waited: float) -> Remedy | None:
        expired = row["expires_at"] <= now
        # Nobody holds a lease on a run that waits for its caller.
        if row["lease_until"] is None:
            return "expire" if expired else None
        tried_often = row["attempt"] >= MAX_ATTEMPTS
        # Its workers gave it back (a full disk): no death, but no hurry either.
        given_back = tried_often and row["status"] == "queued"
        if waited < (self.lease if given_back else self.patience):
            return None
        if row["lease_until"] > now:  # its worker should have ended it: it is hung
            return "expire" if now - row["expires_at"] > self.lease else None
        if row["status"] == "cancelling":
            return "cancel"
        if expired:
            return "expire"
        if tried_often and not given_back:
            return "fail"
        if not self.recover:
            # Those who would execute it come first.
            return "fail" if now - row["lease_until"] > self.lease else None
        return "release" if row["status"] == "in_progress" else "take"


def apply(row: Row, remedy: Remedy, heir: Claim, now: float) -> Transaction[Row | None]:
    """Do what was decided about a run, if it is still as it was; return it then.

    Args:
        row: The run as it was seen.
        remedy: What was decided.
        heir: Whose a run is from now on that goes on.
        now: The time.
    """
    try:
        current = yield from run_row(row["id"], row["tenant"])
    except NotFoundError:  # its thread was deleted meanwhile
        return None
    same = all(
        current[name] == row[name] for name in ("attempt", "status", "lease_until")
    )
    if not same or is_terminal(current["status"]):
        return None
    if remedy == "expire":
        return (yield from expire_run(current, now))
    if remedy == "cancel":
        return (yield from end_run(current, Ending(Trigger.CANCEL), now))
    if remedy == "release":
        return (yield from release_run(row["id"], row["attempt"], now, heir))
    if remedy == "queue":
        return (yield from release_run(row["id"], row["attempt"], now))
    if remedy == "take":
        return (yield from hand_over(row["id"], heir))
    message = (
        f"The process that executed the run died {current['attempt']} times."
        if current["attempt"] >= MAX_ATTEMPTS
        else "The process that executed the run died."
    )
    error = {"code": "server_error", "message": message}
    return (yield from end_run(current, Ending(Trigger.FAIL, error), now))


def missing_tools(row: Row, names: frozenset[str]) -> list[str]:
    """Return the tools that a run needs and this process has not got."""
    required = from_json(row["required_tools"]) or []
    return sorted(set(required) - names)
