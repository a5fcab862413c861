"""Run steps: what a run did, one model turn at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from langchain_assistants.types.base import Opt, WireObject
from langchain_assistants.types.runs import LastError, Usage
from langchain_assistants.types.tools import RankingOptions


class CreatedMessage(WireObject):
    """Name the message that a step wrote."""

    message_id: str


class MessageCreationDetails(WireObject):
    """Tell that the step wrote a message."""

    type: Literal["message_creation"] = "message_creation"
    message_creation: CreatedMessage


class LogsOutput(WireObject):
    """Hold what the code printed."""

    type: Literal["logs"] = "logs"
    logs: str


class OutputImage(WireObject):
    """Name the file of a picture."""

    file_id: str


class ImageOutput(WireObject):
    """Hold a picture that the code drew."""

    type: Literal["image"] = "image"
    image: OutputImage


class MadeFile(WireObject):
    """Name the file that code has written under a path of its sandbox."""

    path: str
    file_id: str


class CodeInterpreterExecution(WireObject):
    """Hold the code and what came of it; without outputs until that is known.

    Attributes:
        files: What the code has written (extension).
        seconds: How long it took (extension).
    """

    input: str
    outputs: Annotated[
        list[Annotated[LogsOutput | ImageOutput, Field(discriminator="type")]],
        BeforeValidator(lambda outputs: outputs or []),
    ] = Field(default_factory=list)
    files: Opt[list[MadeFile]] = None
    seconds: Opt[float] = None


class CodeInterpreterCall(WireObject):
    """Record a call of the code interpreter."""

    id: str
    type: Literal["code_interpreter"] = "code_interpreter"
    code_interpreter: CodeInterpreterExecution


class FoundText(WireObject):
    """Hold the text of a found chunk."""

    type: Literal["text"] = "text"
    text: str


class FileSearchResult(WireObject):
    """Hold a found file; `content` only where the caller asked for it.

    Attributes:
        marker: How the model cites it (extension): `0:1` of `【0:1†source】`.
        page: Where it begins, counted from 1 (extension).
    """

    file_id: str
    file_name: str
    score: float
    content: Opt[list[FoundText]] = None
    marker: Opt[str] = None
    page: Opt[int] = None


class FileSearchExecution(WireObject):
    """Hold how a search ranked and what it found.

    Attributes:
        query: What was searched for (extension).
    """

    query: Opt[str] = None
    ranking_options: Opt[RankingOptions] = None
    results: Opt[list[FileSearchResult]] = None


class FileSearchCall(WireObject):
    """Record a call of file search."""

    id: str
    type: Literal["file_search"] = "file_search"
    file_search: FileSearchExecution


class FunctionExecution(WireObject):
    """Hold a function call; `output` is null until it is known."""

    name: str
    arguments: str
    output: str | None = None


class FunctionCall(WireObject):
    """Record a call of a function."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionExecution


ToolCall = Annotated[
    CodeInterpreterCall | FileSearchCall | FunctionCall, Field(discriminator="type")
]


class ToolCallsDetails(WireObject):
    """Tell that the step called tools: all calls of one model turn."""

    type: Literal["tool_calls"] = "tool_calls"
    tool_calls: list[ToolCall] = Field(default_factory=list)


StepDetails = Annotated[
    MessageCreationDetails | ToolCallsDetails, Field(discriminator="type")
]


class RunStep(WireObject):
    """Be a stored run step."""

    id: str
    object: Literal["thread.run.step"] = "thread.run.step"
    created_at: int
    assistant_id: str
    thread_id: str
    run_id: str
    type: Literal["message_creation", "tool_calls"]
    status: Literal["in_progress", "cancelled", "failed", "completed", "expired"]
    step_details: StepDetails
    last_error: LastError | None = None
    expired_at: int | None = None
    cancelled_at: int | None = None
    failed_at: int | None = None
    completed_at: int | None = None
    metadata: dict[str, str] | None = None
    usage: Usage | None = None

    def without_found_texts(self) -> RunStep:
        """Return the step without the texts that its searches found."""
        if not any(self._found()):
            return self
        step = self.model_copy(deep=True)
        for result in step._found():
            result.content = None
        return step

    def _found(self) -> Iterator[FileSearchResult]:
        if isinstance(self.step_details, ToolCallsDetails):
            for call in self.step_details.tool_calls:
                if isinstance(call, FileSearchCall):
                    yield from call.file_search.results or ()
