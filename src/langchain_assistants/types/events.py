"""Events of a run's stream; how they are numbered and sent is not known here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from langchain_assistants.types.base import Opt, WireObject
from langchain_assistants.types.messages import ImageFile, ImageUrl
from langchain_assistants.types.steps import CreatedMessage

EventName = Literal[
    "thread.created",
    "thread.run.created",
    "thread.run.queued",
    "thread.run.in_progress",
    "thread.run.requires_action",
    "thread.run.completed",
    "thread.run.incomplete",
    "thread.run.failed",
    "thread.run.cancelling",
    "thread.run.cancelled",
    "thread.run.expired",
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.run.step.delta",
    "thread.run.step.completed",
    "thread.run.step.failed",
    "thread.run.step.cancelled",
    "thread.run.step.expired",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
    "thread.message.completed",
    "thread.message.incomplete",
    "error",
    "done",
]
EVENT_NAMES: tuple[EventName, ...] = get_args(EventName)
STOP_EVENTS: frozenset[EventName] = frozenset(
    {
        "thread.run.requires_action",
        "thread.run.completed",
        "thread.run.incomplete",
        "thread.run.failed",
        "thread.run.cancelled",
        "thread.run.expired",
        "error",
    }
)
"""After one of these nothing but `done` comes."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Tell of one change of a run.

    Attributes:
        event: The wire's name; one of `EVENT_NAMES`.
        data: The object after the change, or its delta; None for `done`.
        id: `<attempt>.<number>`; numbers are dense within an attempt.
    """

    event: EventName
    data: WireObject | None
    id: str


class StreamError(WireObject):
    """Tell that the stream itself broke; a failed run is told by its own event."""

    message: str
    type: str = "server_error"
    param: str | None = None
    code: str | None = None


class TextPiece(WireObject):
    """Hold what is new in a text; each annotation carries its `index`."""

    value: Opt[str] = None
    annotations: Opt[list[dict[str, Any]]] = None


class TextDelta(WireObject):
    """Hold what is new in the text part at an index."""

    index: int
    type: Literal["text"] = "text"
    text: Opt[TextPiece] = None


class ImageFileDelta(WireObject):
    """Hold a whole image part: pictures do not come in pieces."""

    index: int
    type: Literal["image_file"] = "image_file"
    image_file: Opt[ImageFile] = None


class ImageUrlDelta(WireObject):
    """Hold a whole image part: addresses do not come in pieces."""

    index: int
    type: Literal["image_url"] = "image_url"
    image_url: Opt[ImageUrl] = None


class RefusalDelta(WireObject):
    """Hold what is new in the refusal at an index."""

    index: int
    type: Literal["refusal"] = "refusal"
    refusal: Opt[str] = None


ContentDelta = Annotated[
    TextDelta | ImageFileDelta | ImageUrlDelta | RefusalDelta,
    Field(discriminator="type"),
]


class MessageChange(WireObject):
    """Hold the content parts that grew."""

    role: Opt[Literal["user", "assistant"]] = None
    content: Opt[list[ContentDelta]] = None


class MessageDelta(WireObject):
    """Tell what is new in a message.

    Stock clients merge deltas (strings are appended, numbers added), so that nothing
    but pieces of text may be repeated in later deltas.
    """

    id: str
    object: Literal["thread.message.delta"] = "thread.message.delta"
    delta: MessageChange

    @property
    def text(self) -> str:
        """Join the new pieces of text."""
        return "".join(
            part.text.value
            for part in self.delta.content or ()
            if isinstance(part, TextDelta) and part.text and part.text.value
        )


class FunctionPiece(WireObject):
    """Hold what is new in a function call; its name comes once."""

    name: Opt[str] = None
    arguments: Opt[str] = None
    output: Opt[str] = None


class CodeInterpreterPiece(WireObject):
    """Hold what is new in an execution; each output carries its `index`."""

    input: Opt[str] = None
    outputs: Opt[list[dict[str, Any]]] = None


class ToolCallDelta(WireObject):
    """Hold what is new in the tool call at an index; its id comes once."""

    index: int
    id: Opt[str] = None
    type: Literal["function", "code_interpreter", "file_search"]
    function: Opt[FunctionPiece] = None
    code_interpreter: Opt[CodeInterpreterPiece] = None
    file_search: Opt[dict[str, Any]] = None


class StepDetailsDelta(WireObject):
    """Hold the tool calls that grew, or the message that a step began."""

    type: Literal["tool_calls", "message_creation"] = "tool_calls"
    tool_calls: Opt[list[ToolCallDelta]] = None
    message_creation: Opt[CreatedMessage] = None


class RunStepChange(WireObject):
    """Hold the details that grew."""

    step_details: Opt[StepDetailsDelta] = None


class RunStepDelta(WireObject):
    """Tell what is new in a run step; the rules of `MessageDelta` hold."""

    id: str
    object: Literal["thread.run.step.delta"] = "thread.run.step.delta"
    delta: RunStepChange
