"""Drives the graph of a claimed run from its input, or its checkpoint, to its stop.

It stores how the run stops. Who may stop it from outside is the executor's matter.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.types import Command, Interrupt

from langchain_assistants.engine.history import Window, read_window, system_message
from langchain_assistants.engine.hosted import HostedTool, HostedTools
from langchain_assistants.engine.message_rows import thread_end, written_messages
from langchain_assistants.engine.middleware_effects import follow
from langchain_assistants.engine.models import Models, can_call_tools
from langchain_assistants.engine.pictures import with_pictures
from langchain_assistants.engine.provider_errors import last_error
from langchain_assistants.engine.recorder import RunRecorder
from langchain_assistants.engine.run_changes import Ending, Fenced
from langchain_assistants.engine.run_graph import (
    PromptBudgetExhausted,
    RunContext,
    RunGraph,
    RunGraphs,
)
from langchain_assistants.engine.run_saver import RunSaver
from langchain_assistants.engine.run_settings import RunSettings
from langchain_assistants.engine.step_rows import (
    recorded_outputs,
    steps_of,
    to_draft,
)
from langchain_assistants.engine.submission import required_action
from langchain_assistants.engine.toolset import Implementations, Toolset, bind
from langchain_assistants.engine.transitions import Trigger
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.errors import ConfigurationError, StorageError
from langchain_assistants.storage.database import Row, Transaction, from_json

logger = logging.getLogger(__name__)


class Driver:
    """Drives runs of one engine.

    Args:
        workplace: Where they are stored.
        models: Finds their models.
        graphs: Builds their graphs.
        saver: Keeps their checkpoints.
        tools: The engine's tools.
        hosted: The hosted tools that the engine has, by their type on the wire.
    """

    def __init__(
        self,
        workplace: Workplace,
        models: Models,
        graphs: RunGraphs,
        saver: RunSaver,
        tools: Implementations,
        hosted: Mapping[str, HostedTools],
    ) -> None:
        """Take what runs are made of."""
        self._workplace = workplace
        self._models = models
        self._graphs = graphs
        self._saver = saver
        self._tools = tools
        self._hosted = hosted

    async def drive(
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
            told = {"run_id": row["id"], "error": type(error).__name__}
            if isinstance(error, ConfigurationError):  # the operator's, not a user's
                told["reason"] = str(error)
            logger.info("run_failed", extra=told)
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
        toolset = bind(settings.tools, tools or _NO_TOOLS, self._tools, self._hosted)
        recorder.client_functions = toolset.client_functions
        recorder.hosted = toolset.hosted
        model = self._model(settings, toolset.tools)
        window = await self._load(row, settings, recorder)
        hosted = await self._open(row, toolset, recorder, window)
        notes = [tool.note for tool in hosted.values() if tool.note]
        graph = self._graphs.get(model, toolset.tools, settings.response_format)
        context = RunContext(
            recorder,
            settings,
            model,
            system_message(settings.instructions, window.context, notes),
            self._models.call_settings(model, settings.model_params()),
            hosted,
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

    async def _open(
        self, row: Row, toolset: Toolset, recorder: RunRecorder, window: Window
    ) -> dict[str, HostedTool]:
        """Return the hosted tools of the run, by the names of their functions."""
        recorder.exhibits.cite(window.sources)
        return {
            kind: await self._hosted[kind].open(row, entry, recorder.exhibits)
            for kind, entry in toolset.hosted.items()
        }

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
        window.messages = await with_pictures(
            window.messages, self._workplace, row["tenant"]
        )
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
