"""What one executing run has done so far, and the rows it leaves of it.

The graph's hooks report here; steps, messages and usage become rows in the transaction
that the run's checkpoint joins, and events once that is committed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ToolCall,
)

from langchain_assistants.engine.announcer import Announcer, function_call
from langchain_assistants.engine.message_rows import (
    PREFIX as MESSAGE_PREFIX,
)
from langchain_assistants.engine.message_rows import (
    NewMessage,
    append_messages,
    show_model,
)
from langchain_assistants.engine.run_rows import (
    MESSAGE_REASON,
    Ending,
    Tokens,
    end_run,
    fence,
    require_action,
    to_run,
)
from langchain_assistants.engine.run_settings import RunSettings
from langchain_assistants.engine.step_rows import (
    PREFIX as STEP_PREFIX,
)
from langchain_assistants.engine.step_rows import (
    StepDraft,
    StepStatus,
    record_output,
)
from langchain_assistants.engine.transitions import Trigger
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.storage.database import Query, Row, Transaction, to_json
from langchain_assistants.types.messages import Message
from langchain_assistants.types.runs import Run

MALFORMED = "langchain_assistants_malformed"
"""Marks, in an AI message, the calls whose arguments were not JSON."""


@dataclass(slots=True)
class MessageDraft:
    """A message that the model is writing or has written."""

    id: str
    step: StepDraft
    created_at: float
    source_id: str | None = None
    text: str = ""
    refusal: str | None = None
    incomplete_reason: str | None = None

    def content(self) -> list[dict[str, Any]]:
        """Return the content parts so far."""
        parts: list[dict[str, Any]] = []
        if self.text:
            value = {"value": self.text, "annotations": []}
            parts.append({"type": "text", "text": value})
        if self.refusal:
            parts.append({"type": "refusal", "refusal": self.refusal})
        return parts


@dataclass(slots=True)
class _Turn:
    """One answer of the model, while it arrives."""

    message: MessageDraft | None = None
    step: StepDraft | None = None
    ids: dict[int, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)


class RunRecorder:
    """Records one attempt of a run.

    Attributes:
        thread_id: The run's thread.
        attempt: Fences every write of this attempt.
        history: Messages that the run found, by id.
        tokens: Used so far, earlier attempts included.
        resumed: Whether an earlier part of the run left a checkpoint.
        client_functions: Names of the functions that the run's caller executes.
        incomplete_reason: The budget that ended the run, once one did.
    """

    def __init__(
        self,
        workplace: Workplace,
        row: Row,
        settings: RunSettings,
        announcer: Announcer,
        *,
        structured_tools: frozenset[str] = frozenset(),
    ) -> None:
        """Begin with a claimed run's row."""
        self._workplace = workplace
        self._announcer = announcer
        self._row = row
        self._settings = settings
        self._structured_tools = structured_tools
        self.run_id: str = row["id"]
        self.thread_id: str = row["thread_id"]
        self.attempt: int = row["attempt"]
        self.tokens = Tokens(row["prompt_tokens"], row["completion_tokens"])
        self.client_functions: frozenset[str] = frozenset()
        self.resumed = False
        self.history: Mapping[str, BaseMessage] = {}
        self.incomplete_reason: str | None = None
        self.content_filtered = False
        self.outputs: dict[str, bytes] = {}
        self.messages: list[Message] = []
        self._end: int = row["cursor"]
        self._turns = 0
        self._steps = 0
        self._turn: _Turn | None = None
        self._open_step: StepDraft | None = None
        self._written: list[MessageDraft] = []
        self._call_ids: set[str] = set()
        self._pending: list[Transaction[Any]] = []
        self._announcements: list[Callable[[], None]] = []

    # -- what the executor tells

    def resume(
        self, steps: Sequence[StepDraft], outputs: dict[str, bytes], end: int
    ) -> None:
        """Go on where an earlier part of the run stopped."""
        self.resumed = True
        self.outputs = outputs
        self._end = end
        self._steps = len(steps)
        self._turns = steps[-1].turn + 1 if steps else 0
        for step in steps:
            self._call_ids |= {c["id"] for c in step.details.get("tool_calls", ())}
        if steps and steps[-1].status == "in_progress":
            self._open_step = steps[-1]

    @property
    def listening(self) -> bool:
        """Whether tokens are worth streaming."""
        return self._announcer.listening

    # -- what the model's hooks tell

    def begin_turn(self) -> None:
        """Begin a model call (or its retry, if nothing of it was heard)."""
        if self._turn is None or self._turn.message or self._turn.step:
            self._turn = _Turn()

    @property
    def streamed(self) -> bool:
        """Whether listeners have heard some of the current answer."""
        turn = self._turn
        return turn is not None and bool(turn.message or turn.step)

    def chunk(self, chunk: AIMessageChunk) -> None:
        """Take a piece of the answer as it arrives."""
        turn = self._turn
        if turn is None:
            return
        if piece := chunk.text:
            self._say(turn, str(piece))
        for call in chunk.tool_call_chunks:
            self._call_piece(turn, call)

    def _call_piece(self, turn: _Turn, call: Mapping[str, Any]) -> None:
        index = call.get("index")
        index = index if isinstance(index, int) else len(turn.ids)
        name, piece = call.get("name"), call.get("args") or ""
        if index not in turn.ids:
            if name in self._structured_tools:
                turn.ids[index] = ""
            elif index > 0 and not self._settings.parallel_tool_calls:
                return
            else:
                turn.ids[index] = self._begin_call(turn, call.get("id"), name or "")
        call_id = turn.ids[index]
        if not call_id:
            self._say(turn, piece)  # a structured answer: its arguments are the text
        elif piece and turn.step is not None:
            turn.arguments[call_id] += piece
            place = list(turn.arguments).index(call_id)
            self._announcer.call_arguments(turn.step.id, place, piece)

    def _begin_call(self, turn: _Turn, call_id: str | None, name: str) -> str:
        if turn.step is None:
            turn.step = self._draft_step("tool_calls", _no_calls())
            self._announcer.step_begun(turn.step)
        if not call_id or call_id in self._call_ids:
            call_id = self._workplace.new_id("call_")
        self._call_ids.add(call_id)
        place = len(turn.arguments)
        turn.arguments[call_id] = ""
        self._announcer.call_begun(turn.step.id, place, call_id, name)
        return call_id

    def answered(
        self, answer: AIMessage, structured: object | None = None
    ) -> AIMessage:
        """Take a whole answer; return it as the graph shall go on with it.

        Malformed calls become calls with empty arguments and a marker, for create_agent
        would end the run; calls without an id of their own get one.
        """
        turn, self._turn = self._turn or _Turn(), None
        prompt, completion = _tokens_of(answer)
        self.tokens = Tokens(
            self.tokens.prompt + prompt, self.tokens.completion + completion
        )
        if structured is not None and answer.tool_calls:
            text = _json_text(structured)
        else:
            text = str(answer.text)
            answer = self._with_calls(turn, answer)
        stopped = self._budget_ends(answer)
        calls = [] if structured is not None or stopped else answer.tool_calls
        refusal = answer.additional_kwargs.get("refusal")
        if text or refusal:
            if turn.message is None:
                self._say(turn, text)
            message = turn.message or self._begin_message(turn)
            message.text = text
            message.source_id = answer.id
            if refusal:
                message.refusal = refusal
                self._announcer.refusal(message.id, refusal)
        if turn.message is not None:
            self._written.append(turn.message)
            if not calls:
                _count(turn.message.step, prompt, completion)
        if calls:
            self._store_calls(turn, answer, prompt, completion)
        self._turns += 1
        return answer

    def _with_calls(self, turn: _Turn, answer: AIMessage) -> AIMessage:
        """Return the answer with usable calls only: ids of their own, parsed arguments."""
        if not answer.tool_calls and not answer.invalid_tool_calls:
            return answer
        malformed: dict[str, str] = {}
        calls: list[ToolCall] = []
        heard = [call_id for call_id in turn.ids.values() if call_id]
        given = [(c["id"], c["name"], c["args"], None) for c in answer.tool_calls] + [
            (c["id"], c["name"], {}, c["args"] or "") for c in answer.invalid_tool_calls
        ]
        if not self._settings.parallel_tool_calls:
            given = given[:1]
        for place, (given_id, name, args, raw) in enumerate(given):
            call_id = given_id
            if given_id not in turn.arguments:
                if heard and place < len(heard):
                    call_id = heard[place]
                else:
                    call_id = self._begin_call(turn, given_id, name or "")
                    raw = json.dumps(args) if raw is None else raw
                    turn.arguments[call_id] = raw
                    if turn.step is not None:
                        self._announcer.call_arguments(turn.step.id, place, raw)
            problem = _problem(turn.arguments[call_id or ""])
            if problem:
                malformed[call_id or ""] = problem
            calls.append(
                ToolCall(
                    name=name or "",
                    args={} if problem else args,
                    id=call_id,
                    type="tool_call",
                )
            )
        return answer.model_copy(
            update={
                "tool_calls": calls,
                "invalid_tool_calls": [],
                "additional_kwargs": {
                    **answer.additional_kwargs,
                    **({MALFORMED: malformed} if malformed else {}),
                },
            }
        )

    def _budget_ends(self, answer: AIMessage) -> bool:
        """Note the budget that this answer used up; tell whether the run must stop."""
        limits, used = self._settings, self.tokens
        cut = _finish_reason(answer)
        if cut in ("length", "max_tokens"):
            self.incomplete_reason = "max_completion_tokens"
        elif cut == "content_filter":
            self.content_filtered = True
        goes_on = bool(answer.tool_calls)
        for limit, spent, reason in (
            (limits.max_completion_tokens, used.completion, "max_completion_tokens"),
            (limits.max_prompt_tokens, used.prompt, "max_prompt_tokens"),
        ):
            if limit is not None and (spent > limit or (goes_on and spent >= limit)):
                self.incomplete_reason = self.incomplete_reason or reason
        return self.incomplete_reason is not None

    def _store_calls(
        self, turn: _Turn, answer: AIMessage, prompt: int, completion: int
    ) -> None:
        step = turn.step
        assert step is not None
        if turn.message is not None:
            _count(turn.message.step, 0, 0)
        _count(step, prompt, completion)
        names = {call["id"]: call["name"] for call in answer.tool_calls}
        step.details["tool_calls"] = [
            function_call(call_id, names[call_id], arguments or "{}")
            for call_id, arguments in turn.arguments.items()
            if call_id in names
        ]
        self._open_step = step
        self._pending.append(fence(self.run_id, self.attempt, self.tokens))
        self._pending.append(self._store_written("completed"))
        self._pending.append(self._insert_step(step))

    def _insert_step(self, step: StepDraft) -> Transaction[None]:
        step.position = self._end
        yield step.insert()

    # -- what tools tell

    def is_malformed(self, answer: AIMessage | None, call_id: str) -> str | None:
        """Return what is wrong with a call's arguments, if anything is."""
        marks = {} if answer is None else answer.additional_kwargs.get(MALFORMED, {})
        problem: str | None = marks.get(call_id)
        return problem

    def is_client_function(self, name: str) -> bool:
        """Tell whether the caller has to execute this function."""
        return name in self.client_functions

    def arguments_of(self, call_id: str) -> str | None:
        """Return a call's arguments exactly as the model wrote them."""
        step = self._open_step
        for call in step.open_calls() if step is not None else ():
            if call["id"] == call_id:
                arguments: str = call["function"]["arguments"]
                return arguments
        return None

    async def tool_output(
        self, call_id: str, output: str, recorded: bytes | None
    ) -> None:
        """Store a tool's output; with the last open call its step is completed.

        Args:
            call_id: The call.
            output: What the step shows.
            recorded: The whole result for the ledger; None: it came from there.
        """
        step = self._open_step
        closes = False
        if step is not None:
            for call in step.open_calls():
                if call["id"] == call_id:
                    call["function"]["output"] = output
            closes = not step.open_calls()
        queries: list[Query] = []
        if recorded is not None:
            queries.append(
                record_output(self.run_id, call_id, self.attempt, recorded)
            )
        if closes and step is not None:
            self._open_step = None
            self._end_step(step, "completed")
            queries.append(step.update())
        if queries:
            await self._workplace.database.write(_all(queries))
        if closes and step is not None:
            self._announcer.step_ended(step)

    # -- what other middleware did

    def revised(self, message: BaseMessage) -> None:
        """Take a message that middleware changed, or added, after the model answered."""
        if isinstance(message, AIMessage) and not message.tool_calls:
            for draft in self._written:
                if draft.source_id == message.id:
                    draft.text = str(message.text)
                    return
            if message.id not in self.history and message.text:
                turn = _Turn()
                self._say(turn, str(message.text))
                assert turn.message is not None
                turn.message.source_id = message.id
                _count(turn.message.step, 0, 0)
                self._written.append(turn.message)

    def shown(self, message_id: str, content: Sequence[Mapping[str, Any]]) -> None:
        """Keep the text that middleware showed the model in place of a user's."""
        self._pending.append(show_model(message_id, content))

    def also(self, transaction: Transaction[Any]) -> None:
        """Store something together with the next step or the run's end."""
        self._pending.append(transaction)

    # -- transactions

    async def commit(self, *queries: Query) -> bool:
        """Store what is pending together with a checkpoint; False: nothing is.

        A final answer is not pending: it joins the transaction that ends the run.

        Raises:
            Fenced: The run is no longer this worker's.
        """
        if self._open_step is None or not self._pending:
            return False
        pending, self._pending = self._pending, []

        def store() -> Transaction[None]:
            for part in pending:
                yield from part
            for query in queries:
                yield query

        await self._workplace.database.write(store())
        self._announce()
        return True

    async def require_action(
        self, action: Mapping[str, Any], checkpoints: Sequence[Query]
    ) -> Row:
        """Leave the run waiting for its caller, together with its checkpoints."""

        def store() -> Transaction[Row]:
            yield from self._take_pending()
            if self._open_step is not None:
                yield self._open_step.update()
            for query in checkpoints:
                yield query
            return (
                yield from require_action(
                    self.run_id, self.attempt, action, self.tokens
                )
            )

        row = await self._workplace.database.write(store())
        self._announce()
        self._announcer.run(to_run(row))
        return row

    async def end(self, ending: Ending) -> Row:
        """End the run with everything it still has to store.

        Raises:
            Fenced: The run is no longer this worker's.
        """
        now = self._workplace.clock()
        trigger = ending.trigger
        if self._turn is not None and self._turn.message is not None:
            self._written.append(self._turn.message)
        heard_step = None if self._turn is None else self._turn.step
        open_step, self._turn = self._open_step or heard_step, None
        status = _STATUS[trigger]

        def store() -> Transaction[Row]:
            yield from self._take_pending()
            reason = MESSAGE_REASON.get(trigger)
            if trigger is Trigger.COMPLETE and self.content_filtered:
                reason = "content_filter"
            yield from self._store_written(status, reason, ending.last_error)
            return (yield from end_run(self._row, ending, now, tokens=self.tokens))

        row = await self._workplace.database.write(store())
        self._announce()
        if open_step is not None and open_step.status == "in_progress":
            open_step.last_error = ending.last_error
            self._end_step(open_step, status)
            self._announcer.step_ended(open_step)
        self._announcer.run(to_run(row))
        return row

    def _take_pending(self) -> Transaction[None]:
        pending, self._pending = self._pending, []
        for part in pending:
            yield from part

    def _announce(self) -> None:
        announcements, self._announcements = self._announcements, []
        for announce in announcements:
            announce()

    def _store_written(
        self,
        status: StepStatus,
        reason: str | None = None,
        last_error: Mapping[str, str] | None = None,
    ) -> Transaction[None]:
        """Insert the messages written since the last commit, with their steps."""
        drafts, self._written = self._written, []
        now = self._workplace.clock()
        rows: list[NewMessage] = []
        for index, draft in enumerate(drafts):
            # Only the newest message can have been cut short.
            cut = reason if index == len(drafts) - 1 else None
            ended: StepStatus = status if cut or status == "completed" else "completed"
            self._end_step(draft.step, ended)
            draft.step.position = self._end + index
            draft.step.last_error = last_error if ended == "failed" else None
            rows.append(self._new_message(draft, cut, now))
        self._end = yield from append_messages(self.thread_id, self._end, rows, now)
        for draft, row in zip(drafts, rows, strict=True):
            yield draft.step.insert()
            message = self._as_message(draft, row.incomplete_reason, now)
            self.messages.append(message)
            self._announcements.append(self._ended(message, draft.step))

    def _ended(self, message: Message, step: StepDraft) -> Callable[[], None]:
        def announce() -> None:
            self._announcer.message_ended(message)
            self._announcer.step_ended(step)

        return announce

    # -- drafts and objects

    def _say(self, turn: _Turn, piece: str) -> None:
        first = turn.message is None
        message = turn.message or self._begin_message(turn)
        message.text += piece
        self._announcer.text(message.id, piece, first=first)

    def _begin_message(self, turn: _Turn) -> MessageDraft:
        message_id = self._workplace.new_id(MESSAGE_PREFIX)
        step = self._draft_step(
            "message_creation",
            {
                "type": "message_creation",
                "message_creation": {"message_id": message_id},
            },
        )
        turn.message = MessageDraft(message_id, step, step.created_at)
        if self.listening:
            self._announcer.step_begun(step)
            self._announcer.message_begun(self._as_message(turn.message, None, None))
        return turn.message

    def _draft_step(self, type_: Any, details: dict[str, Any]) -> StepDraft:
        step = StepDraft(
            id=self._workplace.new_id(STEP_PREFIX),
            run_id=self.run_id,
            thread_id=self.thread_id,
            seq=self._steps,
            turn=self._turns,
            type=type_,
            details=details,
            created_at=self._workplace.clock(),
        )
        self._steps += 1
        return step

    def _end_step(self, step: StepDraft, status: StepStatus) -> None:
        step.status = status
        step.ended_at = self._workplace.clock()

    def _new_message(
        self, draft: MessageDraft, reason: str | None, now: float
    ) -> NewMessage:
        return NewMessage(
            id=draft.id,
            role="assistant",
            content=to_json(draft.content()),
            status="completed" if reason is None else "incomplete",
            assistant_id=self._row["assistant_id"],
            run_id=self.run_id,
            incomplete_reason=reason,
            created_at=draft.created_at,
            ended_at=now,
        )

    def _as_message(
        self, draft: MessageDraft, reason: str | None, ended_at: float | None
    ) -> Message:
        ended = None if ended_at is None else int(ended_at)
        if ended is None:
            status = "in_progress"
        else:
            status = "completed" if reason is None else "incomplete"
        return Message(
            id=draft.id,
            created_at=int(draft.created_at),
            thread_id=self.thread_id,
            status=status,
            incomplete_details=None if reason is None else {"reason": reason},
            completed_at=ended if status == "completed" else None,
            incomplete_at=ended if status == "incomplete" else None,
            role="assistant",
            content=[] if ended is None else draft.content(),
            assistant_id=self._row["assistant_id"],
            run_id=self.run_id,
            attachments=[],
            metadata={},
        )

    def announce_run(self, run: Run) -> None:
        """Tell a status that somebody else gave the run."""
        self._announcer.run(run)


