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
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.types import Command, Interrupt

from langchain_assistants.engine.announcer import Announcer
from langchain_assistants.engine.cancellation import forget, insist, outlast
from langchain_assistants.engine.events import EventLog
from langchain_assistants.engine.history import (
    Window,
    read_window,
    system_message,
)
from langchain_assistants.engine.message_rows import thread_end, written_messages
from langchain_assistants.engine.middleware_effects import follow
from langchain_assistants.engine.models import Models, can_call_tools
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
    PromptBudgetExhausted,
    RunContext,
    RunGraph,
    RunGraphs,
    structured_tool_names,
)
from langchain_assistants.engine.run_rows import run_row, to_run
from langchain_assistants.engine.run_saver import RunSaver
from langchain_assistants.engine.run_settings import RunSettings
from langchain_assistants.engine.step_rows import (
    recorded_outputs,
    steps_of,
    to_draft,
)
from langchain_assistants.engine.submission import required_action
from langchain_assistants.engine.toolset import Implementations, bind
from langchain_assistants.engine.transitions import Trigger, is_terminal
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.errors import (
    AssistantsError,
    ConfigurationError,
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
        models: Models,
        graphs: RunGraphs,
        saver: RunSaver,
        tools: Implementations,
    ) -> None:
        """Take what runs are made of."""
        self._workplace = workplace
        self._models = models
        self._graphs = graphs
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
            self._drive(row, settings, recorder, config, tools), name=row["id"]
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

    # The run itself.

    async def _drive(
        self,
        row: Row,
        settings: RunSettings,
        recorder: RunRecorder,
        config: RunnableConfig | None,
        tools: Implementations | None,
    ) -> Row:
        """Execute the graph and store how the run stops."""
        try:
            self._saver.begin(row["thread_id"], row["id"], recorder)
            interrupts = await self._run_graph(row, settings, recorder, config, tools)
            if interrupts:
                return await recorder.require_action(
                    required_action(interrupts), self._saver.queries(row["thread_id"])
                )
        except StorageError:
            raise
        except PromptBudgetExhausted:
            return await recorder.end(_prompt_too_long(settings))
        except Exception as error:
            if caused := _storage_error(error):
                raise caused from error
            logger.info(
                "run_failed",
                extra={"run_id": row["id"], "error": type(error).__name__},
            )
            logger.debug("run_failed_by", exc_info=error)
            return await recorder.end(Ending(Trigger.FAIL, last_error(error)))
        if recorder.incomplete_reason is not None:
            return await recorder.end(
                Ending(Trigger.EXHAUST, incomplete_reason=recorder.incomplete_reason)
            )
        return await recorder.end(Ending(Trigger.COMPLETE))

    async def _run_graph(
        self,
        row: Row,
        settings: RunSettings,
        recorder: RunRecorder,
        config: RunnableConfig | None,
        tools: Implementations | None,
    ) -> list[Interrupt]:
        """Run the graph from its input, its checkpoint or its answers on."""
        toolset = bind(settings.tools, tools or _NO_TOOLS, self._tools)
        recorder.client_functions = toolset.client_functions
        model = self._model(settings, toolset.tools)
        window = await self._load(row, settings, recorder)
        graph = self._graphs.get(model, toolset.tools, settings.response_format)
        context = RunContext(
            recorder,
            settings,
            model,
            system_message(settings.instructions, window.context),
            self._models.call_settings(model, settings.model_params()),
        )
        run_config = _own_config(config, row)
        graph_input = await self._graph_input(graph, row, recorder, window, run_config)
        interrupts: list[Interrupt] = []
        # Inside somebody's graph their config is current here; ours must not inherit
        # its checkpointer, its namespace or its thread.
        token = var_child_runnable_config.set(None)
        try:
            async for update in graph.astream(
                graph_input,
                run_config,
                context=context,
                stream_mode="updates",
                durability="sync",
            ):
                for node, change in update.items():
                    if node == "__interrupt__":
                        interrupts.extend(change)
                    elif node not in ("model", "tools"):
                        await follow(change, recorder, window, row)
        finally:
            var_child_runnable_config.reset(token)
        return interrupts

    def _model(self, settings: RunSettings, tools: Sequence[Any]) -> Any:
        model = self._models.resolve(settings.model, settings.model_params())
        if tools and settings.tool_choice != "none" and not can_call_tools(model):
            raise ConfigurationError(
                f"The model '{settings.model}' ({type(model).__name__}) cannot call "
                "tools, but the assistant has some; use another model, or remove them."
            )
        return model

    async def _load(
        self, row: Row, settings: RunSettings, recorder: RunRecorder
    ) -> Window:
        """Read the thread's window, and what an earlier attempt of the run left."""
        database = self._workplace.database
        limit = self._workplace.settings.history_messages
        window = await database.read(
            read_window(row["thread_id"], row["id"], row["cursor"], settings, limit)
        )
        if window.run_status != "in_progress":
            # Cancelled after it was claimed and before it could be stopped here.
            raise Fenced(row["id"])
        recorder.history = {message.id or "": message for message in window.messages}
        if row["attempt"] > 1:

            def read() -> Transaction[None]:
                steps = yield from steps_of(row["id"])
                recorder.resume(
                    [to_draft(step) for step in steps],
                    (yield from recorded_outputs(row["id"])),
                    (yield from written_messages(row)),
                    (yield from thread_end(row["thread_id"], row["tenant"])),
                )

            await database.read(read())
        return window

    async def _graph_input(
        self,
        graph: RunGraph,
        row: Row,
        recorder: RunRecorder,
        window: Window,
        config: RunnableConfig,
    ) -> Any:
        """Return answers to interrupts, None to go on, or messages to begin with."""
        if recorder.resumed:
            answers = (from_json(row["required_action"]) or {}).get("resume")
            if answers:
                return Command(resume=answers)
            state = await graph.aget_state(config)
            if state.next:
                return None
        return {"messages": window.messages}


class _NoTools(Implementations):
    def __init__(self) -> None:
        self._by_name = {}


_NO_TOOLS = _NoTools()


def _own_config(config: RunnableConfig | None, row: Row) -> RunnableConfig:
    """Return the graph's config: the caller's traces, our thread, nothing else."""
    own: RunnableConfig = {
        "configurable": {"thread_id": row["thread_id"]},
        "run_name": "assistant_run",
    }
    given = config or {}
    if callbacks := given.get("callbacks"):
        own["callbacks"] = callbacks
    own["tags"] = list(given.get("tags") or ())
    own["metadata"] = {
        **(given.get("metadata") or {}),
        "assistant_id": row["assistant_id"],
        "run_id": row["id"],
        "thread_id": row["thread_id"],
    }
    if given.get("max_concurrency"):
        own["max_concurrency"] = given["max_concurrency"]
    return own


def _prompt_too_long(settings: RunSettings) -> Ending:
    if settings.max_prompt_tokens is not None:
        return Ending(Trigger.EXHAUST, incomplete_reason="max_prompt_tokens")
    message = (
        f"The newest message does not fit into the context window of the model "
        f"'{settings.model}'; shorten it, or use a model with a larger window."
    )
    return Ending(Trigger.FAIL, {"code": "invalid_prompt", "message": message})


def _storage_error(error: BaseException) -> StorageError | None:
    """Find a database error that a library has wrapped in its own."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, StorageError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None
