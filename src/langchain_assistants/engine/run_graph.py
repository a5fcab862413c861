"""The LangGraph graph that executes a run: create_agent with our middleware around it.

It knows models, tools and hooks; what they did is recorded by the run's recorder.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ModelFallbackMiddleware,
    ModelRequest,
    ModelResponse,
)
from langchain.agents.middleware.types import ExtendedModelResponse
from langchain.agents.structured_output import AutoStrategy, StructuredOutputError
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import GraphBubbleUp
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command, TracePolicy, interrupt, omit_payload

from langchain_assistants.engine.attempts import (
    Attempts,
    AttemptsMiddleware,
    ModelHandler,
)
from langchain_assistants.engine.cancellation import within
from langchain_assistants.engine.hosted import HostedCall, HostedTool
from langchain_assistants.engine.models import input_limit, is_openai, output_limit
from langchain_assistants.engine.offloading import BEFORE_TOOL
from langchain_assistants.engine.recorder import RunRecorder
from langchain_assistants.engine.run_changes import Fenced
from langchain_assistants.engine.run_settings import RunSettings
from langchain_assistants.engine.tool_results import (
    ToolResult,
    error_message,
    from_record,
    hosted_outcome,
    shown_output,
    to_record,
)
from langchain_assistants.engine.turn import malformed_problem
from langchain_assistants.errors import ConfigurationError, StorageError
from langchain_assistants.settings import Settings

RunGraph: TypeAlias = CompiledStateGraph[Any, Any, Any, Any]
_ToolHandler: TypeAlias = Callable[[ToolCallRequest], Awaitable[ToolResult]]

CLIENT_CALL = "langchain_assistants_client_call"
"""Marks, in an interrupt's value, a function that the run's caller executes."""


@dataclass(slots=True)
class RunContext:
    """What the hooks of one run need; LangGraph's `context`, never checkpointed.

    Attributes:
        recorder: Hears what happens.
        settings: What was asked for.
        model: The run's model; the graph serves every model.
        system: Instructions and the thread's context.
        call_settings: Passed with each model call.
        hosted: The hosted tools of the run, by name.
    """

    recorder: RunRecorder
    settings: RunSettings
    model: BaseChatModel
    system: SystemMessage | None
    call_settings: dict[str, Any]
    hosted: Mapping[str, HostedTool]


# What no other code or query would change.
_NOT_THE_MODELS = (ConfigurationError, StorageError)


class ToolFailed(Exception):
    """A tool failed and the run is to end with it (`tool_errors="fail"`)."""

    def __init__(self, name: str, call_id: str, cause: Exception) -> None:
        """Name the tool and its call."""
        super().__init__(
            f"Tool '{name}' (call {call_id}) failed: {type(cause).__name__}: {cause}"
        )


class PromptBudgetExhausted(Exception):
    """Nothing of the thread fits into what is left of `max_prompt_tokens`."""


class RunMiddleware(AgentMiddleware[AgentState[Any], RunContext, Any]):
    """Prepares model calls and guards tool calls; the outermost middleware.

    It has wrap hooks only: a before or after hook would add a superstep to each turn.
    Where nothing lies between, it asks the model itself. LangChain traces each hook,
    and that costs one that is a coroutine function two changes of thread a call, traced
    or not: hence plain functions that return the coroutine.
    """

    # What they were given is in the spans of the model and the tools.
    trace_policy = TracePolicy(
        process_inputs=omit_payload, process_outputs=omit_payload
    )

    def __init__(self, settings: Settings, attempts: Attempts | None) -> None:
        """Take the attempts, unless a middleware of their own makes them."""
        super().__init__()
        self._settings = settings
        self._attempts = attempts

    @property
    def name(self) -> str:
        """The name in traces."""
        return "run"

    def awrap_model_call(
        self, request: ModelRequest[RunContext], handler: ModelHandler
    ) -> Coroutine[Any, Any, ModelResponse[Any] | ExtendedModelResponse[Any]]:
        """Ask the run's model as the run says, and record the answer."""
        return self._ask(request, handler)

    def awrap_tool_call(
        self, request: ToolCallRequest, handler: _ToolHandler
    ) -> Coroutine[Any, Any, ToolResult]:
        """Answer a call: by the tool, the ledger, the caller, or with an error."""
        return self._call(request, handler)

    async def _ask(
        self, request: ModelRequest[RunContext], handler: ModelHandler
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        run: RunContext = request.runtime.context
        prepared = _prepared(request, run)
        try:
            response = await (
                handler(prepared)
                if self._attempts is None
                else self._attempts.ask(prepared, handler)
            )
        except StructuredOutputError as error:
            # A refusal, an answer cut off, or one that breaks its schema: it is the
            # model's answer all the same, and whoever parses it decides.
            response = ModelResponse(result=[error.ai_message])
        for index, message in enumerate(response.result):
            if isinstance(message, AIMessage):
                structured = response.structured_response
                if structured is None and len(response.result) > 1:
                    run.recorder.rejected(message)
                    break
                response.result[index] = run.recorder.answered(message, structured)
                break
        if run.recorder.incomplete_reason is None:
            return response
        return ExtendedModelResponse(response, Command(update={"jump_to": "end"}))

    async def _call(
        self, request: ToolCallRequest, handler: _ToolHandler
    ) -> ToolResult:
        run: RunContext = request.runtime.context  # type: ignore[assignment]
        recorder, call = run.recorder, request.tool_call
        call_id, name = call["id"] or "", call["name"]
        recorded: bytes | None = None
        result: ToolResult
        if problem := malformed_problem(_newest_answer(request.state), call_id):
            result = error_message(call_id, name, problem)
        elif name in recorder.client_functions:
            arguments = recorder.arguments_of(call_id) or json.dumps(call["args"])
            # The graph stops here; the run's caller resumes it with the output.
            output = interrupt(
                {CLIENT_CALL: call_id, "name": name, "arguments": arguments}
            )
            return ToolMessage(output, name=name, tool_call_id=call_id)
        elif call_id in recorder.outputs:
            result = from_record(recorder.outputs[call_id])
        else:
            recorder.check()
            BEFORE_TOOL.set(recorder.check)
            try:
                result = await self._executed(request, handler, run)
            except (GraphBubbleUp, Fenced):
                raise
            except Exception as error:
                if name in run.hosted and isinstance(error, _NOT_THE_MODELS):
                    raise
                if run.settings.tool_errors == "fail":
                    raise ToolFailed(name, call_id, error) from error
                result = error_message(
                    call_id, name, f"{type(error).__name__}: {error}"
                )
            result, recorded = to_record(
                result, call_id, name, self._settings.max_tool_output
            )
        shown = hosted_outcome(result) if name in run.hosted else None
        await recorder.tool_output(
            call_id, shown or shown_output(result, call_id), recorded
        )
        return result

    async def _executed(
        self, request: ToolCallRequest, handler: _ToolHandler, run: RunContext
    ) -> ToolResult:
        """Execute a tool within its time.

        Raises:
            TimeoutError: It took longer.
        """
        if (hosted := run.hosted.get(request.tool_call["name"])) is not None:
            return await _hosted_result(hosted, request, run.recorder)
        metadata = getattr(request.tool, "metadata", None) or {}
        seconds = metadata.get("timeout", self._settings.tool_timeout)
        if seconds is None:
            return await handler(request)
        return await within(handler(request), seconds)


class RunGraphs:
    """Builds run graphs and remembers them: compiling costs a third of a turn.

    Args:
        saver: The checkpointer of all of them.
        middleware: The user's, between ours.
        fallbacks: Models to try when the run's own fails.
        settings: Retries, and what tools may take and return.
    """

    _MOST = 128

    def __init__(
        self,
        saver: BaseCheckpointSaver[Any],
        middleware: Sequence[AgentMiddleware[Any, Any]],
        fallbacks: Sequence[BaseChatModel],
        settings: Settings,
    ) -> None:
        """Build nothing yet."""
        self._saver = saver
        attempts = Attempts(settings)
        between: list[AgentMiddleware[Any, Any]] = [*middleware]
        if fallbacks:
            between.append(ModelFallbackMiddleware(*fallbacks))
        self._middleware: list[AgentMiddleware[Any, Any]] = (
            [RunMiddleware(settings, None), *between, AttemptsMiddleware(attempts)]
            if between
            else [RunMiddleware(settings, attempts)]
        )
        self._graphs: dict[Any, tuple[RunGraph, Sequence[object]]] = {}

    def get(
        self,
        model: BaseChatModel,
        tools: Sequence[BaseTool | Mapping[str, Any]],
        response_format: Any,
    ) -> RunGraph:
        """Return the graph for these tools and this kind of answer.

        Args:
            model: Any model; the run's own replaces it in each call.
            tools: Tools to execute, and dicts of functions the caller executes.
            response_format: As on the wire.
        """
        key = (
            tuple(
                id(tool) if isinstance(tool, BaseTool) else json.dumps(tool)
                for tool in tools
            ),
            json.dumps(response_format),
        )
        known = self._graphs.get(key)
        if known is None:
            graph: RunGraph = create_agent(
                model,
                [t if isinstance(t, BaseTool) else dict(t) for t in tools],
                middleware=self._middleware,
                response_format=_strategy(response_format),
                context_schema=RunContext,
                checkpointer=self._saver,
            )
            while len(self._graphs) >= self._MOST:
                self._graphs.pop(next(iter(self._graphs)), None)
            # The tools are kept with it: an id is unique only while its object lives.
            known = self._graphs[key] = graph, list(tools)
        return known[0]


async def _hosted_result(
    tool: HostedTool, request: ToolCallRequest, recorder: RunRecorder
) -> ToolMessage:
    call_id = request.tool_call["id"] or ""
    tell = partial(recorder.tool_progress, call_id)
    call = HostedCall(call_id, request.tool_call["args"], tell)
    content, outcome = await tool.execute(call)
    return ToolMessage(
        content,
        name=request.tool_call["name"],
        tool_call_id=call_id,
        artifact=outcome,
    )


def structured_tool_names(response_format: Any) -> frozenset[str]:
    """Return the tools by which a model without native support answers in JSON."""
    strategy = _strategy(response_format)
    return frozenset() if strategy is None else frozenset({strategy.schema["title"]})


def _strategy(response_format: Any) -> AutoStrategy[Any] | None:
    if (
        not isinstance(response_format, Mapping)
        or response_format["type"] != "json_schema"
    ):
        return None
    wanted = response_format["json_schema"]
    schema = {"type": "object", "properties": {}, **(wanted.get("schema") or {})}
    schema["title"] = wanted["name"]
    if wanted.get("description"):
        schema.setdefault("description", wanted["description"])
    return AutoStrategy(schema)


def _prepared(
    request: ModelRequest[RunContext], run: RunContext
) -> ModelRequest[RunContext]:
    """Return the request with the run's model, prompt and settings.

    Raises:
        PromptBudgetExhausted: The prompt does not fit what is left of its budget.
    """
    settings, recorder = run.settings, run.recorder
    changes: dict[str, Any] = {"model": run.model}
    system = run.system
    if settings.response_format == {"type": "json_object"} and not is_openai(run.model):
        order = "Answer with one JSON object and nothing else."
        system = SystemMessage(f"{system.content}\n\n{order}" if system else order)
    if system is not None:
        changes["system_message"] = system
    calls = dict(run.call_settings)
    if settings.response_format == {"type": "json_object"} and is_openai(run.model):
        calls["response_format"] = settings.response_format
    offered = request.tools and settings.tool_choice != "none"
    if offered and not settings.parallel_tool_calls:
        calls["parallel_tool_calls"] = False
    if settings.max_completion_tokens is not None:
        left = settings.max_completion_tokens - recorder.used.completion
        calls |= output_limit(run.model, max(left, 1))
    if calls:
        changes["model_settings"] = calls
    answered = any(
        isinstance(message, AIMessage) and message.id not in recorder.history
        for message in request.messages
    )
    choice = settings.tool_choice
    if choice == "none":
        changes["tools"] = []
    elif choice != "auto" and not answered:
        # Only the first call is forced, else the run would never end.
        changes["tool_choice"] = _tool_choice(choice)
    if (budget := _prompt_budget(run)) is not None:
        changes["messages"] = _fitted(request.messages, budget, system)
    return request.override(**changes)


def _prompt_budget(run: RunContext) -> int | None:
    """Return the most tokens a prompt may have, None where nothing limits it."""
    limits = [input_limit(run.model)]
    if run.settings.max_prompt_tokens is not None:
        limits.append(run.settings.max_prompt_tokens - run.recorder.used.prompt)
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def _fitted(
    messages: Sequence[BaseMessage], budget: int, system: SystemMessage | None
) -> list[BaseMessage]:
    from langchain_core.messages.utils import count_tokens_approximately

    from langchain_assistants.engine.history import fit

    taken = count_tokens_approximately([system]) if system else 0
    fitted = fit(messages, budget - taken)
    if messages and not fitted:
        raise PromptBudgetExhausted
    return fitted


def _tool_choice(choice: Any) -> str:
    """Translate the wire's tool_choice into LangChain's."""
    if choice == "required":
        return "any"
    name: str = choice["function"]["name"] if "function" in choice else choice["type"]
    return name


def _newest_answer(state: Any) -> AIMessage | None:
    messages: Sequence[BaseMessage] = (
        state["messages"] if isinstance(state, Mapping) else state.messages
    )
    return next((m for m in reversed(messages) if isinstance(m, AIMessage)), None)