_STATUS: dict[Trigger, StepStatus] = {
    Trigger.COMPLETE: "completed",
    Trigger.EXHAUST: "completed",
    Trigger.FAIL: "failed",
    Trigger.CANCEL: "cancelled",
    Trigger.EXPIRE: "expired",
}


def _no_calls() -> dict[str, Any]:
    return {"type": "tool_calls", "tool_calls": []}


def _all(queries: Sequence[Query]) -> Transaction[None]:
    for query in queries:
        yield query


def _count(step: StepDraft, prompt: int, completion: int) -> None:
    step.prompt_tokens, step.completion_tokens = prompt, completion


def _tokens_of(answer: AIMessage) -> tuple[int, int]:
    usage = answer.usage_metadata
    return (usage["input_tokens"], usage["output_tokens"]) if usage else (0, 0)


def _finish_reason(answer: AIMessage) -> str | None:
    metadata = answer.response_metadata
    reason = metadata.get("finish_reason") or metadata.get("stop_reason")
    return reason if isinstance(reason, str) else None


def _problem(arguments: str) -> str | None:
    """Return what is wrong with a call's arguments; none at all are an empty object."""
    if not arguments.strip():
        return None
    try:
        value = json.loads(arguments)
    except ValueError as error:
        return f"the arguments are not valid JSON ({error})"
    return None if isinstance(value, dict) else "the arguments are not a JSON object"


def _json_text(structured: object) -> str:
    dump = getattr(structured, "model_dump", None)
    return to_json(dump(mode="json") if dump else structured)
