"""What a `ScriptedChatModel` plays: its steps, and what it was asked.

Nothing here speaks LangChain's model protocol; `scripted_model` does.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    ToolCall,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call


class UnexpectedModelCall(AssertionError):
    """Report a call for which the script had no step left."""


class UnconsumedSteps(AssertionError):
    """Report steps of a script that the model was never asked for."""


class Signal(Protocol):
    """Tell whether a reply may start: any threading, asyncio or anyio Event."""

    def is_set(self) -> bool:
        """Return whether the event has happened."""
        ...


@dataclass(frozen=True, slots=True)
class ModelCall:
    """What the model was asked, once.

    Attributes:
        messages: The prompt, in order.
        tools: The offered tools in OpenAI's form.
        tool_choice: As it was bound, None when it was not.
        parallel_tool_calls: As it was bound, None when it was not.
        response_format: As it was bound, None when it was not.
        settings: Everything else in effect, bound or set on the model, such as
            temperature, top_p, max_tokens and stop.
        streaming: Whether the answer was streamed.
    """

    messages: list[BaseMessage]
    tools: list[dict[str, Any]]
    tool_choice: Any
    parallel_tool_calls: bool | None
    response_format: Any
    settings: dict[str, Any]
    streaming: bool

    @property
    def tool_names(self) -> list[str]:
        """Name the offered tools; a hosted tool goes by its type."""
        return [
            tool["function"]["name"] if "function" in tool else tool["type"]
            for tool in self.tools
        ]


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer, with how it arrives.

    Attributes:
        text: The answer's text.
        tool_calls: Made by `call`; several are parallel calls.
        malformed: Made by `malformed_call`: arguments that are not JSON.
        usage: `input_tokens` and `output_tokens`; None counts characters, an empty
            mapping reports no usage at all.
        error: Raised instead of an end: a stream first yields the text and calls.
        delay: Seconds before the first token; 0 leaves it to the model's `delay`.
        wait_for: The reply starts when this event is set.
        refusal: The text of a refusal, as OpenAI reports one.
        finish_reason: None derives `stop` or `tool_calls`.
    """

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    malformed: Sequence[InvalidToolCall] = ()
    usage: Mapping[str, Any] | None = None
    error: BaseException | None = None
    delay: float = 0.0
    wait_for: Signal | None = None
    refusal: str | None = None
    finish_reason: str | None = None


Responder: TypeAlias = "Callable[[list[BaseMessage], ModelCall], Step]"
Step: TypeAlias = "str | AIMessage | Reply | BaseException | Responder"


def call(
    name: str, args: Mapping[str, Any] | None = None, id: str | None = None
) -> ToolCall:
    """Make a tool call for a `Reply`; without an id it gets the next one."""
    return tool_call(name=name, args=dict(args or {}), id=id)


def malformed_call(name: str, args: str, id: str | None = None) -> InvalidToolCall:
    """Make a tool call whose arguments are this raw text.

    Warning:
        langchain-core repairs the beginning of an object while it adds up a stream,
        for every model: `{"q": ` streamed is a valid call with `{}`, and only
        `invoke` reports it as invalid. Text that begins no object (`q=1`) is invalid
        both ways.
    """
    return invalid_tool_call(name=name, args=args, id=id, error=None)


class Script:
    """The steps that are left and the calls so far, shared by a model's copies."""

    def __init__(self, steps: Iterable[Step], respond: Responder | None) -> None:
        """Play the steps in order, then `respond` without end if it is given."""
        self.steps = list(steps)
        self.respond = respond
        self.calls: list[ModelCall] = []
        self.unexpected: UnexpectedModelCall | None = None
        self._cursor = 0
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return itself: a deep copy of a model plays the same script."""
        return self

    @property
    def left(self) -> list[Step]:
        """The steps that no call has taken yet."""
        return self.steps[self._cursor :]

    def take(self, asked: ModelCall, *, record: bool) -> Step:
        """Return the next step.

        Raises:
            UnexpectedModelCall: No step is left.
        """
        with self._lock:
            if record:
                self.calls.append(asked)
            if self._cursor < len(self.steps):
                self._cursor += 1
                return self.steps[self._cursor - 1]
            if self.respond is not None:
                return self.respond
            self.unexpected = UnexpectedModelCall(
                f"The script has no step left ({len(self.steps)} were given), "
                f"but the model was called again. {_describe(asked)}"
            )
            raise self.unexpected

    def call_ids(
        self, given: Sequence[str | None], prompt: Iterable[BaseMessage]
    ) -> list[str]:
        """Replace each missing id by the next one that the prompt does not hold.

        A script that is played again in a second process meets its own earlier ids
        in the prompt; real ids are never used twice in a conversation.
        """
        taken = {
            made["id"]
            for message in prompt
            if isinstance(message, AIMessage)
            for made in (*message.tool_calls, *message.invalid_tool_calls)
        }
        with self._lock:
            ids = (f"call_{number:024d}" for number in self._numbers)
            unused = (call_id for call_id in ids if call_id not in taken)
            return [call_id or next(unused) for call_id in given]


def _describe(asked: ModelCall) -> str:
    shapes = ", ".join(
        f"{message.type} ({len(message.text)} characters)" for message in asked.messages
    )
    humans = [m.text for m in asked.messages if isinstance(m, HumanMessage)]
    last = f" Its last human message: {humans[-1]!r}." if humans else ""
    tools = f" Offered tools: {', '.join(asked.tool_names)}." if asked.tools else ""
    return f"It was asked with: {shapes}.{last}{tools}"
