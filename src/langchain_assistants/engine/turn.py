"""One answer of the model, while it arrives in pieces and when it is whole."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, AIMessageChunk, ToolCall

from langchain_assistants.engine.announcer import Announcer
from langchain_assistants.engine.call_types import (
    CODE,
    CallType,
    CodeStream,
    new_call,
)
from langchain_assistants.engine.drafts import Drafts, MessageDraft
from langchain_assistants.engine.exhibits import Exhibits, Marking
from langchain_assistants.engine.step_rows import StepDraft
from langchain_assistants.storage.database import to_json

MALFORMED = "langchain_assistants_malformed"
"""Marks, in an AI message, the calls whose arguments were not JSON, with the reason."""


class _Call(NamedTuple):
    """A call as a chat model reports it; `raw` where its arguments did not parse."""

    id: str | None
    name: str
    args: dict[str, Any]
    raw: str | None


class Turn:
    """What one answer holds: at most one message and one step of tool calls.

    Args:
        drafts: Makes them.
        announcer: Tells each piece as it comes.
        parallel: Whether the answer may hold more than one call.
        structured_tools: Tools whose arguments are the answer's text (structured output
            of a model without native support).
        hosted: Tools that the engine executes: their names are types on the wire.
        exhibits: What the message may show, link or cite.
    """

    def __init__(
        self,
        drafts: Drafts,
        announcer: Announcer,
        *,
        parallel: bool,
        structured_tools: frozenset[str],
        hosted: Collection[CallType],
        exhibits: Exhibits,
    ) -> None:
        """Begin without a piece."""
        self.message: MessageDraft | None = None
        self.step: StepDraft | None = None
        self._drafts = drafts
        self._announcer = announcer
        self._parallel = parallel
        self._structured_tools = structured_tools
        self._hosted = hosted
        self._exhibits = exhibits
        self._marking = Marking(exhibits)
        self._annotated = False
        # The call that the pieces of an index belong to; "" is structured text.
        self._by_index: dict[int, str] = {}
        # Arguments exactly as the model wrote them, and names, by call id, in order.
        self._arguments: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._code: dict[str, CodeStream] = {}

    @property
    def heard(self) -> bool:
        """Whether a piece has been told to listeners."""
        return self.message is not None or self.step is not None

    def hear(self, chunk: AIMessageChunk) -> None:
        """Take a piece of the answer."""
        if piece := str(chunk.text):
            self.say(piece)
        for call in chunk.tool_call_chunks:
            self._hear_call(call)

    def say(self, piece: str) -> MessageDraft:
        """Append text to the message, beginning it with the first piece."""
        message = self.open_message()
        message.text += piece
        self._tell(self._marking.feed(piece))
        return message

    def finish(self) -> None:
        """Tell what has been held back of the text, which is whole now."""
        self._tell(self._marking.rest())

    def _tell(self, pieces: Iterable[tuple[str, list[dict[str, Any]] | None]]) -> None:
        message = self.open_message()
        place = len(message.shown.pictures)
        for piece, marks in pieces:
            first, self._annotated = not self._annotated, True
            told = [] if first and marks is None else marks
            self._announcer.text(message.id, piece, told, place)

    def structured_text(self, text: str) -> str:
        """Return the text of a structured answer: as it was heard, if that is JSON."""
        heard = "" if self.message is None else self.message.text
        return heard if heard and _problem(heard) is None else text

    def open_message(self) -> MessageDraft:
        """Return the message, beginning it if there is none."""
        if self.message is None:
            self.message = self._drafts.message(self._exhibits.show())
            self._announcer.step_begun(self.message.step)
            self._announcer.message_begun(self.message)
            for place, file_id in enumerate(self.message.shown.pictures):
                self._announcer.picture(self.message.id, place, file_id)
        return self.message

    def refuse(self, refusal: str) -> None:
        """Take the model's refusal to answer."""
        message = self.open_message()
        message.refusal = refusal
        self._announcer.refusal(message.id, refusal)

    def repaired(self, answer: AIMessage) -> AIMessage:
        """Return the answer with calls that the graph can go on with.

        Every call has an id of its own. One with malformed arguments has empty ones and
        a mark: create_agent would end the run, and while an answer streams LangChain
        completes cut-off JSON in silence.
        """
        calls = [
            _Call(c["id"], c["name"], c["args"], None) for c in answer.tool_calls
        ] + [
            _Call(c["id"], c["name"] or "", {}, c["args"] or "")
            for c in answer.invalid_tool_calls
        ]
        if not calls:
            return answer
        if not self._parallel:
            calls = calls[:1]
        heard = list(self._arguments)
        usable: list[ToolCall] = []
        malformed: dict[str, str] = {}
        for place, call in enumerate(calls):
            call_id = heard[place] if place < len(heard) else self._whole_call(call)
            problem = _problem(self._arguments[call_id])
            if problem is not None:
                malformed[call_id] = problem
            args = call.args if problem is None else {}
            usable.append(
                ToolCall(name=call.name, args=args, id=call_id, type="tool_call")
            )
        self._describe(usable)
        marks = {MALFORMED: malformed} if malformed else {}
        return answer.model_copy(
            update={
                "tool_calls": usable,
                "invalid_tool_calls": [],
                "additional_kwargs": {**answer.additional_kwargs, **marks},
            }
        )

    def _hear_call(self, call: Mapping[str, Any]) -> None:
        index = call.get("index")
        index = index if isinstance(index, int) else len(self._by_index)
        name, piece = call.get("name"), call.get("args") or ""
        if index not in self._by_index:
            if name in self._structured_tools:
                self._by_index[index] = ""
            elif self._arguments and not self._parallel:
                return
            else:
                self._by_index[index] = self._begin_call(call.get("id"), name or "")
        call_id = self._by_index[index]
        if not call_id:
            self.say(piece)
        elif piece:
            self._append_arguments(call_id, piece)

    def _whole_call(self, call: _Call) -> str:
        """Take a call that was not heard in pieces."""
        call_id = self._begin_call(call.id, call.name)
        raw = json.dumps(call.args) if call.raw is None else call.raw
        self._append_arguments(call_id, raw)
        return call_id

    def _begin_call(self, wanted: str | None, name: str) -> str:
        if self.step is None:
            self.step = self._drafts.tool_calls()
            self._announcer.step_begun(self.step)
        call_id = self._drafts.call_id(wanted)
        place = len(self._arguments)
        self._arguments[call_id] = ""
        self._names[call_id] = name
        kind = self._kind(name)
        if kind == "code_interpreter":
            self._code[call_id] = CodeStream()
        self._announcer.call_begun(self.step.id, place, call_id, kind, name)
        return call_id

    def _kind(self, name: str) -> CallType:
        return next((kind for kind in self._hosted if kind == name), "function")

    def _append_arguments(self, call_id: str, piece: str) -> None:
        assert self.step is not None
        self._arguments[call_id] += piece
        kind = self._kind(self._names[call_id])
        if kind == "function":
            self._tell_call(call_id, kind, {"arguments": piece})
        elif kind == "code_interpreter" and (code := self._code[call_id].feed(piece)):
            self._tell_call(call_id, kind, {"input": code})

    def _tell_call(self, call_id: str, kind: CallType, piece: dict[str, Any]) -> None:
        assert self.step is not None
        place = list(self._arguments).index(call_id)
        self._announcer.call(self.step.id, place, kind, piece)

    def describe_heard(self) -> None:
        """Write the calls into the step, as far as they have been heard."""
        if self.step is not None:
            self.step.details["tool_calls"] = [
                new_call(
                    self._kind(self._names[call_id]),
                    call_id,
                    self._names[call_id],
                    arguments,
                    {CODE: self._code[call_id].heard} if call_id in self._code else {},
                )
                for call_id, arguments in self._arguments.items()
            ]

    def _describe(self, calls: list[ToolCall]) -> None:
        """Write the calls into the step as it is stored."""
        assert self.step is not None
        described = self.step.details["tool_calls"] = [
            new_call(
                self._kind(call["name"]),
                call["id"] or "",
                call["name"],
                self._arguments[call["id"] or ""] or "{}",
                call["args"],
            )
            for call in calls
        ]
        for call_id, stream in self._code.items():
            for held in (c for c in described if c["id"] == call_id):
                if rest := stream.rest(held["code_interpreter"]["input"]):
                    self._tell_call(call_id, "code_interpreter", {"input": rest})


