"""Rebuilds the events of a run that has stopped, from what it left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_assistants.types.base import WireObject
from langchain_assistants.types.events import (
    EventName,
    MessageDelta,
    RunEvent,
    RunStepDelta,
)
from langchain_assistants.types.messages import Message, TextContent
from langchain_assistants.types.records import RunRecord
from langchain_assistants.types.runs import Run
from langchain_assistants.types.steps import (
    CodeInterpreterCall,
    FunctionCall,
    MessageCreationDetails,
    RunStep,
    ToolCall,
    ToolCallsDetails,
)

ATTEMPT = 0
"""Begins the ids of rebuilt events: no live one has it."""

_UNTOLD: dict[str, Any] = {
    "status": "queued",
    "required_action": None,
    "last_error": None,
    "started_at": None,
    "cancelled_at": None,
    "failed_at": None,
    "completed_at": None,
    "incomplete_details": None,
    "usage": None,
}
_OPEN_STEP: dict[str, Any] = {
    "status": "in_progress",
    "last_error": None,
    "expired_at": None,
    "cancelled_at": None,
    "failed_at": None,
    "completed_at": None,
    "usage": None,
}
_OPEN_MESSAGE: dict[str, Any] = {
    "status": "in_progress",
    "content": [],
    "incomplete_details": None,
    "completed_at": None,
    "incomplete_at": None,
}

_Told = Iterator[tuple[EventName, WireObject]]


def replayed(record: RunRecord, after: int = 0) -> Iterator[RunEvent]:
    """Yield a stopped run's events in the wire's order; each text is one piece.

    The run was queued and begun once in this account, however often it was resumed.

    Args:
        record: The run with its steps and messages.
        after: The number of the last event that is known already.
    """
    for number, (name, data) in enumerate(_told(record), start=1):
        if number > after:
            yield RunEvent(name, data, f"{ATTEMPT}.{number}")


def _told(record: RunRecord) -> _Told:
    run = record.run
    assert run is not None, "a record that was read has its run"
    queued = run.model_copy(update=_UNTOLD)
    yield "thread.run.created", queued
    yield "thread.run.queued", queued
    if run.started_at is not None:
        begun = {"status": "in_progress", "started_at": run.started_at}
        yield "thread.run.in_progress", queued.model_copy(update=begun)
    messages = {message.id: message for message in record.messages}
    for step in record.steps:
        yield from _step(step, messages)
    for message in messages.values():  # deleted steps, or middleware's own messages
        yield from _message(message)
    if run.status == "cancelled":
        yield "thread.run.cancelling", _cancelling(run)
    yield f"thread.run.{run.status}", run  # type: ignore[misc]


def _cancelling(run: Run) -> Run:
    untold = {**_UNTOLD, "status": "cancelling", "started_at": run.started_at}
    return run.model_copy(update=untold)


def _step(step: RunStep, messages: dict[str, Message]) -> _Told:
    details = step.step_details
    begun = step.model_copy(update=_OPEN_STEP)
    if isinstance(details, ToolCallsDetails):
        begun.step_details = ToolCallsDetails()
    yield "thread.run.step.created", begun
    yield "thread.run.step.in_progress", begun
    if isinstance(details, MessageCreationDetails):
        message = messages.pop(details.message_creation.message_id, None)
        if message is not None:
            yield from _message(message)
    elif details.tool_calls:
        calls = [_call(i, call) for i, call in enumerate(details.tool_calls)]
        yield (
            "thread.run.step.delta",
            RunStepDelta.model_validate(
                {
                    "id": step.id,
                    "delta": {
                        "step_details": {"type": "tool_calls", "tool_calls": calls}
                    },
                }
            ),
        )
    if step.status != "in_progress":
        yield f"thread.run.step.{step.status}", step  # type: ignore[misc]


def _call(index: int, call: ToolCall) -> dict[str, Any]:
    piece: dict[str, Any] = {"index": index, "id": call.id, "type": call.type}
    if isinstance(call, FunctionCall):
        name, arguments = call.function.name, call.function.arguments
        return piece | {"function": {"name": name, "arguments": arguments}}
    if isinstance(call, CodeInterpreterCall):
        execution = call.code_interpreter.to_dict()
        outputs = [{"index": i, **out} for i, out in enumerate(execution["outputs"])]
        return piece | {"code_interpreter": {**execution, "outputs": outputs}}
    return piece | {"file_search": {}}


def _message(message: Message) -> _Told:
    begun = message.model_copy(update=_OPEN_MESSAGE)
    yield "thread.message.created", begun
    yield "thread.message.in_progress", begun
    for index, part in enumerate(message.content):
        piece = {"index": index, **part.to_dict()}
        if isinstance(part, TextContent):
            annotations = enumerate(piece["text"]["annotations"])
            piece["text"]["annotations"] = [{"index": i, **a} for i, a in annotations]
        yield (
            "thread.message.delta",
            MessageDelta.model_validate(
                {"id": message.id, "delta": {"content": [piece]}}
            ),
        )
    if message.status != "in_progress":
        yield f"thread.message.{message.status}", message  # type: ignore[misc]
