"""What a run is about to store: messages and steps, before they are rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_assistants.engine.exhibits import Shown
from langchain_assistants.engine.message_rows import PREFIX as MESSAGE_PREFIX
from langchain_assistants.engine.message_rows import NewMessage
from langchain_assistants.engine.step_rows import PREFIX as STEP_PREFIX
from langchain_assistants.engine.step_rows import StepDraft, StepType
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.storage.database import storable, to_json
from langchain_assistants.types.messages import Message


@dataclass(slots=True)
class MessageDraft:
    """A message that the model is writing or has written.

    Attributes:
        step: Its message_creation step.
        shown: What it carries besides its text.
        annotations: Of its text.
        source_id: Id of the LangChain message it is made of.
        reason: Why it will stay incomplete, where that is known before the run ends.
    """

    id: str
    thread_id: str
    run_id: str
    assistant_id: str
    step: StepDraft
    created_at: float
    source_id: str | None = None
    text: str = ""
    refusal: str | None = None
    reason: str | None = None
    shown: Shown = field(default_factory=Shown.nothing)
    annotations: Sequence[Mapping[str, Any]] = ()

    def content(self) -> list[dict[str, Any]]:
        """Return the content parts so far."""
        parts: list[dict[str, Any]] = [
            {"type": "image_file", "image_file": {"file_id": file_id}}
            for file_id in self.shown.pictures
        ]
        if self.text:
            annotations = list(self.annotations)
            value = {"value": storable(self.text), "annotations": annotations}
            parts.append({"type": "text", "text": value})
        if self.refusal:
            parts.append({"type": "refusal", "refusal": self.refusal})
        return parts

    def to_row(self, reason: str | None, now: float) -> NewMessage:
        """Return the row of the message as it ends.

        Args:
            reason: Why it is incomplete, if it is.
            now: The time.
        """
        return NewMessage(
            id=self.id,
            role="assistant",
            content=to_json(self.content()),
            attachments=to_json(self.shown.attachments) if self.shown.files else None,
            status="completed" if reason is None else "incomplete",
            assistant_id=self.assistant_id,
            run_id=self.run_id,
            incomplete_reason=reason,
            created_at=self.created_at,
            ended_at=now,
        )

    def begun(self) -> Message:
        """Return the wire's object for the message as it begins."""
        return self._message("in_progress", content=[])

    def ended(self, reason: str | None, now: float) -> Message:
        """Return the wire's object for the message as it ends."""
        if reason is None:
            return self._message(
                "completed", content=self.content(), completed_at=int(now)
            )
        return self._message(
            "incomplete",
            content=self.content(),
            incomplete_at=int(now),
            incomplete_details={"reason": reason},
        )

    def _message(
        self,
        status: Literal["in_progress", "incomplete", "completed"],
        **fields: Any,
    ) -> Message:
        fields["attachments"] = self.shown.attachments
        return Message(
            id=self.id,
            created_at=int(self.created_at),
            thread_id=self.thread_id,
            status=status,
            role="assistant",
            assistant_id=self.assistant_id,
            run_id=self.run_id,
            metadata={},
            **fields,
        )


@dataclass(slots=True)
class Drafts:
    """Makes the drafts of one run, and numbers its turns, steps and calls."""

    workplace: Workplace
    run_id: str
    thread_id: str
    assistant_id: str
    turn: int = 0
    steps: int = 0
    call_ids: set[str] = field(default_factory=set)

    def message(self, shown: Shown) -> MessageDraft:
        """Begin a message with its step."""
        message_id = self.workplace.new_id(MESSAGE_PREFIX)
        created = {"message_id": message_id}
        step = self._step(
            "message_creation",
            {"type": "message_creation", "message_creation": created},
        )
        return MessageDraft(
            message_id,
            self.thread_id,
            self.run_id,
            self.assistant_id,
            step,
            step.created_at,
            shown=shown,
        )

    def tool_calls(self) -> StepDraft:
        """Begin a step of tool calls."""
        return self._step("tool_calls", {"type": "tool_calls", "tool_calls": []})

    def call_id(self, wanted: str | None) -> str:
        """Return the id of a call: the model's own, unless the run has used it."""
        unusable = not wanted or wanted in self.call_ids
        call_id = self.workplace.new_id("call_") if unusable else str(wanted)
        self.call_ids.add(call_id)
        return call_id

    def _step(self, type_: StepType, details: Mapping[str, Any]) -> StepDraft:
        step = StepDraft(
            id=self.workplace.new_id(STEP_PREFIX),
            run_id=self.run_id,
            thread_id=self.thread_id,
            seq=self.steps,
            turn=self.turn,
            type=type_,
            details=dict(details),
            created_at=self.workplace.clock(),
        )
        self.steps += 1
        return step
