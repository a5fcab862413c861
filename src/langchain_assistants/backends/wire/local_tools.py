"""Executes, for its caller, what a run on a server requires."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import CONFIG_KEY_RUNTIME
from langgraph.errors import GraphBubbleUp
from langgraph.prebuilt.tool_node import ToolCallRequest, ToolNode
from langgraph.runtime import Runtime

from langchain_assistants.engine.cancellation import within
from langchain_assistants.engine.tool_results import (
    ToolResult,
    error_message,
    shown_output,
    to_record,
)
from langchain_assistants.engine.toolset import Implementations
from langchain_assistants.errors import ToolError
from langchain_assistants.settings import Settings
from langchain_assistants.types.runs import RequiredToolCall

_Execute = Callable[[ToolCallRequest], Awaitable[Any]]


async def outputs_of(
    calls: Sequence[RequiredToolCall],
    tools: Implementations,
    config: RunnableConfig,
    *,
    fails: bool | None,
) -> list[dict[str, Any]]:
    """Execute calls in parallel and return their outputs, in the order of the calls.

    Args:
        calls: Of tools that are there.
        tools: What executes them.
        config: Callbacks, tags and metadata of the caller.
        fails: Whether a tool's failure is raised; else the model is told of it. None:
            as the settings say.

    Raises:
        ToolError: A tool failed.
    """
    if not calls:
        return []
    settings = Settings()
    raises = settings.tool_errors == "fail" if fails is None else fails

    async def execute(request: ToolCallRequest, handler: _Execute) -> ToolResult:
        call_id, name = request.tool_call["id"] or "", request.tool_call["name"]
        metadata = getattr(request.tool, "metadata", None) or {}
        seconds = metadata.get("timeout", settings.tool_timeout)
        work = handler(request)
        try:
            result = await (work if seconds is None else within(work, seconds))
        except GraphBubbleUp:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            if raises:
                raise ToolError(f"The tool '{name}' raised {problem}") from error
            return error_message(call_id, name, problem)
        return to_record(result, call_id, name, settings.max_tool_output)[0]

    readable: list[ToolCall] = []
    outputs: dict[str, str] = {}
    for call in calls:
        try:
            arguments = _arguments(call)
        except ValueError as error:
            outputs[call.id] = f"Error: The arguments cannot be read: {error}"
            continue
        name = call.function.name
        readable.append(
            ToolCall(name=name, args=arguments, id=call.id, type="tool_call")
        )
    if readable:
        node = ToolNode(tools.tools, awrap_tool_call=execute)
        # A tool may ask for the runtime of the graph it is called in: it is in none.
        given = {**config.get("configurable", {}), CONFIG_KEY_RUNTIME: Runtime()}
        own: RunnableConfig = {**config, "configurable": given}
        for result in _results(await node.ainvoke(readable, own)):
            outputs |= _shown(result, [made["id"] or "" for made in readable])
    return [
        {"tool_call_id": call.id, "output": outputs.get(call.id, "")} for call in calls
    ]


def _arguments(call: RequiredToolCall) -> dict[str, Any]:
    """Read the arguments of a call.

    Raises:
        ValueError: The model has written no JSON object.
    """
    arguments = json.loads(call.function.arguments or "{}", strict=False)
    if not isinstance(arguments, dict):
        raise ValueError("they are no JSON object")
    return arguments


def _shown(result: ToolResult, call_ids: Sequence[str]) -> dict[str, str]:
    """Return what a result says, by the call that it answers."""
    if isinstance(result, ToolMessage):
        return {result.tool_call_id: shown_output(result, result.tool_call_id)}
    texts = {call_id: shown_output(result, call_id) for call_id in call_ids}
    return {call_id: text for call_id, text in texts.items() if text}


def _results(answer: Any) -> list[Any]:
    """Return messages and commands alike from what a ToolNode gives."""
    parts = answer if isinstance(answer, list) else [answer]
    results: list[Any] = []
    for part in parts:
        results.extend(part["messages"] if isinstance(part, dict) else [part])
    return results
