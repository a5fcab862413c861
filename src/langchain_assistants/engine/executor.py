"""Executes claimed runs to their next stop: an end, or `requires_action`.

It owns deadlines, cancellation and what becomes of errors. Who delivers a run to it is
the dispatcher's matter; what the graph does in a run is the run graph's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig

from langchain_assistants.engine.announcer import Announcer
from langchain_assistants.engine.cancellation import forget, insist, outlast
from langchain_assistants.engine.driver import Driver
from langchain_assistants.engine.events import EventLog
from langchain_assistants.engine.ownership import Lease
from langchain_assistants.engine.provider_errors import last_error
from langchain_assistants.engine.recorder import RunRecorder
from langchain_assistants.engine.run_changes import (
    Ending,
    Fenced,
    TakenOver,
    expire_run,
    mark_cancelling,
    release_run,
)
from langchain_assistants.engine.run_graph import (
    structured_tool_names,
)
from langchain_assistants.engine.run_rows import run_row, to_run
from langchain_assistants.engine.run_saver import RunSaver
from langchain_assistants.engine.run_settings import RunSettings
from langchain_assistants.engine.toolset import Implementations
from langchain_assistants.engine.transitions import Trigger, is_terminal
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.errors import (
    AssistantsError,
    StorageError,
)
from langchain_assistants.storage.database import Row, Transaction, from_json
from langchain_assistants.types.messages import Message
from langchain_assistants.types.runs import Run

logger = logging.getLogger(__name__)

Reason = Literal["cancelled", "expired", "lost"]


@dataclass(frozen=True, slots=True)
class Execution:
    """What came of executing a run.

    Attributes:
        run: The run at its stop.
        messages: What it wrote on the way, oldest first.
        open_step_id: The id of the step whose calls the run requires, if it does.
    """

    run: Run
    messages: Sequence[Message]
    open_step_id: str | None = None


@dataclass(slots=True)
class _Running:
    """A run that executes in this process."""

    task: asyncio.Task[Row]
    lease: Lease
    loop: asyncio.AbstractEventLoop
    # Resolved when the run is stopped: its task may take no notice of a cancel.
    stopped: asyncio.Future[None]
    # Why it is stopped: never read from an exception, libraries swallow those.
    reason: Reason | None = None


class Executor:
    """Executes runs of one engine, on whatever loop it is awaited."""

    def __init__(
        self,
        workplace: Workplace,
        driver: Driver,
        saver: RunSaver,
        tools: Implementations,
    ) -> None:
        """Take what drives runs, and what they leave behind."""
        self._workplace = workplace
        self._driver = driver
        self._saver = saver
        self._tools = tools
        self._running: dict[str, _Running] = {}

    async def execute(
        self,
        row: Row,
        lease: Lease,
        *,
        log: EventLog | None = None,
        config: RunnableConfig | None = None,
        tools: Implementations | None = None,
    ) -> Execution:
        """Execute a claimed run until it stops.

        When the caller is cancelled the run is cancelled before the exception leaves.

        Args:
            row: The claimed run.
            lease: The right to execute it.
            log: Where events go, if anybody listens.
            config: Callbacks, tags and metadata for traces.
            tools: Implementations bound to this run, besides the engine's.

        Raises:
            StorageError: The database failed; the run went back to the queue.
            TakenOver: Another worker executes it now.
        """
        announcer = Announcer(log, row["assistant_id"])
        settings = RunSettings.of(row)
        recorder = RunRecorder(
            self._workplace,
            row,
            settings,
            announcer,
            lease,
            structured_tools=structured_tool_names(settings.response_format),
        )
        announcer.run(row)
        loop = asyncio.get_running_loop()
        task = loop.create_task(
            self._driver.drive(row, settings, recorder, config, tools), name=row["id"]
        )
        running = self._running[row["id"]] = _Running(
            task, lease, loop, loop.create_future()
        )
        try:
            ended = await self._supervise(row, recorder, running)
        finally:
            # The row is free already: its next attempt may have begun meanwhile.
            if self._running.get(row["id"]) is running:
                del self._running[row["id"]]
            self._saver.drop(row["thread_id"], recorder)
        return Execution(to_run(ended), recorder.messages, recorder.open_step_id)

    def tools_for(self, row: Row) -> Implementations:
        """Return the engine's tools that a run of whatever maker needs here."""
        return self._tools.only(from_json(row["required_tools"]) or ())

    @property
    def running(self) -> frozenset[str]:
        """The ids of the runs that execute in this process."""
        return frozenset(self._running)

    def stop(self, run_id: str, reason: Reason, lease: Lease | None = None) -> bool:
        """Stop a run that executes in this process, from any thread.

        Args:
            run_id: The run.
            reason: Why.
            lease: Only the attempt that this lease is for.

        Returns:
            Whether it executes here; its row is then ended by its own task.
        """
        running = self._running.get(run_id)
        if running is None or lease not in (None, running.lease):
            return False

        def cancel() -> None:
            if running.reason is None:
                running.reason = reason
                running.stopped.set_result(None)

        with contextlib.suppress(RuntimeError):  # its loop has just been closed
            running.loop.call_soon_threadsafe(cancel)
        return True

    async def _supervise(
        self, row: Row, recorder: RunRecorder, running: _Running
    ) -> Row:
        """Wait for the run's task within the run's deadline, and tidy up after it."""
        task = running.task
        left = max(0.0, row["expires_at"] - self._workplace.clock())
        try:
            stops: list[asyncio.Future[Any]] = [task, running.stopped]
            await asyncio.wait(stops, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and running.reason is None:
                running.reason = "expired"
        except BaseException:
            # The caller went away (Ctrl-C, a cancelled task): its thread must not stay
            # busy, and nothing may keep the exception from leaving.
            running.reason = running.reason or "cancelled"
            await outlast(self._end_abandoned(row, recorder, task))
            raise
        if running.reason is not None:
            await self._abandon(task)
            if not (task.done() and not task.cancelled() and task.exception() is None):
                if running.reason == "lost":
                    return await self._settle(row, recorder)
                expired = running.reason == "expired"
                trigger = Trigger.EXPIRE if expired else Trigger.CANCEL
                return await self._end(row, recorder, trigger)
        try:
            return task.result()
        except asyncio.CancelledError:
            return await self._end(row, recorder, Trigger.CANCEL)
        except Fenced:
            return await self._settle(row, recorder)
        except StorageError:
            await self._release(row)
            raise
        except BaseException as error:
            # Nothing that went wrong may leave the thread busy.
            await outlast(self._fail(recorder, error))
            raise

    async def _end_abandoned(
        self, row: Row, recorder: RunRecorder, task: asyncio.Task[Row]
    ) -> None:
        await self._abandon(task)
        with contextlib.suppress(AssistantsError):
            await insist(lambda: self._end(row, recorder, Trigger.CANCEL))

    async def _fail(self, recorder: RunRecorder, error: BaseException) -> None:
        with contextlib.suppress(AssistantsError):
            await recorder.end(Ending(Trigger.FAIL, last_error(error)))

    async def _abandon(self, task: asyncio.Task[Row]) -> None:
        """Cancel a task and give it a moment; one that will not stop is left behind."""
        task.cancel()
        await asyncio.wait({task}, timeout=self._workplace.settings.cancel_grace)
        if not task.done():
            logger.warning("run_task_abandoned", extra={"run_id": task.get_name()})
        task.add_done_callback(forget)

    async def _end(self, row: Row, recorder: RunRecorder, trigger: Trigger) -> Row:
        """End a run that was stopped, as cancelled or expired."""
        try:
            if trigger is Trigger.CANCEL:
                await self._ask_to_cancel(row, recorder)
            return await recorder.end(Ending(trigger))
        except Fenced:
            return await self._settle(row, recorder)

    async def _ask_to_cancel(self, row: Row, recorder: RunRecorder) -> None:
        """Tell that the run is `cancelling`; mark it so if its caller went away."""

        def mark() -> Transaction[Row]:
            changed = yield from mark_cancelling(row)
            return changed or (yield from run_row(row["id"], row["tenant"]))

        asked = await self._workplace.database.write(mark())
        if asked["status"] == "cancelling":
            recorder.announce_run(asked)

    async def _settle(self, row: Row, recorder: RunRecorder) -> Row:
        """Find out what became of a run that is no longer this task's."""
        now = self._workplace.clock()

        def read() -> Transaction[Row]:
            return (yield from run_row(row["id"], row["tenant"]))

        current = await self._workplace.database.read(read())
        if current["attempt"] == row["attempt"] and current["status"] == "cancelling":
            recorder.announce_run(current)
            return await recorder.end(Ending(Trigger.CANCEL))
        if not is_terminal(current["status"]) and current["expires_at"] <= now:
            current = await self._workplace.database.write(expire_run(current, now))
        if current["attempt"] == row["attempt"] and current["status"] == "in_progress":
            # Nobody has taken it: the lease was not renewed in time, it begins anew.
            await self._release(row)
            raise StorageError(f"The lease of run {row['id']} could not be renewed.")
        if is_terminal(current["status"]):
            recorder.announce_run(current)
            if current["attempt"] == row["attempt"]:
                return current
        raise TakenOver(row["id"])

    async def _release(self, row: Row) -> None:
        """Give a run back after a database error; else its deadline ends it."""
        with contextlib.suppress(StorageError):
            now = self._workplace.clock()
            await self._workplace.database.write(
                release_run(row["id"], row["attempt"], now)
            )
