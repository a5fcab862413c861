"""The node that starts an assistant's run, and goes on with it after the tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import RemoveMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from langgraph.types import Command

from langchain_assistants.assistant import AssistantRunnable
from langchain_assistants.backends import Backend, CallContext, RunOrder, SubmitOrder
from langchain_assistants.engine.executor import Execution
from langchain_assistants.engine.graph_tasks import GraphTask
from langchain_assistants.engine.toolset import Implementations
from langchain_assistants.errors import ActiveRunError, run_error
from langchain_assistants.graph.messages import (
    answers,
    new_input,
    open_calls,
    outputs,
)
from langchain_assistants.graph.tokens import TokenStream, without_streams
from langchain_assistants.outer_graph import OuterTask, ask_people
from langchain_assistants.run_input import to_wire_tool
from langchain_assistants.types.records import bind
from langchain_assistants.types.runs import Run, RunCreate
from langchain_assistants.types.threads import ThreadCreate
from langchain_assistants.types.validation import check_id, validate

TOOL_CALL = "langchain_assistants_tool_call"
"""Key of the configuration: the tool call that the graph is called in."""
LEFT = "__langchain_assistants_left"
"""Key of the configuration: the run that the graph would leave behind."""
MAX_EXPIRES_AFTER = 30 * 24 * 3600
"""Seconds that a run waits for a person: the longest that is allowed."""

_WITHOUT_ANSWER = ("failed", "cancelled", "expired", "incomplete")


class AssistantNode(Runnable[Any, Any]):
    """Runs the assistant until it has answered or requires tools.

    Executed again after a crash, it finds the run that it has started.

    Args:
        assistant: The assistant, and what its runs are asked for.
        backend: Who runs its runs.
        tools: What the graph executes.
        waits_for_people: Whether runs wait for a person's decision.
    """

    def __init__(
        self,
        assistant: AssistantRunnable,
        backend: Backend,
        tools: Implementations,
        *,
        waits_for_people: bool,
    ) -> None:
        """Prepare what every run of the graph has in common."""
        self._assistant = assistant
        self.backend = backend
        self._tools = tools
        self._entries = [to_wire_tool(tool) for tool in tools.tools]
        self._body: dict[str, Any] = {"assistant_id": assistant.assistant_id}
        if assistant.on_active_run is not None:
            self._body["on_active_run"] = assistant.on_active_run
        if waits_for_people:
            self._body["expires_after"] = MAX_EXPIRES_AFTER

    def invoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Any:
        """Run the assistant on the backend's loop; see `ainvoke`."""
        return self.backend.portal.call(lambda: self._advance(input, config))

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Any:
        """Return what of the state changed.

        Raises:
            RunError: The run ended without an answer.
            ActiveRunError: Another run is active on the thread.
            NotFoundError: There is no such assistant or thread.
        """
        return await self._advance(input, config)

    async def _advance(
        self, state: Mapping[str, Any], config: RunnableConfig | None
    ) -> Any:
        config = ensure_config(config)
        task = OuterTask.of(config)
        assert task is not None, "LangGraph executes nodes in tasks"
        submitted = None
        if state.get("status") == "requires_action":
            submitted = outputs(state["messages"])
        step = _Step(self, state, config, task)
        if submitted is None:
            return await step.start()
        if open_calls(state["messages"]) is None:
            await step.close(submitted)
            return await step.start(keep=True)  # a tool may have spoken, in this turn
        return await step.go_on(submitted)

    # What all steps have in common.

    def order(
        self, thread: str | Mapping[str, Any], body: Mapping[str, Any], **given: Any
    ) -> RunOrder:
        """Return an order of a run with this assistant, its tools and options."""
        return RunOrder(
            thread,
            body=validate(RunCreate, {**self._body, **body}),
            tools=self._entries,
            **{"messages": (), "left": {}, **given},
        )

    def thread(self, step: _Step) -> str | Mapping[str, Any]:
        """Return the thread that state and configuration lead to."""
        named = step.state.get("thread_id") or step.task.thread_id
        call_id = step.config["configurable"].get(TOOL_CALL)
        if named == step.task.thread_id and call_id is not None:
            named = named and f"{named}/{call_id}"
        elif named is not None and named.startswith("thread_"):
            check_id(named, "thread_id", "thread_")
            return named
        return validate(ThreadCreate, {"key": named})


