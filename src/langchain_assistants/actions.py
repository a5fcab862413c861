"""What an assistant returns to LangChain's agents: actions to take, or the finish."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain_core.agents import AgentAction, AgentFinish
from pydantic import BaseModel

from langchain_assistants.errors import AssistantsError
from langchain_assistants.types.messages import Message, TextContent
from langchain_assistants.types.runs import RequiredToolCall, Run


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


def to_finish(run: Run, messages: list[Message], parsed: Any) -> AssistantFinish:
    """Return a completed run's messages as LangChain's agent finish."""
    parts = [part for message in messages for part in message.content]
    texts = [part.text.value for part in parts if isinstance(part, TextContent)]
    values: dict[str, Any] = {
        "output": "\n".join(texts) if len(texts) == len(parts) else parts,
        "thread_id": run.thread_id,
        "run_id": run.id,
        "attachments": [a for message in messages for a in message.attachments or ()],
    }
    if parsed is not None:
        values["parsed"] = parsed
    return AssistantFinish(
        return_values=values, log="", run_id=run.id, thread_id=run.thread_id
    )


def _tool_input(arguments: str) -> str | dict[str, Any]:
    """Decode arguments; one unnamed argument is given bare, as in LangChain."""
    decoded: dict[str, Any] = json.loads(arguments or "{}", strict=False)
    if len(decoded) == 1 and "__arg1" in decoded:
        bare: str | dict[str, Any] = decoded["__arg1"]
        return bare
    return decoded


def asks_for_json(run: Run) -> bool:
    """Tell whether a run's answer follows a JSON schema."""
    wanted = run.response_format
    return isinstance(wanted, Mapping) and wanted["type"] == "json_schema"


def parse_answer(message: Message, answer_type: Any, run: Run) -> Any:
    """Parse a message of structured output.

    Args:
        message: The answer.
        answer_type: A pydantic class; anything else gives plain JSON.
        run: The run that wrote it.

    Raises:
        AssistantsError: The text does not follow the format.
    """
    try:
        if isinstance(answer_type, type) and issubclass(answer_type, BaseModel):
            return answer_type.model_validate_json(message.text)
        return json.loads(message.text)
    except ValueError as error:
        raise AssistantsError(
            f"The answer of run {run.id} does not follow its response_format: "
            f"{type(error).__name__}. The message {message.id} holds the text."
        ) from error
