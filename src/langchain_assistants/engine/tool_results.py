"""What tools return: as the model sees it, as a step shows it, as the ledger keeps it.

A tool is not trusted: what it returns may be endless, or nothing that can be stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from langchain_core.messages import ToolMessage
from langgraph.types import Command

from langchain_assistants.engine.run_saver import strict_serializer
from langchain_assistants.storage.database import storable

ToolResult: TypeAlias = ToolMessage | Command[Any]

_SERIALIZER = strict_serializer()
# An artifact is not shown to the model; it may be a picture or a table.
_MOST_BYTES_A_CHARACTER = 16


def error_message(call_id: str, name: str, problem: str) -> ToolMessage:
    """Return what the model sees of a call that failed."""
    return ToolMessage(
        f"Error: {problem}", name=name, tool_call_id=call_id, status="error"
    )


def to_record(
    result: ToolResult, call_id: str, name: str, limit: int
) -> tuple[ToolResult, bytes]:
    """Return a tool's result and its encoding, without what cannot be stored.

    An artifact that cannot be must not undo a tool that has run; the checkpoint would
    refuse it as the ledger does.

    Args:
        result: What the tool returned.
        call_id: The call that it answers.
        name: The tool's.
        limit: Characters that the model may be shown.
    """
    length = len(shown_output(result, call_id))
    if length > limit:
        problem = f"The tool returned {length} characters; it may return {limit}."
        result = error_message(call_id, name, problem)
    if isinstance(result, ToolMessage) and isinstance(result.content, str):
        result.content = storable(result.content)
    try:
        encoded: bytes = _SERIALIZER.dumps_typed(result)[1]
        if len(encoded) <= limit * _MOST_BYTES_A_CHARACTER:
            return result, encoded
    except Exception:  # of whatever an artifact is made of
        pass
    kept = ToolMessage("", name=name, tool_call_id=call_id)
    if isinstance(result, ToolMessage):
        kept.content, kept.status = result.content, result.status
    return kept, _SERIALIZER.dumps_typed(kept)[1]


def hosted_outcome(result: ToolResult) -> Mapping[str, Any] | None:
    """Return what a hosted tool's step shows; None where the tool failed."""
    outcome = result.artifact if isinstance(result, ToolMessage) else None
    return outcome if isinstance(outcome, Mapping) else None


def from_record(encoded: bytes) -> ToolResult:
    """Return a result that the ledger has kept."""
    result: ToolResult = _SERIALIZER.loads_typed(("msgpack", encoded))
    return result


def shown_output(result: ToolResult, call_id: str) -> str:
    """Return what the run step shows of a tool's result."""
    if isinstance(result, ToolMessage):
        return str(result.text)
    update = result.update
    messages = update.get("messages", ()) if isinstance(update, Mapping) else ()
    for message in messages:
        if isinstance(message, ToolMessage) and message.tool_call_id == call_id:
            return str(message.text)
    return ""
