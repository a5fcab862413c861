"""What one executing run has done so far, and the rows it leaves of it.

The graph's hooks report here; steps, messages and usage become rows in the transaction
that the run's checkpoint joins, and events once that is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

from langchain_assistants.engine.announcer import Announcer
from langchain_assistants.engine.call_types import CallType
from langchain_assistants.engine.drafts import Drafts, MessageDraft
from langchain_assistants.engine.exhibits import Exhibits
from langchain_assistants.engine.message_rows import show_model
from langchain_assistants.engine.ownership import Lease
from langchain_assistants.engine.run_changes import (
    MESSAGE_REASON,
    STEP_STATUS,
    Ending,
    Fenced,
    Used,
    confirm,
    end_run,
    fence,
    require_action,
)
from langchain_assistants.engine.run_settings import RunSettings
from langchain_assistants.engine.step_rows import StepDraft, record_output
from langchain_assistants.engine.transitions import Trigger
from langchain_assistants.engine.turn import Turn, finish_reason, json_text, tokens_of
from langchain_assistants.engine.unstored import Stored, Unstored
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.storage.database import (
    Conflict,
    Query,
    Row,
    Transaction,
    each,
    storable,
)
from langchain_assistants.types.messages import Message


class RunRecorder:
    """Records one attempt of a run.

    Attributes:
        history: Messages that the run found, by id.
        resumed: Whether an earlier part of the run left a checkpoint.
        outputs: Results of tools that an earlier attempt executed, by call id.
        used: Tokens and seconds so far, earlier attempts included.
        incomplete_reason: The budget that ended the run, once one did.
        client_functions: Names of the functions that the run's caller executes.
        hosted: Names of the hosted tools that the run has.
        exhibits: What the hosted tools have produced.
        messages: What the run has written so far, oldest first.
    """

    def __init__(
        self,
        workplace: Workplace,
        row: Row,
        settings: RunSettings,
        announcer: Announcer,
        lease: Lease,
        *,
        structured_tools: frozenset[str] = frozenset(),
    ) -> None:
        """Begin with a claimed run's row."""
        self.history: Mapping[str, BaseMessage] = {}
        self.resumed = False
        self.outputs: dict[str, bytes] = {}
        self.used = Used.of(row)
        self.incomplete_reason: str | None = None
        self.client_functions: frozenset[str] = frozenset()
        self.hosted: Collection[CallType] = ()
        self.exhibits = Exhibits()
        self.messages: list[Message] = []
        self._workplace = workplace
        self._announcer = announcer
        self._row = row
        self._lease = lease
        self._settings = settings
        self._structured_tools = structured_tools
        self._drafts = Drafts(
            workplace, row["id"], row["thread_id"], row["assistant_id"]
        )
        self._unstored = Unstored(row["thread_id"], row["cursor"])
        self._turn: Turn | None = None
        self._open_step: StepDraft | None = None
        self._called: StepDraft | None = None
        self._refused_step: StepDraft | None = None
        self._content_filtered = False
        self._ended = False

    def resume(
        self,
        steps: Sequence[StepDraft],
        outputs: dict[str, bytes],
        messages: list[Message],
        end: int,
    ) -> None:
        """Go on where an earlier part of the run stopped.

        Args:
            steps: What it stored, oldest first.
            outputs: The ledger of its tools.
            messages: What it wrote, oldest first.
            end: Number of the thread's newest message.
        """
        self.resumed = True
        self.outputs = outputs
        self.messages = messages
        self._unstored.end = end
        self._drafts.steps = steps[-1].seq + 1 if steps else 0
        self._drafts.turn = steps[-1].turn + 1 if steps else 0
        for step in steps:
            calls = step.details.get("tool_calls", ())
            if not calls:
                self.exhibits.show()
            for call in calls:
                self.exhibits.took(call)
            self._drafts.call_ids |= {call["id"] for call in calls}
            self._called = step if calls else self._called
        if steps and steps[-1].status == "in_progress":
            self._open_step = steps[-1]

    # What the model's hooks tell.

    @property
    def listening(self) -> bool:
        """Whether tokens are worth streaming."""
        return self._announcer.listening

    @property
    def heard(self) -> bool:
        """Whether listeners have heard some of the current answer."""
        return self._turn is not None and self._turn.heard

    def begin_turn(self) -> None:
        """Begin a model call, or its next attempt.

        What listeners have heard of an answer that is begun again (middleware may try
        another model) stays in the thread, as incomplete.

        Raises:
            Fenced: The run has ended; its task took no notice of the cancel.
        """
        self.check()
        broken, self._turn = self._turn, self._new_turn()
        if broken is None:
            return
        if broken.message is not None:
            self.exhibits.show_again(broken.message.shown)
            broken.message.reason = "run_failed"
            self._unstored.written.append(broken.message)
        if broken.step is not None:
            broken.describe_heard()
            self._unstored.broken.append(broken.step)

    def hear(self, chunk: AIMessageChunk) -> None:
        """Take a piece of the answer as it arrives."""
        if self._turn is not None:
            self._turn.hear(chunk)

    def answered(
        self, answer: AIMessage, structured: object | None = None
    ) -> AIMessage:
        """Take a whole answer; return it as the graph shall go on with it.

        Args:
            answer: The model's.
            structured: The parsed object, where structured output was asked for.
        """
        turn, self._turn = self._turn or self._new_turn(), None
        prompt, completion = self._count(answer)
        if structured is not None and answer.tool_calls:
            text = turn.structured_text(json_text(structured))
            turn.describe_heard()
            self._take_text(turn, text, answer)
            goes_on = False
        else:
            # Before the calls: the message's step is the first, streamed or not.
            self._take_text(turn, str(answer.text), answer)
            answer = turn.repaired(answer)
            goes_on = bool(answer.tool_calls)
        goes_on = not self._budget_ends(answer, goes_on=goes_on) and goes_on
        last = turn.step
        if turn.message is not None:
            self._unstored.written.append(turn.message)
            turn.message.step.count(0, 0)
            last = last or turn.message.step
        if last is not None:
            last.count(prompt, completion)
        if goes_on:
            # Stored with the checkpoint, before any of its tools starts.
            self._open_step = self._unstored.step = self._called = turn.step
        else:
            self._refused_step = turn.step
        self._drafts.turn += 1
        return answer

    def rejected(self, answer: AIMessage) -> None:
        """Count an answer that does not fit its schema: the model tries again."""
        self._count(answer)
        self._budget_ends(answer, goes_on=True)

    def _count(self, answer: AIMessage) -> tuple[int, int]:
        prompt, completion = tokens_of(answer)
        self.used = replace(
            self.used,
            prompt=self.used.prompt + prompt,
            completion=self.used.completion + completion,
        )
        return prompt, completion

    def _new_turn(self) -> Turn:
        return Turn(
            self._drafts,
            self._announcer,
            parallel=self._settings.parallel_tool_calls,
            structured_tools=self._structured_tools,
            hosted=self.hosted,
            exhibits=self.exhibits,
        )

    def _take_text(self, turn: Turn, text: str, answer: AIMessage) -> None:
        refusal = answer.additional_kwargs.get("refusal")
        if text and turn.message is None:
            turn.say(text)
        if refusal:
            turn.refuse(refusal)
        if turn.message is not None:
            turn.finish()
            turn.message.source_id = answer.id
            self._set_text(turn.message, text)

    def _set_text(self, message: MessageDraft, text: str) -> None:
        message.text = storable(text)
        message.annotations = self.exhibits.annotations(message.text)

    def _budget_ends(self, answer: AIMessage, *, goes_on: bool) -> bool:
        """Note the budget that this answer used up; tell whether the run must stop."""
        reason = finish_reason(answer)
        if reason in ("length", "max_tokens"):
            self.incomplete_reason = "max_completion_tokens"
        elif reason == "content_filter":
            self._content_filtered = True
        spent = self._settings.spent_budget(
            self.used.prompt, self.used.completion, goes_on=goes_on
        )
        self.incomplete_reason = self.incomplete_reason or spent
        return self.incomplete_reason is not None

    # What tools tell.

    @property
    def open_step_id(self) -> str | None:
        """The id of the step whose calls still wait for outputs, if there is one."""
        return None if self._open_step is None else self._open_step.id

    def arguments_of(self, call_id: str) -> str | None:
        """Return an open call's arguments exactly as the model wrote them."""
        calls = [] if self._open_step is None else self._open_step.open_calls()
        found = [c["function"]["arguments"] for c in calls if c["id"] == call_id]
        return found[0] if found else None

    def tool_progress(self, call_id: str, piece: dict[str, Any]) -> None:
        """Tell what a hosted tool has put out so far, as a delta of its call."""
        step = self._open_step
        for place, call in enumerate(step.details["tool_calls"] if step else ()):
            if step is not None and call["id"] == call_id:
                self._announcer.call(step.id, place, call["type"], piece)

    async def tool_output(
        self, call_id: str, output: str | Mapping[str, Any], recorded: bytes | None
    ) -> None:
        """Store a tool's output; with the last open call its step is completed.

        Args:
            call_id: The call.
            output: What the step shows: a text, or the fields of a hosted tool's call.
            recorded: The whole result for the ledger; None: it came from there.

        Raises:
            Fenced: The run has ended meanwhile.
        """
        self.check()
        step, closes = self._open_step, False
        if step is not None:
            answered = step.answer(call_id, output)
            if answered is not None:
                self.exhibits.took(answered)
            if isinstance(output, Mapping) and "seconds" in output:
                seconds = (self.used.seconds or 0.0) + output["seconds"]
                self.used = replace(self.used, seconds=seconds)
            closes = not step.open_calls()
        queries: list[Query] = []
        if recorded is not None:
            attempt = self._row["attempt"]
            queries.append(record_output(self._row["id"], call_id, attempt, recorded))
        if closes and step is not None:
            self._open_step = None
            step.end("completed", self._workplace.clock())
            queries.append(step.update())

        def store() -> Transaction[None]:
            yield from self.confirm()
            yield from each(queries)

        if queries:
            await self._workplace.database.write(store())
        if closes and step is not None:
            self._announcer.step_ended(step)

    def confirm(self) -> Transaction[None]:
        """Refuse, in a transaction, to go on with a run that is somebody else's."""
        yield from confirm(self._row["id"], self._row["attempt"])

    # What other middleware did.

    def revised(self, message: AIMessage) -> None:
        """Take an answer that middleware changed or added after the model's call."""
        if message.tool_calls:
            return
        for draft in self._unstored.written:
            if draft.source_id == message.id:
                self._set_text(draft, str(message.text))
                return
        if message.id not in self.history and message.text:
            draft = self._new_turn().say(str(message.text))
            draft.source_id = message.id
            draft.step.count(0, 0)
            self._unstored.written.append(draft)

    async def tool_answered(self, call_id: str, output: str) -> None:
        """Take an output that middleware gave a call, or put in a tool's place."""
        if self.arguments_of(call_id) is not None:
            await self.tool_output(call_id, output, None)
        elif (step := self._called) is not None:
            step.answer(call_id, output)
            self.also(lambda: each([step.update()]))

    def shown(self, message_id: str, content: Sequence[Mapping[str, Any]]) -> None:
        """Keep what middleware showed the model in place of a user's message."""
        self.also(lambda: show_model(message_id, content))

    def also(self, transaction: Callable[[], Transaction[Any]]) -> None:
        """Store something together with the next step or the run's end."""
        self._unstored.also.append(transaction)

    # Transactions.

    async def commit(self, checkpoint: Callable[[], Query]) -> bool:
        """Store an answer with tool calls, together with a checkpoint.

        A final answer joins the transaction that ends the run instead.

        Returns:
            Whether there was one.

        Raises:
            Fenced: The run is no longer this worker's.
        """
        step, row = self._unstored.step, self._row
        if step is None:
            return False
        encoded = checkpoint()

        def store() -> Transaction[Stored]:
            yield from fence(row["id"], row["attempt"], self.used)
            stored = yield from self._unstored.store(
                "completed", None, None, self._workplace.clock()
            )
            step.position = stored.end
            yield step.insert()
            yield encoded
            return stored

        self._committed(await self._workplace.database.write(store()))
        return True

    async def require_action(
        self, action: Mapping[str, Any], checkpoints: Sequence[Query]
    ) -> Row:
        """Leave the run waiting for its caller, together with its checkpoints.

        Raises:
            Fenced: The run is no longer this worker's.
        """
        row, step = self._row, self._open_step

        def store() -> Transaction[Row]:
            if step is not None:
                yield step.update()
            yield from each(checkpoints)
            return (
                yield from require_action(row["id"], row["attempt"], action, self.used)
            )

        stopped = await self._workplace.database.write(store())
        self._announcer.run(stopped)
        return stopped

    async def end(self, ending: Ending) -> Row:
        """End the run with everything it still has to store.

        Raises:
            Fenced: The run is no longer this worker's.
        """
        self._ended = True
        now = self._workplace.clock()
        status = STEP_STATUS[ending.trigger]
        reason = MESSAGE_REASON.get(ending.trigger)
        if ending.trigger is Trigger.COMPLETE and self._content_filtered:
            reason = "content_filter"
        if self._turn is not None:
            self._take_cut_answer(self._turn)
        step, unstored = self._open_step, self._unstored.step
        if step is not None:
            step.end(status, now, ending.last_error)
        elif (refused := self._refused_step) is not None:
            # Calls of an answer that used up the budget: nobody executes them.
            refused.end("cancelled", now)
            step = unstored = refused

        def store() -> Transaction[tuple[Stored, Row]]:
            try:
                stored = yield from self._unstored.store(
                    status, reason, ending.last_error, self._workplace.clock()
                )
                if unstored is not None:
                    unstored.position = stored.end
                    yield unstored.insert()
            except Conflict:  # the next attempt has written there already
                raise Fenced(self._row["id"]) from None
            row = yield from end_run(self._row, ending, now, used=self.used)
            return stored, row

        stored, row = await self._workplace.database.write(store())
        self._committed(stored)
        if step is not None:
            self._announcer.step_ended(step)
        self._announcer.run(row)
        return row

    def announce_run(self, row: Row) -> None:
        """Tell a status that somebody else gave the run."""
        self._announcer.run(row)

    def check(self) -> None:
        """Refuse to go on with a run that may be somebody else's by now.

        Raises:
            Fenced: The run has ended, or its lease may be over.
        """
        if self._ended or not self._lease.in_force:
            raise Fenced(self._row["id"])

    def _take_cut_answer(self, turn: Turn) -> None:
        """Take what was heard of an answer that will not be finished."""
        self._turn = None
        if turn.message is not None:
            self._unstored.written.append(turn.message)
        if turn.step is not None:
            turn.describe_heard()
            self._open_step = self._unstored.step = turn.step

    def _committed(self, stored: Stored) -> None:
        self.messages += stored.messages
        self._unstored.committed(stored, self._announcer)
