"""Runs that are executed here, in the context of their caller."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from langchain_assistants.backends.base import (
    CallContext,
    RunOrder,
    Standing,
    SubmitOrder,
    ToolBox,
)
from langchain_assistants.engine.engine import AssistantsEngine
from langchain_assistants.engine.executor import Execution
from langchain_assistants.engine.portal import Portal
from langchain_assistants.engine.run_creation import RunRequest
from langchain_assistants.engine.run_rows import to_run
from langchain_assistants.errors import AssistantsError, NotFoundError
from langchain_assistants.settings import Settings
from langchain_assistants.types.assistants import Assistant
from langchain_assistants.types.records import Origin
from langchain_assistants.types.runs import Run


class EmbeddedBackend:
    """The backend of an engine."""

    finds_tasks = True

    def __init__(self, engine: AssistantsEngine) -> None:
        """Take the engine."""
        self._engine = engine
        self._tenant = engine.threads.tenant

    @property
    def portal(self) -> Portal:
        """The loop of the engine."""
        return self._engine.portal

    @property
    def tool_box(self) -> ToolBox:
        """The engine: its threads execute synchronous tools."""
        return self._engine

    @property
    def settings(self) -> Settings:
        """Those of the engine."""
        return self._engine.settings

    async def create_assistant(
        self, fields: Mapping[str, Any], *, reuse: bool
    ) -> Assistant:
        """Store an assistant; or, with `reuse`, return the one with this content."""
        assistants = self._engine.assistants
        create = assistants.aget_or_create if reuse else assistants.acreate
        return await create(**fields)

    async def retrieve_assistant(self, assistant_id: str) -> Assistant:
        """Return an assistant."""
        return await self._engine.assistants.aretrieve(assistant_id)

    async def run(self, order: RunOrder, context: CallContext) -> Execution:
        """Start a run and execute it in this context."""
        thread: Any = order.thread
        messages = order.messages
        if not isinstance(thread, str):
            body = dict(thread)
            if body.get("key") is None and not order.source_ids:
                # Messages of a new thread are part of its insertion.
                body["messages"], messages = messages, ()
            thread = self._engine.threads.new(body)
        request = RunRequest(
            self._tenant,
            thread,
            order.body,
            messages,
            frozenset(order.left.values()),
            order.source_ids,
            order.tools,
            order.task,
            order.outputs,
        )
        return await self._engine.conductor.run(
            request, log=context.log, config=context.config, tools=context.tools
        )

    async def submit(self, order: SubmitOrder, context: CallContext) -> Execution:
        """Submit outputs and execute the run in this context to its next stop."""
        conductor, outputs = self._engine.conductor, order.outputs
        row = await conductor.look(order.run_id, self._tenant)
        if order.thread_id not in (None, row["thread_id"]):
            raise NotFoundError.for_id("run", order.run_id)
        if order.from_agent:
            action = json.loads(row["required_action"] or "{}")
            open_calls = action.get("interrupts", {})
            outputs = [o for o in outputs if o["tool_call_id"] in open_calls]
        return await conductor.resume(
            order.run_id,
            self._tenant,
            outputs,
            log=context.log,
            config=context.config,
            tools=context.tools,
            task=order.task_id,
        )

    async def look(self, run_id: str, thread_id: str) -> Standing:
        """Return where a run is."""
        row = await self._engine.conductor.look(run_id, self._tenant)
        return Standing(to_run(row), row["graph_task"])

    async def finish(self, order: SubmitOrder) -> Execution:
        """Complete a run with its outputs; its model is not asked again."""
        return await self._engine.conductor.finish(
            order.run_id, self._tenant, order.outputs, task=order.task_id
        )

    async def cancel(self, run: Run) -> None:
        """Cancel a run, unless it has ended."""
        with contextlib.suppress(AssistantsError):
            await self._engine.runs.acancel(run.id)

    @property
    def origin(self) -> Origin:
        """Where a notebook reads what belongs to an object."""
        return self._engine.runs.origin