def tokens_of(answer: AIMessage) -> tuple[int, int]:
    """Return the prompt and completion tokens of an answer, 0 where unknown."""
    usage = answer.usage_metadata
    return (usage["input_tokens"], usage["output_tokens"]) if usage else (0, 0)


def finish_reason(answer: AIMessage) -> str | None:
    """Return why the model stopped, in its provider's word."""
    metadata = answer.response_metadata
    reason = metadata.get("finish_reason") or metadata.get("stop_reason")
    return reason if isinstance(reason, str) else None


def malformed_problem(answer: AIMessage | None, call_id: str) -> str | None:
    """Return what is wrong with a call's arguments, if anything is."""
    marks = {} if answer is None else answer.additional_kwargs.get(MALFORMED, {})
    problem: str | None = marks.get(call_id)
    return problem


def json_text(structured: object) -> str:
    """Return a parsed answer as JSON again."""
    dump = getattr(structured, "model_dump", None)
    return to_json(dump(mode="json") if dump else structured)


def _problem(arguments: str) -> str | None:
    if not arguments.strip():
        return None  # no arguments at all are an empty object
    try:
        value = json.loads(arguments)
    except ValueError as error:
        return f"the arguments are not valid JSON ({error})"
    return None if isinstance(value, dict) else "the arguments are not a JSON object"
