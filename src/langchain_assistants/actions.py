"""What an assistant returns to LangChain: actions, the finish, or one message."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.types.messages import Content, Message, TextContent
from langchain_assistants.types.runs import RequiredToolCall, Run, Usage


class AssistantAction(AgentAction):
    """A function call that the caller executes.

    Example:
        >>> action = AssistantAction(
        ...     tool="add", tool_input={"a": 1}, log="", tool_call_id="call_1",
        ...     run_id="run_1", thread_id="thread_1",
        ... )
        >>> action.tool
        'add'
    """

    tool_call_id: str
    run_id: str
    thread_id: str

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell LangChain that it cannot be loaded from JSON."""
        return False


class AssistantFinish(AgentFinish):
    """The answer of a completed run.

    `return_values` holds output (text, or content parts if there are others),
    thread_id, run_id, attachments, and `parsed` where structured output was asked for.
    """

    run_id: str
    thread_id: str

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell LangChain that it cannot be loaded from JSON."""
        return False


AgentOutput: TypeAlias = list[AssistantAction] | AssistantFinish
WireOutput: TypeAlias = list[Message] | list[RequiredToolCall]
AssistantOutput: TypeAlias = AgentOutput | WireOutput | AIMessage


def to_actions(run: Run, calls: list[RequiredToolCall]) -> list[AssistantAction]:
    """Return the calls that a run requires as LangChain's agent actions."""
    return [
        AssistantAction(
            tool=call.function.name,
            tool_input=_tool_input(call.function.arguments),
            tool_call_id=call.id,
            log="",
            run_id=run.id,
            thread_id=run.thread_id,
        )
        for call in calls
    ]


def to_finish(run: Run, messages: Sequence[Message]) -> AssistantFinish:
    """Return a completed run's messages as LangChain's agent finish."""
    parts = [part for message in messages for part in message.content]
    texts = [part.text.value for part in parts if isinstance(part, TextContent)]
    values: dict[str, Any] = {
        "output": "\n".join(texts) if len(texts) == len(parts) else parts,
        "thread_id": run.thread_id,
        "run_id": run.id,
        "attachments": [a for message in messages for a in message.attachments or ()],
    }
    if messages and messages[-1].parsed is not None:
        values["parsed"] = messages[-1].parsed
    return AssistantFinish(
        return_values=values, log="", run_id=run.id, thread_id=run.thread_id
    )


def _tool_input(arguments: str) -> str | dict[str, Any]:
    """Decode arguments; one unnamed argument is given bare, as in LangChain."""
    decoded = _decoded(arguments)
    if len(decoded) == 1 and "__arg1" in decoded:
        bare: str | dict[str, Any] = decoded["__arg1"]
        return bare
    return decoded


def to_ai_message(
    run: Run, messages: Sequence[Message], calls: Sequence[RequiredToolCall]
) -> AIMessage:
    """Return a run's last message, or the calls it requires, as a chat model's answer.

    What the run wrote before its last message is in the thread.
    """
    last = messages[-1] if messages else None
    parsed = None if last is None else last.parsed
    return AIMessage(
        content=_content(last.content) if last else "",
        id=last.id if last else None,
        tool_calls=[
            tool_call(
                name=call.function.name,
                args=_decoded(call.function.arguments),
                id=call.id,
            )
            for call in calls
        ],
        usage_metadata=_usage(run.usage),
        response_metadata={
            "assistant_id": run.assistant_id,
            "thread_id": run.thread_id,
            "run_id": run.id,
            "status": run.status,
            "model_name": run.model,
        },
        additional_kwargs={} if parsed is None else {"parsed": parsed},
    )


def tool_output(answer: AIMessage) -> str:
    """Return an assistant's answer as the output of a tool.

    Raises:
        ConfigurationError: It is no answer yet: the run requires calls.
    """
    if answer.tool_calls:
        names = sorted({made["name"] for made in answer.tool_calls})
        told = answer.response_metadata
        raise ConfigurationError(
            f"Run {told['run_id']} of the assistant {told['assistant_id']}, called as "
            f"a tool, requires {', '.join(names)}; give that assistant run_tools=."
        )
    return str(answer.text)


def _content(parts: Sequence[Content]) -> str | list[str | dict[str, Any]]:
    """Return plain text as a string, all else as blocks."""
    texts = [part.text for part in parts if isinstance(part, TextContent)]
    if len(texts) == len(parts) and not any(text.annotations for text in texts):
        return "\n".join(text.value for text in texts)
    return [_block(part) for part in parts]


def _block(part: Content) -> dict[str, Any]:
    if not isinstance(part, TextContent):
        return part.to_dict()
    block: dict[str, Any] = {"type": "text", "text": part.text.value}
    if part.text.annotations:
        block["annotations"] = [mark.to_dict() for mark in part.text.annotations]
    return block


def _usage(usage: Usage | None) -> UsageMetadata | None:
    if usage is None:
        return None
    return UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
    )


def _decoded(arguments: str) -> dict[str, Any]:
    # The engine has answered malformed arguments itself; these are an object.
    decoded: dict[str, Any] = json.loads(arguments or "{}", strict=False)
    return decoded