class _Step:
    """One execution of the node."""

    def __init__(
        self,
        node: AssistantNode,
        state: Mapping[str, Any],
        config: RunnableConfig,
        task: OuterTask,
    ) -> None:
        self.node = node
        self.state = state
        self.config = config
        self.task = task
        self._backend = node.backend
        self._context = CallContext(
            TokenStream.of(config), without_streams(config), None
        )

    async def start(self, *, keep: bool = False) -> Any:
        """Start a run on the messages that the thread has not got yet.

        Args:
            keep: Keep in the state what was before the new messages.
        """
        state = self.state
        given = new_input(
            state.get("messages") or (),
            state.get("run_id"),
            own_state=not self.task.nested,
        )
        body = {"additional_instructions": given.instructions}
        order = self.node.order(
            self.node.thread(self),
            body if given.instructions else {},
            messages=given.bodies,
            source_ids=given.source_ids,
            left=self._left(),
            task=self._graph_task(state.get("run_id")),
        )
        execution = await self._backend.run(order, self._context)
        execution = await self._decided(execution)
        earlier = () if keep else given.earlier
        removed = [RemoveMessage(id=message_id) for message_id in earlier]
        return self._update(execution, removed)

    async def go_on(self, outputs: Mapping[str, str]) -> Any:
        """Submit the outputs of the run's calls, or find out that it was done."""
        run_id = self.state["run_id"]
        handover = self.state.get("handover") or ()
        run, task_id = await self._backend.look(run_id, self.state["thread_id"])
        if _waits_for(run, outputs):
            order = self._submission(run, outputs)
            if handover:
                execution = await self._backend.finish(order)
            else:
                execution = await self._backend.submit(order, self._context)
        elif task_id == self._task_id:
            execution = await self._backend.run(self._replayed(run), self._context)
        elif run.status in ("queued", "in_progress", "cancelling"):
            raise ActiveRunError(run.thread_id, run_id)
        elif run.status in _WITHOUT_ANSWER:
            if (origin := self._backend.origin) is not None:
                bind(run, origin)
            raise run_error(run)
        else:
            replay = self._replayed(run, outputs)
            execution = await self._backend.run(replay, self._context)
        update = self._update(await self._decided(execution), [])
        return self._handed_over(update, handover) if handover else update

    async def close(self, outputs: Mapping[str, str]) -> None:
        """Complete the run with its outputs: somebody has spoken since its calls."""
        state = self.state
        run, _ = await self._backend.look(state["run_id"], state["thread_id"])
        if _waits_for(run, outputs):
            await self._backend.finish(
                self._submission(run, outputs)._replace(task_id=None)
            )

    def _submission(self, run: Run, outputs: Mapping[str, str]) -> SubmitOrder:
        given = [{"tool_call_id": i, "output": o} for i, o in outputs.items()]
        return SubmitOrder(run.id, run.thread_id, given, task_id=self._task_id)

    def _left(self) -> Mapping[str, str]:
        """Return the run that nobody can go on with.

        New input in place of an answer to an interrupt, or of outputs: LangGraph has
        dropped what was pending, so the run of the state makes room.
        """
        state = self.state
        waits = state.get("status") == "requires_action"
        return {state["thread_id"]: state["run_id"]} if waits else {}

    @property
    def _task_id(self) -> str:
        root = self.task.root_checkpoint
        return f"{self.task.id}#0" + (f"@{root}" if root else "")

    def _graph_task(self, run_id: str | None) -> GraphTask:
        task = self.task
        return GraphTask(
            self._task_id,
            task.thread_id,
            task.node,
            run_id,
            alone=task.resumable and not task.nested,
            root_checkpoint=task.root_checkpoint,
        )

    def _replayed(self, run: Run, outputs: Mapping[str, str] | None = None) -> RunOrder:
        """Return an order of a run after the tools of one that has gone on since."""
        task = self._graph_task(run.id)
        return self.node.order(run.thread_id, {}, task=task, outputs=outputs)

    async def _decided(self, execution: Execution) -> Execution:
        """Ask the outer graph's people what the run's middleware asks."""
        while (given := ask_people(execution.run, self.task)) is not None:
            order = SubmitOrder(execution.run.id, execution.run.thread_id, given)
            execution = await self._backend.submit(order, self._context)
        return execution

    def _update(self, execution: Execution, removed: Sequence[Any]) -> dict[str, Any]:
        run = execution.run
        if run.status not in ("completed", "requires_action"):
            raise run_error(run)
        known = {message.id for message in self.state.get("messages") or ()}
        usage = run.usage
        if not self.task.resumable and (left := self.config["configurable"].get(LEFT)):
            left.note(self._backend, run)
        return {
            "messages": [*removed, *answers(execution, known)],
            "thread_id": run.thread_id,
            "run_id": run.id,
            "status": run.status,
            "usage": usage.model_dump() if usage else {},
        }

    def _handed_over(
        self, update: dict[str, Any], handover: Sequence[Mapping[str, Any]]
    ) -> Any:
        """Return the commands by which tools left the loop: the run is over now."""
        own = {**update, "handover": None}
        commands = [
            Command(graph=left["graph"], goto=left["goto"], update=left["update"])
            for left in handover
            if left["goto"] != "__end__"
        ]
        return [own, *commands] if commands else own


def _waits_for(run: Run, outputs: Mapping[str, str]) -> bool:
    action = run.required_action
    if action is None or action.approval or action.submit_tool_outputs is None:
        return False
    calls = action.submit_tool_outputs.tool_calls
    return {made.id for made in calls} == outputs.keys()
