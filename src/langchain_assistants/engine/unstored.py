"""What a run has done since its last commit: messages, steps and what joins them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from langchain_assistants.engine.announcer import Announcer
from langchain_assistants.engine.drafts import MessageDraft
from langchain_assistants.engine.message_rows import append_messages
from langchain_assistants.engine.run_changes import StepStatus
from langchain_assistants.engine.step_rows import StepDraft
from langchain_assistants.storage.database import Transaction
from langchain_assistants.types.messages import Message


class Stored(NamedTuple):
    """What a transaction has stored: the thread's new end, and the messages."""

    end: int
    messages: list[Message]


@dataclass(slots=True)
class Unstored:
    """What joins the next transaction of a run.

    Attributes:
        thread_id: Where the messages go.
        end: Number of the thread's newest message.
        written: Messages, oldest first; each brings its step.
        broken: Steps of answers that were begun again.
        step: A step of calls that has no row yet.
        also: Other transactions that join.
    """

    thread_id: str
    end: int
    written: list[MessageDraft] = field(default_factory=list)
    broken: list[StepDraft] = field(default_factory=list)
    step: StepDraft | None = None
    also: list[Callable[[], Transaction[Any]]] = field(default_factory=list)

    def store(
        self,
        status: StepStatus,
        reason: str | None,
        last_error: Mapping[str, str] | None,
        now: float,
    ) -> Transaction[Stored]:
        """Insert everything but `step`; nothing here changes before the commit.

        Args:
            status: Of the newest message's step: only that can have been cut short.
            reason: Why the newest message is incomplete, if it is.
            last_error: Why its step failed, if it did.
            now: The time.
        """
        for also in self.also:
            yield from also()
        written = self.written
        newest = len(written) - 1
        own_reason = [None] * newest + [reason]
        reasons = [d.reason or own for d, own in zip(written, own_reason, strict=False)]
        rows = [d.to_row(why, now) for d, why in zip(written, reasons, strict=True)]
        end = yield from append_messages(self.thread_id, self.end, rows, now)
        messages: list[Message] = []
        for place, draft in enumerate(written):
            cut = place == newest
            draft.step.position = self.end + 1 + place
            ends: StepStatus = status if cut else "completed"
            draft.step.end(
                "failed" if draft.reason else ends, now, last_error if cut else None
            )
            yield draft.step.insert()
            messages.append(draft.ended(reasons[place], now))
        for step in self.broken:
            step.position = end
            step.end("failed", now)
            yield step.insert()
        return Stored(end, messages)

    def committed(self, stored: Stored, announcer: Announcer) -> None:
        """Go on from what is committed, and tell of it."""
        written, self.written = self.written, []
        broken, self.broken = self.broken, []
        self.also, self.step = [], None
        self.end = stored.end
        for draft, message in zip(written, stored.messages, strict=True):
            announcer.message_ended(message)
            announcer.step_ended(draft.step)
        for step in broken:
            announcer.step_ended(step)
