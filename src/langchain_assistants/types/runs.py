"""Runs: one assistant at work on one thread."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from langchain_assistants.types.base import (
    Array,
    Count,
    Instructions,
    JsonObject,
    Metadata,
    NonEmpty,
    Opt,
    ReasoningEffort,
    Temperature,
    TokenBudget,
    TopP,
    WireObject,
    one_of,
    request,
    required_field,
    tag,
)
from langchain_assistants.types.messages import MessageCreate
from langchain_assistants.types.threads import ThreadCreate
from langchain_assistants.types.tool_resources import ToolResourcesParam
from langchain_assistants.types.tools import (
    ResponseFormat,
    Tool,
    ToolChoice,
    ToolParam,
)

RunStatus = Literal[
    "queued",
    "in_progress",
    "requires_action",
    "cancelling",
    "cancelled",
    "failed",
    "completed",
    "incomplete",
    "expired",
]
ACTIVE_STATUSES: frozenset[RunStatus] = frozenset(
    {"queued", "in_progress", "requires_action", "cancelling"}
)
TERMINAL_STATUSES: frozenset[RunStatus] = frozenset(
    {"cancelled", "failed", "completed", "incomplete", "expired"}
)


class RequiredFunction(WireObject):
    """Hold the call as the model wrote it; `arguments` may be malformed JSON."""

    name: str
    arguments: str


class RequiredToolCall(WireObject):
    """Ask the caller to run a function and to submit its output."""

    id: str
    type: Literal["function"] = "function"
    function: RequiredFunction


class SubmitToolOutputs(WireObject):
    """List the open calls; all of them are answered in one request."""

    tool_calls: list[RequiredToolCall]


class ApprovalRequest(WireObject):
    """Hold what middleware asks a human."""

    id: str
    value: Any


class Approval(WireObject):
    """List the open questions to a human."""

    requests: list[ApprovalRequest]


class RequiredAction(WireObject):
    """Say what the run waits for; `approval` is an extension."""

    type: Literal["submit_tool_outputs", "approval"] = "submit_tool_outputs"
    submit_tool_outputs: Opt[SubmitToolOutputs] = None
    approval: Opt[Approval] = None


class LastError(WireObject):
    """Say why a run or a step failed."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class IncompleteDetails(WireObject):
    """Say which budget ended the run."""

    reason: Opt[Literal["max_completion_tokens", "max_prompt_tokens"]] = None


class Usage(WireObject):
    """Count the tokens of a step or of a whole run.

    Attributes:
        interpreter_seconds: For how long a code interpreter executed code of the run
            (extension); absent where none did.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    interpreter_seconds: Opt[float] = None


class TruncationStrategy(WireObject):
    """Say how much of the thread the model sees."""

    type: Literal["auto", "last_messages"] = "auto"
    last_messages: int | None = None


class Run(WireObject):
    """Be a stored run.

    `model`, `instructions`, `tools` and the sampling fields are the values in force:
    the run's own where it gave any, else the assistant's.
    """

    id: str
    object: Literal["thread.run"] = "thread.run"
    created_at: int
    thread_id: str
    assistant_id: str
    status: RunStatus
    required_action: RequiredAction | None = None
    last_error: LastError | None = None
    expires_at: int | None = None
    started_at: int | None = None
    cancelled_at: int | None = None
    failed_at: int | None = None
    completed_at: int | None = None
    incomplete_details: IncompleteDetails | None = None
    model: str
    instructions: str = ""
    tools: list[Tool] = Field(default_factory=list)
    metadata: dict[str, str] | None = None
    usage: Usage | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_prompt_tokens: int | None = None
    max_completion_tokens: int | None = None
    truncation_strategy: TruncationStrategy | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool = True
    response_format: str | dict[str, Any] | None = None


@request
class TruncationStrategyFields(TypedDict, total=False):
    """A truncation strategy in a request."""

    type: Required[Literal["auto", "last_messages"]]
    last_messages: Count | None


def _last_messages_needs_a_number(value: dict[str, Any]) -> dict[str, Any]:
    if value["type"] == "last_messages" and value.get("last_messages") is None:
        raise required_field("last_messages")
    return value


TruncationStrategyParam = Annotated[
    TruncationStrategyFields, AfterValidator(_last_messages_needs_a_number)
]


@request
class RunCreate(TypedDict, total=False):
    """Fields of a new run; the last four are extensions."""

    assistant_id: Required[NonEmpty]
    model: NonEmpty | None
    instructions: Instructions | None
    additional_instructions: Instructions | None
    additional_messages: Array[MessageCreate] | None
    tools: Annotated[Array[ToolParam], Field(max_length=128)] | None
    metadata: Metadata | None
    temperature: Temperature | None
    top_p: TopP | None
    stream: bool | None
    max_prompt_tokens: TokenBudget | None
    max_completion_tokens: TokenBudget | None
    truncation_strategy: TruncationStrategyParam | None
    tool_choice: ToolChoice | None
    parallel_tool_calls: bool | None
    response_format: ResponseFormat | None
    reasoning_effort: ReasoningEffort | None
    on_active_run: Literal["reject", "queue", "cancel"] | None
    history: Literal["full", "messages"] | None
    tool_errors: Literal["model", "fail"] | None
    expires_after: Annotated[int, Field(ge=1, le=2_592_000)] | None


@request
class ThreadRunCreate(RunCreate, total=False):
    """Fields of a new run and of the new thread it is on."""

    thread: ThreadCreate | None
    tool_resources: ToolResourcesParam | None


@request
class RunUpdate(TypedDict, total=False):
    """Fields of a run to replace; an absent one is kept."""

    metadata: Metadata | None


Output = Annotated[
    Annotated[str, tag("string")] | Annotated[JsonObject, tag("object")],
    one_of("a string or an object"),
]


@request
class ToolOutput(TypedDict):
    """The output of one call, or the JSON answer to one approval request."""

    tool_call_id: NonEmpty
    output: Output


@request
class ToolOutputs(TypedDict, total=False):
    """The outputs of all open calls."""

    tool_outputs: Required[Array[ToolOutput]]
    stream: bool | None
