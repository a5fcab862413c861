"""Tells the listeners of a run what happens, as the wire's events in the wire's order.

Without a listener nothing is built. What is true of the run is not decided here.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from langchain_assistants.engine.call_types import CallType, begun
from langchain_assistants.engine.drafts import MessageDraft
from langchain_assistants.engine.events import EventLog
from langchain_assistants.engine.run_rows import to_run
from langchain_assistants.engine.step_rows import StepDraft
from langchain_assistants.storage.database import Row
from langchain_assistants.types.base import WireObject
from langchain_assistants.types.events import EventName, MessageDelta, RunStepDelta
from langchain_assistants.types.messages import Message
from langchain_assistants.types.runs import RunStatus


class Announcer:
    """Emits one run's events to its log, if it has one."""

    def __init__(self, log: EventLog | None, assistant_id: str) -> None:
        """Take the log; None: nobody listens."""
        self._log = log
        self._assistant_id = assistant_id

    @property
    def listening(self) -> bool:
        """Whether anybody may hear."""
        return self._log is not None

    def emit(self, event: EventName, data: WireObject) -> None:
        """Emit an event as it is."""
        if self._log is not None:
            self._log.emit(event, data)

    def run(self, row: Row, *, status: RunStatus | None = None) -> None:
        """Tell a run's new status, or another one than its row has."""
        if self._log is not None:
            run = to_run(row, status=status)
            self.emit(f"thread.run.{run.status}", run)  # type: ignore[arg-type]

    def step_begun(self, draft: StepDraft) -> None:
        """Tell of a new step."""
        if self._log is None:
            return
        step = draft.to_step(self._assistant_id)
        self.emit("thread.run.step.created", step)
        self.emit("thread.run.step.in_progress", step)

    def step_ended(self, draft: StepDraft) -> None:
        """Tell a step's final status."""
        if self._log is None:
            return
        step = draft.to_step(self._assistant_id)
        self.emit(f"thread.run.step.{step.status}", step)  # type: ignore[arg-type]

    def message_begun(self, draft: MessageDraft) -> None:
        """Tell of a new message, still without content."""
        if self._log is None:
            return
        message = draft.begun()
        self.emit("thread.message.created", message)
        self.emit("thread.message.in_progress", message)

    def message_ended(self, message: Message) -> None:
        """Tell a message's final status."""
        self.emit(f"thread.message.{message.status}", message)  # type: ignore[arg-type]

    def text(
        self,
        message_id: str,
        piece: str,
        annotations: list[dict[str, Any]] | None,
        index: int = 0,
    ) -> None:
        """Tell a piece of text and the annotations it brings.

        Args:
            message_id: The message.
            piece: The text.
            annotations: Each with its `index`; an empty list with the first piece.
            index: The place of the part of content.
        """
        if self._log is not None:
            delta = partial(_text_delta, message_id, piece, annotations, index)
            self._log.emit("thread.message.delta", delta)

    def picture(self, message_id: str, index: int, file_id: str) -> None:
        """Tell of a picture in a message."""
        if self._log is not None:
            part = {
                "index": index,
                "type": "image_file",
                "image_file": {"file_id": file_id},
            }
            self._log.emit(
                "thread.message.delta", partial(_message_delta, message_id, part)
            )

    def refusal(self, message_id: str, piece: str) -> None:
        """Tell a refusal."""
        if self._log is not None:
            part = {"index": 0, "type": "refusal", "refusal": piece}
            delta = partial(_message_delta, message_id, part)
            self._log.emit("thread.message.delta", delta)

    def call_begun(
        self, step_id: str, index: int, call_id: str, kind: CallType, name: str
    ) -> None:
        """Tell of a call; id and name are told once."""
        if self._log is not None:
            first = begun(kind, name)
            delta = partial(_call_delta, step_id, index, kind, first, id=call_id)
            self._log.emit("thread.run.step.delta", delta)

    def call(
        self, step_id: str, index: int, kind: CallType, piece: dict[str, Any]
    ) -> None:
        """Tell what is new in a call: of its arguments, its code or its outputs."""
        if self._log is not None:
            delta = partial(_call_delta, step_id, index, kind, piece)
            self._log.emit("thread.run.step.delta", delta)


# A delta is validated as a whole: built object by object it costs three times that.


def _text_delta(
    message_id: str, piece: str, annotations: list[dict[str, Any]] | None, index: int
) -> MessageDelta:
    text: dict[str, Any] = {"value": piece}
    if annotations is not None:
        text["annotations"] = annotations
    return _message_delta(message_id, {"index": index, "type": "text", "text": text})


def _message_delta(message_id: str, part: dict[str, Any]) -> MessageDelta:
    return MessageDelta.model_validate({"id": message_id, "delta": {"content": [part]}})


def _call_delta(
    step_id: str, index: int, kind: CallType, piece: dict[str, Any], **begun: str
) -> RunStepDelta:
    call = {"index": index, "type": kind, kind: piece, **begun}
    details = {"type": "tool_calls", "tool_calls": [call]}
    return RunStepDelta.model_validate(
        {"id": step_id, "delta": {"step_details": details}}
    )
