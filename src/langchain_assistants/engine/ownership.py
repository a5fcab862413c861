"""The runs that this process answers for, and how long their leases surely last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from langchain_assistants.engine.run_rows import Claim
from langchain_assistants.storage.database import Row


@dataclass(slots=True)
class Lease:
    """The right of this process to execute one attempt of a run.

    Attributes:
        attempt: The attempt; 0 while the run is queued.
        seconds: How long the lease lasts without a sign of life.
        renewed_at: When it was surely in force, by a clock that never jumps.
    """

    attempt: int
    seconds: float
    renewed_at: float

    @property
    def in_force(self) -> bool:
        """Whether nobody else can have taken the run over yet.

        A tenth of the lease is kept back for what is decided now and done later.
        """
        return self._age < 0.9 * self.seconds

    @property
    def is_due(self) -> bool:
        """Whether it is time to renew it."""
        return self._age > self.seconds / 3

    @property
    def _age(self) -> float:
        return time.monotonic() - self.renewed_at


@dataclass(slots=True)
class Ownership:
    """What the heartbeat keeps alive, by run id.

    Attributes:
        worker: The name of this process on the rows.
        seconds: The length of a lease.
        clock: The engine's.
    """

    worker: str
    seconds: float
    clock: Callable[[], float]
    _leases: dict[str, Lease] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self) -> Claim:
        """Return what a row says of a run that is this process's from now on."""
        return Claim(self.worker, self.clock() + self.seconds)

    def take(self, row: Row, attempt: int = 0) -> Lease:
        """Answer for a run from now on: it has just been created or claimed here.

        Args:
            row: The run; its lease has been running since before it was committed.
            attempt: The one that is executed now; 0: it is queued.
        """
        age = max(0.0, self.seconds - (row["lease_until"] - self.clock()))
        lease = Lease(attempt, self.seconds, time.monotonic() - age)
        with self._lock:
            self._leases[row["id"]] = lease
        return lease

    def drop(self, run_id: str, lease: Lease | None = None) -> None:
        """Answer for a run no longer.

        Args:
            run_id: The run.
            lease: Only if this is still the newest: its next attempt may have begun.
        """
        with self._lock:
            if lease is None or self._leases.get(run_id) is lease:
                self._leases.pop(run_id, None)

    def drop_queued(self, run_id: str) -> None:
        """Answer no longer for a run that was queued, unless it executes here now."""
        with self._lock:
            lease = self._leases.get(run_id)
            if lease is not None and lease.attempt == 0:
                del self._leases[run_id]

    def snapshot(self) -> dict[str, Lease]:
        """Return the leases as they are now."""
        with self._lock:
            return dict(self._leases)

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._leases
