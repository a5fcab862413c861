"""The heartbeat: renews leases, hears of cancels elsewhere, sweeps up after the dead.

It has a thread and a loop of its own, so that a blocked loop loses no lease.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from langchain_assistants.engine.expiry import sweep_expired
from langchain_assistants.engine.ingester import Ingester
from langchain_assistants.engine.ownership import Lease, Ownership
from langchain_assistants.engine.retention import Retention
from langchain_assistants.engine.sweep import (
    Suspects,
    apply,
    give_back,
    late_runs,
    missing_tools,
    owned,
    renew,
)
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.errors import StorageError
from langchain_assistants.storage.database import Row, Transaction, each

logger = logging.getLogger(__name__)

# A cancel from another process is heard within the first of these.
_BEAT_SECONDS = 0.5
_BEATS_A_LEASE = 4


class Worker(Protocol):
    """What the heartbeat tells the process it beats for."""

    def heard_cancel(self, run_id: str, lease: Lease) -> None:
        """Somebody elsewhere has asked for a run to be cancelled."""
        ...

    def lost(self, run_id: str, lease: Lease) -> None:
        """A run is no longer this process's."""
        ...

    def swept(self, row: Row) -> None:
        """A run was ended or given back for want of a living worker."""
        ...

    def take_over(self, row: Row) -> None:
        """A queued run is this process's from now on."""
        ...


class Heartbeat:
    """Beats for one engine until it is stopped, or the engine is forgotten.

    Args:
        workplace: Its database, clock and settings.
        ownership: The runs to keep alive.
        worker: Who is told; held weakly.
        ingester: Indexes files; held weakly.
        recover: Whether to take over the runs and files of processes that died.
        tools: The names of the tools that can be executed here.
    """

    def __init__(
        self,
        workplace: Workplace,
        ownership: Ownership,
        worker: Worker,
        *,
        ingester: Ingester,
        recover: bool,
        tools: frozenset[str],
    ) -> None:
        """Prepare; the thread begins with `start`."""
        lease = workplace.settings.lease
        self._workplace = workplace
        self._ownership = ownership
        self._worker = weakref.ref(worker)
        self._ingester = weakref.ref(ingester)
        self._recover = recover
        self._tools = tools
        self._beat_seconds = min(_BEAT_SECONDS, lease / _BEATS_A_LEASE)
        self._suspects = Suspects(2 * self._beat_seconds, recover, lease)
        ttl = workplace.settings.thread_ttl
        self._retention = None if ttl is None else Retention(workplace.database, ttl)
        self._warned: set[str] = set()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to beat."""
        # A daemon: an engine that nobody closed must not keep its process alive.
        self._thread = threading.Thread(
            target=_serve,
            args=(weakref.ref(self), self._stopped, self._beat_seconds),
            name="langchain-assistants-heartbeat",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread and give queued runs back: others may execute them now."""
        self._stopped.set()
        if self._thread not in (None, threading.current_thread()):
            assert self._thread is not None
            self._thread.join()

    async def beat(self) -> None:
        """Renew the leases of the runs that this process answers for."""
        leases = self._ownership.snapshot()
        if not leases:
            return
        begun, database = time.monotonic(), self._workplace.database
        name, until = self._ownership.worker, self._ownership.claim().lease_until
        rows = await database.read(owned(leases, name))
        # A clock that has jumped makes a lease look over, or last for far too long.
        due = any(lease.is_due for lease in leases.values()) or any(
            abs(row["lease_until"] - until) > self._ownership.seconds / 2
            for row in rows
        )
        if due:
            rows = await database.write(renew(leases, name, until))
        kept = {row["id"]: row for row in rows}
        worker = self._worker()
        for run_id, lease in leases.items():
            row = kept.get(run_id)
            if row is not None and lease.attempt in (0, row["attempt"]):
                if due:
                    lease.renewed_at = begun
                if row["status"] == "cancelling" and worker is not None:
                    worker.heard_cancel(run_id, lease)
            elif worker is not None:
                worker.lost(run_id, lease)

    async def give_back(self) -> None:
        """Let go of the runs that nobody has begun to execute here."""
        database, now = self._workplace.database, self._workplace.clock()
        if leases := self._ownership.snapshot():
            await database.write(give_back(leases, self._ownership.worker, now))

    async def sweep(self) -> None:
        """Take care of runs that are late and nobody's, idle threads, old files.

        Raises:
            StorageError: The file is, or was, locked: nobody is suspected any more.
        """
        try:
            await self._sweep()
        except StorageError:
            self._suspects.forget()
            raise

    async def _sweep(self) -> None:
        database, now = self._workplace.database, self._workplace.clock()
        late = await database.read(late_runs(now))
        if self._suspects.are_new(late):
            # The file may have been locked: now everybody can renew again.
            await database.write(each(()))
        own = self._ownership.snapshot()
        worker = self._worker()
        for row, remedy in self._suspects.remedies(late, own, now):
            if remedy in ("release", "take") and self._cannot_execute(row):
                if remedy == "take":
                    continue
                remedy = "queue"
            work = apply(row, remedy, self._ownership.claim(), now)
            changed = await database.write(self._at_once(work))
            if changed is None or worker is None:
                continue
            if remedy in ("release", "take"):
                logger.info("run_taken_over", extra={"run_id": row["id"]})
                worker.take_over(changed)
            elif remedy != "queue":
                worker.swept(changed)
        if self._retention is not None:
            await self._retention.sweep(now)
        await sweep_expired(self._workplace, now)
        if (ingester := self._ingester()) is not None:
            ingester.tidy_up()
            if self._recover:
                await ingester.recover()

    def _at_once(self, work: Transaction[Row | None]) -> Transaction[Row | None]:
        """Return a transaction that refuses to do the work after a long wait.

        While somebody else has locked the file the living cannot renew their leases:
        whoever is first when it is free again must not take them for dead.
        """
        asked = time.monotonic()

        def checked() -> Transaction[Row | None]:
            waited = time.monotonic() - asked
            if waited > 2 * self._beat_seconds:
                work.close()
                raise StorageError(f"The database was locked for {waited:.1f} s.")
            return (yield from work)

        return checked()

    def _cannot_execute(self, row: Row) -> bool:
        missing = missing_tools(row, self._tools)
        if missing and row["id"] not in self._warned:
            self._warned.add(row["id"])
            logger.warning(
                "run_waits_for_tools: %s needs %s; open an engine with tools=",
                row["id"],
                ", ".join(missing),
                extra={"run_id": row["id"], "tools": missing},
            )
        return bool(missing)


def _serve(
    heartbeat: weakref.ref[Heartbeat], stopped: threading.Event, seconds: float
) -> None:
    """Beat and sweep on a loop of this thread."""
    with asyncio.Runner() as runner:
        while not stopped.wait(seconds):
            living = heartbeat()
            if living is None:
                return
            runner.run(_quietly(living.beat))
            runner.run(_quietly(living.sweep))
            del living
        if (living := heartbeat()) is not None:
            runner.run(_quietly(living.give_back))


async def _quietly(work: Callable[[], object]) -> None:
    """Do it; a database that is locked or full now may be well at the next beat."""
    try:
        await work()  # type: ignore[misc]
    except StorageError as error:
        logger.warning("heartbeat_failed", extra={"error": type(error).__name__})
    except Exception as error:  # the beat must go on
        logger.error("heartbeat_failed", extra={"error": type(error).__name__})
        logger.debug("heartbeat_failed_by", exc_info=error)
