"""Takes runs through their life: created, queued, executed, resumed, cancelled.

The two ways to execute meet here: in the background (the dispatcher's), and in the
context of a caller who waits (the runnable's, whose traces reach model and tools).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig

from langchain_assistants.engine.bells import Bells
from langchain_assistants.engine.cancellation import insist, outlast
from langchain_assistants.engine.dispatch import InProcessDispatcher
from langchain_assistants.engine.events import EventLog
from langchain_assistants.engine.executor import Execution, Executor
from langchain_assistants.engine.listeners import Listeners
from langchain_assistants.engine.message_rows import new_messages, written_messages
from langchain_assistants.engine.ownership import Lease, Ownership
from langchain_assistants.engine.recent_logs import RecentLogs
from langchain_assistants.engine.run_changes import (
    TakenOver,
    claim_run,
    expire_run,
    request_cancel,
)
from langchain_assistants.engine.run_creation import (
    CreatedRun,
    RunCreation,
    RunRequest,
)
from langchain_assistants.engine.run_rows import (
    PREFIX,
    run_row,
    run_row_of_any_tenant,
    to_run,
)
from langchain_assistants.engine.step_rows import steps_of
from langchain_assistants.engine.submission import Submission, finish, submit
from langchain_assistants.engine.threads import to_thread
from langchain_assistants.engine.toolset import Implementations
from langchain_assistants.engine.transitions import is_terminal
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.errors import (
    InvalidRequestError,
    NotFoundError,
    StorageError,
)
from langchain_assistants.storage.database import Row, Transaction
from langchain_assistants.types.events import StreamError

logger = logging.getLogger(__name__)

# How often a waiting run or caller looks at the database: other processes ring no bell.
_LOOK_SECONDS = 0.5
_STORAGE_RETRIES = (0.1, 0.5, 2.0)


@dataclass(slots=True, weakref_slot=True)
class Conductor:
    """Leads the runs of one engine."""

    workplace: Workplace
    executor: Executor
    dispatcher: InProcessDispatcher
    ownership: Ownership
    bells: Bells = field(default_factory=Bells)
    recent_logs: RecentLogs = field(default_factory=RecentLogs)
    _listeners: Listeners = field(default_factory=Listeners)

    def __post_init__(self) -> None:
        """Let the dispatcher deliver here."""
        self.dispatcher.serve(self._deliver)

    # In the background.

    async def start(self, request: RunRequest, *, log: EventLog | None = None) -> Row:
        """Create a run and let it execute in the background."""
        with self.dispatcher.reserved() as reserved:
            created = await self._create(request, log, claimed=reserved)
        self._set_off(created.row, log, reserved=reserved)
        return created.row

    async def submit(
        self,
        run_id: str,
        tenant: str,
        outputs: Sequence[Mapping[str, Any]],
        *,
        log: EventLog | None = None,
    ) -> Row:
        """Submit tool outputs and let the run go on in the background."""
        await self.look(run_id, tenant)
        with self.dispatcher.reserved() as reserved:
            row = (
                await self._submit(run_id, tenant, outputs, log, claimed=reserved)
            ).row
        self._set_off(row, log, reserved=reserved)
        return row

    def _set_off(self, row: Row, log: EventLog | None, *, reserved: bool) -> None:
        """Execute a run in its slot, or as soon as there is one and it may begin."""
        self.recent_logs.add(row["id"], log)
        if row["status"] == "in_progress":
            tools = self.executor.tools_for(row)
            self.dispatcher.start(lambda: self._execute_in_background(row, log, tools))
            return
        if reserved:
            self.dispatcher.release()
        if log is not None:
            self._listeners.add(row["id"], log)
        self.take_over(row)

    async def _deliver(self, run_id: str) -> None:
        now = self.workplace.clock()

        def claim() -> Transaction[Row | None]:
            try:
                tenant = (yield from run_row_of_any_tenant(run_id))["tenant"]
            except NotFoundError:  # its thread was deleted after it had expired
                return None
            return (yield from claim_run(run_id, tenant, self.ownership.claim(), now))

        row = None
        try:
            row = await self.workplace.database.write(claim())
        finally:
            log = self._listeners.take(run_id)
            if row is None:
                self.ownership.drop_queued(run_id)
                if log is not None:
                    log.end()
        if row is not None:
            tools = self.executor.tools_for(row)
            await self._execute_in_background(row, log, tools)

    async def _execute_in_background(
        self, row: Row, log: EventLog | None, tools: Implementations | None = None
    ) -> None:
        try:
            await self._execute(row, log=log, tools=tools)
        except TakenOver:
            logger.info("run_left_to_its_new_worker", extra={"run_id": row["id"]})
        except Exception as error:
            logger.error(
                "run_crashed",
                extra={"run_id": row["id"], "error": type(error).__name__},
            )
            logger.debug("run_crashed_by", exc_info=error)
            if log is not None:
                log.emit("error", StreamError(message=str(error)))
        finally:
            if log is not None:
                log.end()

    async def _wake_in_turn(self, row: Row) -> None:
        try:
            turn = await self._turn(row, claim=False)
        except BaseException:
            self.ownership.drop(row["id"])  # so that a sweep finds it
            raise
        if is_terminal(turn["status"]):
            self.ownership.drop(row["id"])
            self._listeners.tell_end(turn)
        else:
            self.dispatcher.wake(row["id"])

    # In a caller's context.

    async def run(
        self,
        request: RunRequest,
        *,
        log: EventLog | None = None,
        config: RunnableConfig | None = None,
        tools: Implementations | None = None,
    ) -> Execution:
        """Create a run and execute it here; returns at its stop.

        When the caller is cancelled, so is the run.
        """
        names = frozenset() if tools is None else tools.names
        created = await self._create(request, log, claimed=True, own_tools=names)
        row = created.row
        if created.known and (stopped := await self._stopped(row)) is not None:
            return stopped
        if row["status"] != "in_progress":
            waiting = row
            self.ownership.take(waiting)
            try:
                row = await self._turn(waiting, claim=True)
            except BaseException:
                await outlast(self._cancel_for_good(waiting))
                self.ownership.drop(waiting["id"])
                raise
            if row["status"] != "in_progress":
                self.ownership.drop(waiting["id"])
                return Execution(to_run(row), [])
        return await self._executed(row, log=log, config=config, tools=tools)

    async def resume(
        self,
        run_id: str,
        tenant: str,
        outputs: Sequence[Mapping[str, Any]],
        *,
        log: EventLog | None = None,
        config: RunnableConfig | None = None,
        tools: Implementations | None = None,
        task: str | None = None,
    ) -> Execution:
        """Submit outputs for a run one has looked at; execute it to its next stop."""
        submission = await self._submit(
            run_id, tenant, outputs, log, claimed=True, task=task
        )
        row = submission.row
        return await self._executed(row, log=log, config=config, tools=tools)

    async def finish(
        self,
        run_id: str,
        tenant: str,
        outputs: Sequence[Mapping[str, Any]],
        *,
        task: str | None = None,
    ) -> Execution:
        """Complete a run with its outputs; the model is not asked again.

        For a graph that goes elsewhere after the tools: a hand-over, a direct return.
        One has looked at the run before.
        """
        now = self.workplace.clock()
        row = await self.workplace.database.write(
            finish(run_id, tenant, outputs, self.ownership.claim(), now, task)
        )
        self.bells.ring(run_id, row["thread_id"])
        return Execution(to_run(row), [])

    def close(self) -> None:
        """End the streams of runs that nobody will execute any more."""
        self._listeners.close()

    # Reading and stopping.

    async def look(self, run_id: str, tenant: str) -> Row:
        """Return a run's row, after expiring it if its time is over."""
        now = self.workplace.clock()
        row = await self.workplace.database.read(run_row(run_id, tenant))
        if is_terminal(row["status"]) or row["expires_at"] > now:
            return row
        if self.executor.stop(run_id, "expired"):
            return row  # its own task ends it, with what it has written

        def expire() -> Transaction[Row]:
            current = yield from run_row(run_id, tenant)
            if is_terminal(current["status"]) or current["expires_at"] > now:
                return current
            return (yield from expire_run(current, now))

        row = await self.workplace.database.write(expire())
        if is_terminal(row["status"]):
            self._listeners.tell_end(row)
        self.bells.ring(run_id, row["thread_id"])
        return row

    async def cancel(self, run_id: str, tenant: str) -> Row:
        """Cancel a run.

        Raises:
            InvalidRequestError: It has ended, or is being cancelled already.
        """
        await self.look(run_id, tenant)
        now = self.workplace.clock()

        def ask() -> Transaction[Row]:
            row = yield from run_row(run_id, tenant)
            return (yield from request_cancel(row, now))

        row = await self.workplace.database.write(ask())
        if row["status"] == "cancelling":
            self.executor.stop(run_id, "cancelled")
        else:
            self._listeners.tell_end(row)
        self.bells.ring(run_id, row["thread_id"])
        return row

    async def settled(self, run_id: str, tenant: str, timeout: float | None) -> Row:
        """Wait until a run requires action or has ended.

        Raises:
            TimeoutError: It did neither in time.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            with self.bells.listening(run_id) as bell:
                row = await self.look(run_id, tenant)
                if row["status"] == "requires_action" or is_terminal(row["status"]):
                    return row
                left = _LOOK_SECONDS if deadline is None else deadline - loop.time()
                if left <= 0:
                    raise TimeoutError(
                        f"Run {run_id} is still {row['status']} after {timeout} s; it "
                        "goes on. Wait again, or cancel it."
                    )
                await asyncio.wait({bell}, timeout=min(left, _LOOK_SECONDS))

    # What the heartbeat tells, from its own thread.

    def heard_cancel(self, run_id: str, lease: Lease) -> None:
        """Stop a run that was cancelled in another process."""
        if not self.executor.stop(run_id, "cancelled", lease):
            self.bells.ring(run_id)

    def lost(self, run_id: str, lease: Lease) -> None:
        """Stop a run that another worker has, or that has ended elsewhere."""
        if not self.executor.stop(run_id, "lost", lease):
            self.ownership.drop(run_id, lease)
            self.bells.ring(run_id)

    def swept(self, row: Row) -> None:
        """Tell who listens to a run that the sweep has ended."""
        self._listeners.tell_end(row)
        self.bells.ring(row["id"], row["thread_id"])

    def take_over(self, row: Row) -> None:
        """Execute a queued run as soon as it holds its thread and there is room."""
        self.ownership.take(row)
        if row["head"]:
            self.dispatcher.wake(row["id"])
        else:
            self.workplace.portal.start(lambda: self._wake_in_turn(row))

    # Parts.

    async def _create(
        self,
        request: RunRequest,
        log: EventLog | None,
        *,
        claimed: bool,
        own_tools: frozenset[str] = frozenset(),
    ) -> CreatedRun:
        bodies = [*request.messages, *(request.body.get("additional_messages") or ())]
        messages = new_messages(bodies, self.workplace.new_id)
        for place, source_id in enumerate(request.source_ids):
            messages[place] = messages[place]._replace(source_id=source_id)
        creation = RunCreation(
            request,
            self.workplace.settings,
            self.workplace.new_id(PREFIX),
            self.workplace.new_id,
            messages,
            self.ownership.claim(),
            claimed,
            own_tools,
            self.executor.running,
            self.workplace.clock(),
        )
        created = await self.workplace.database.write(creation.transaction())
        if creation.has_files:
            self.workplace.attached.ring()
        if created.stopped is not None:
            self.executor.stop(created.stopped, "cancelled")
            self.bells.ring(created.stopped)
        if log is not None and not created.known:
            log.begin(max(1, created.row["attempt"]))
            if created.thread is not None:
                log.emit("thread.created", to_thread(created.thread))
            run = to_run(created.row, status="queued")
            log.emit("thread.run.created", run)
            log.emit("thread.run.queued", run)
        return created

    async def _stopped(self, row: Row) -> Execution | None:
        """Return what a run that has stopped already wrote; None if it goes on."""
        if row["status"] != "requires_action" and not is_terminal(row["status"]):
            return None

        def read() -> Transaction[Execution]:
            messages = yield from written_messages(row)
            steps = yield from steps_of(row["id"])
            waits = row["status"] == "requires_action"
            step_id = steps[-1]["id"] if steps and waits else None
            return Execution(to_run(row), messages, step_id)

        return await self.workplace.database.read(read())

    async def _submit(
        self,
        run_id: str,
        tenant: str,
        outputs: Sequence[Mapping[str, Any]],
        log: EventLog | None,
        *,
        claimed: bool,
        task: str | None = None,
    ) -> Submission:
        now = self.workplace.clock()
        claim = self.ownership.claim()
        submission = await self.workplace.database.write(
            submit(run_id, tenant, outputs, claim, now, task, claimed=claimed)
        )
        if log is not None:
            log.begin(submission.row["attempt"] + (not claimed))
            if submission.step is not None:
                log.emit("thread.run.step.completed", submission.step)
            log.emit("thread.run.queued", to_run(submission.row, status="queued"))
        return submission

    async def _turn(self, row: Row, *, claim: bool) -> Row:
        """Wait until a waiting run holds its thread, or has ended waiting."""
        run_id, tenant, thread_id = row["id"], row["tenant"], row["thread_id"]
        while True:
            with self.bells.listening(thread_id) as bell:
                current = await self.look(run_id, tenant)
                if current["head"] and current["status"] == "queued":
                    if not claim:
                        return current
                    now = self.workplace.clock()
                    claimed = await self.workplace.database.write(
                        claim_run(run_id, tenant, self.ownership.claim(), now)
                    )
                    if claimed is not None:
                        return claimed
                elif is_terminal(current["status"]):
                    return current
                await asyncio.wait({bell}, timeout=_LOOK_SECONDS)

    async def _cancel_for_good(self, row: Row) -> None:
        """Cancel a run whose caller has gone, wherever it is by now."""
        with contextlib.suppress(InvalidRequestError):  # it has ended
            await insist(lambda: self.cancel(row["id"], row["tenant"]))

    async def _executed(
        self,
        row: Row,
        *,
        log: EventLog | None,
        config: RunnableConfig | None,
        tools: Implementations | None,
    ) -> Execution:
        """Execute a claimed run for a caller, who gets its outcome wherever it ends."""
        try:
            try:
                return await self._execute(row, log=log, config=config, tools=tools)
            except TakenOver:
                ended = await self.settled(row["id"], row["tenant"], None)
                outcome = await self._stopped(ended)
                assert outcome is not None, "a settled run has stopped"
                return outcome
        except asyncio.CancelledError:
            await outlast(self._cancel_for_good(row))
            raise

    async def _execute(
        self,
        row: Row,
        *,
        log: EventLog | None = None,
        config: RunnableConfig | None = None,
        tools: Implementations | None = None,
    ) -> Execution:
        """Execute a claimed run; after a database error claim and try it again."""
        lease = self.ownership.take(row, row["attempt"])
        try:
            for delay in _STORAGE_RETRIES:
                try:
                    return await self.executor.execute(
                        row, lease, log=log, config=config, tools=tools
                    )
                except TakenOver:
                    raise
                except StorageError:
                    logger.warning("run_requeued", extra={"run_id": row["id"]})
                    await asyncio.sleep(delay)
                    now, claim = self.workplace.clock(), self.ownership.claim()
                    again = await self.workplace.database.write(
                        claim_run(row["id"], row["tenant"], claim, now)
                    )
                    if again is None:
                        raise TakenOver(row["id"]) from None
                    row = again
                    if log is not None:
                        log.begin(row["attempt"])
                    lease = self.ownership.take(row, row["attempt"])
            return await self.executor.execute(
                row, lease, log=log, config=config, tools=tools
            )
        finally:
            self.ownership.drop(row["id"], lease)
            self.bells.ring(row["id"], row["thread_id"])
