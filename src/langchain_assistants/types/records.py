"""What belongs together on display: a run with what it did, a thread's messages.

How an engine reads them is its own business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from langchain_assistants.types.base import WireObject
from langchain_assistants.types.events import (
    ContentDelta,
    ImageFileDelta,
    ImageUrlDelta,
    MessageDelta,
    RefusalDelta,
    RunEvent,
    RunStepDelta,
    StreamError,
    TextDelta,
    ToolCallDelta,
)
from langchain_assistants.types.messages import (
    ImageFileContent,
    ImageUrlContent,
    Message,
    RefusalContent,
    Text,
    TextContent,
)
from langchain_assistants.types.runs import Run
from langchain_assistants.types.steps import (
    CodeInterpreterCall,
    CodeInterpreterExecution,
    FileSearchCall,
    FileSearchExecution,
    FunctionCall,
    FunctionExecution,
    RunStep,
    ToolCall,
    ToolCallsDetails,
)

ObjectT = TypeVar("ObjectT", Message, RunStep)


@dataclass(repr=False)
class RunRecord:
    """A run with its steps and messages.

    Attributes:
        run: The run as it was told or read last; None: not told of yet.
        steps: Its steps, oldest first.
        messages: The messages that it wrote, oldest first.
        error: What broke the stream of its events, if anything did.
        remark: What to say of it besides where it is displayed.

    Example:
        >>> run = Run(
        ...     id="run_1", created_at=0, thread_id="thread_1", assistant_id="asst_1",
        ...     status="completed", model="scripted",
        ... )
        >>> record = RunRecord()
        >>> record.add(RunEvent("thread.run.completed", run, "1.1"))
        >>> record
        RunRecord(run_1, completed, steps=0, messages=0)
    """

    run: Run | None = None
    steps: list[RunStep] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    error: StreamError | None = None
    remark: str | None = None

    @property
    def text(self) -> str:
        """Join the texts of the messages by line breaks."""
        return "\n".join(message.text for message in self.messages)

    def message(self, message_id: str) -> Message | None:
        """Return the message with an id, if it is known."""
        return _find(self.messages, message_id)

    def add(self, event: RunEvent) -> None:
        """Take in an event; a delta of an unknown object changes nothing."""
        match event.data:
            case Run() as run:
                self.run = run
            case RunStep() as step:
                _put(self.steps, step)
            case Message() as message:
                _put(self.messages, message)
            case RunStepDelta() as delta if known_step := _find(self.steps, delta.id):
                _grow_step(known_step, delta)
            case MessageDelta() as delta if known := self.message(delta.id):
                for piece in delta.delta.content or ():
                    _grow_message(known, piece)
            case StreamError() as error:
                self.error = error
            case _:
                pass

    def __repr__(self) -> str:
        run = self.run
        told = "no run" if run is None else f"{run.id}, {run.status}"
        steps, messages = len(self.steps), len(self.messages)
        return f"RunRecord({told}, steps={steps}, messages={messages})"


@dataclass(frozen=True, slots=True)
class Conversation:
    """The newest messages of a thread.

    Attributes:
        messages: Oldest first.
        earlier: How many messages come before them.
    """

    messages: Sequence[Message]
    earlier: int = 0


class StoredFile(NamedTuple):
    """A file, as far as a display needs it.

    Attributes:
        name: What it is called.
        content: Its bytes, where they were asked for and are not too many.
    """

    name: str
    content: bytes | None = None


class Origin(ABC):
    """Where an object came from: reads, when it is displayed, what belongs to it."""

    @abstractmethod
    def record(self, run_id: str) -> RunRecord:
        """Read a run with what it did so far."""

    @abstractmethod
    def conversation(self, thread_id: str) -> Conversation:
        """Read the newest messages of a thread."""

    @abstractmethod
    def files(
        self, ids: Collection[str], *, contents_of: Collection[str], most_bytes: int
    ) -> Mapping[str, StoredFile]:
        """Read files, those that are there.

        Args:
            ids: Their ids.
            contents_of: The ids of those whose content is asked for.
            most_bytes: A larger content is left out.
        """


def bind(item: WireObject, origin: Origin) -> None:
    """Remember where an object came from."""
    object.__setattr__(item, "_origin", origin)


def origin_of(item: WireObject) -> Origin | None:
    """Return where an object came from, if that is known."""
    origin = getattr(item, "_origin", None)
    # An unknown field of the wire may have this name too.
    return origin if isinstance(origin, Origin) else None


def _find(items: Sequence[ObjectT], object_id: str) -> ObjectT | None:
    return next((item for item in reversed(items) if item.id == object_id), None)


def _put(items: list[ObjectT], item: ObjectT) -> None:
    """Replace the object of this id, or append it; a copy, for deltas change it."""
    copy = item.model_copy(deep=True)
    if (origin := origin_of(item)) is not None:
        bind(copy, origin)
    for index, known in enumerate(items):
        if known.id == item.id:
            items[index] = copy
            return
    items.append(copy)


def _grow_message(message: Message, piece: ContentDelta) -> None:
    parts = message.content
    if piece.index < len(parts):
        part = parts[piece.index]
        if isinstance(piece, TextDelta) and isinstance(part, TextContent):
            part.text.value += (piece.text and piece.text.value) or ""
        elif isinstance(piece, RefusalDelta) and isinstance(part, RefusalContent):
            part.refusal += piece.refusal or ""
        return
    match piece:
        case TextDelta(text=text):
            value = (text and text.value) or ""
            parts.append(TextContent(text=Text(value=value)))
        case RefusalDelta(refusal=refusal):
            parts.append(RefusalContent(refusal=refusal or ""))
        case ImageFileDelta(image_file=image) if image is not None:
            parts.append(ImageFileContent(image_file=image))
        case ImageUrlDelta(image_url=url) if url is not None:
            parts.append(ImageUrlContent(image_url=url))


def _grow_step(step: RunStep, delta: RunStepDelta) -> None:
    details, change = step.step_details, delta.delta.step_details
    if change is None or not isinstance(details, ToolCallsDetails):
        return
    for piece in change.tool_calls or ():
        if piece.index >= len(details.tool_calls):
            details.tool_calls.append(_begun_call(piece))
        _grow_call(details.tool_calls[piece.index], piece)


def _begun_call(piece: ToolCallDelta) -> ToolCall:
    call_id = piece.id or ""
    match piece.type:
        case "function":
            empty = FunctionExecution(name="", arguments="")
            return FunctionCall(id=call_id, function=empty)
        case "code_interpreter":
            code = CodeInterpreterExecution(input="")
            return CodeInterpreterCall(id=call_id, code_interpreter=code)
        case "file_search":
            return FileSearchCall(id=call_id, file_search=FileSearchExecution())


def _grow_call(call: ToolCall, piece: ToolCallDelta) -> None:
    """Add what text there is; outputs are told whole when the step ends."""
    if isinstance(call, FunctionCall) and (function := piece.function):
        call.function.name += function.name or ""
        call.function.arguments += function.arguments or ""
        if function.output is not None:
            call.function.output = (call.function.output or "") + function.output
    elif isinstance(call, CodeInterpreterCall) and (code := piece.code_interpreter):
        call.code_interpreter.input += code.input or ""
