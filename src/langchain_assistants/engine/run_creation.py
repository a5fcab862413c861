"""How a run comes onto its thread: a new run, one that is known, room for it, a fork.

Everything here happens in one transaction; who executes the run is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from langchain_assistants.engine.assistants import assistant_row
from langchain_assistants.engine.forks import (
    fork_after_run,
    fork_before_message,
    fork_within_run,
)
from langchain_assistants.engine.graph_tasks import (
    GraphTask,
    answered_before,
    is_superseded,
    run_of_task,
)
from langchain_assistants.engine.ids import NewId
from langchain_assistants.engine.message_rows import (
    NewMessage,
    check_room,
    not_taken_yet,
    thread_end,
)
from langchain_assistants.engine.run_changes import (
    active_run,
    claim_run,
    release_run,
    request_cancel,
)
from langchain_assistants.engine.run_rows import Claim, NewRun, insert_run, run_row
from langchain_assistants.engine.run_settings import RunSettings
from langchain_assistants.engine.thread_files import attach_to_thread, searched_files
from langchain_assistants.engine.threads import PREFIX, NewThread
from langchain_assistants.errors import ActiveRunError
from langchain_assistants.settings import Settings
from langchain_assistants.storage.database import Row, Transaction

# A task that is executed again after one of these starts another run.
_WITHOUT_ANSWER = frozenset({"failed", "cancelled", "expired", "incomplete"})


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run that somebody asks for.

    Attributes:
        tenant: Whose it is.
        thread: The id of a thread, or one to create together with the run (unless
            there is one with its key).
        body: The checked request body.
        messages: Bodies of messages that come before `additional_messages`.
        left: Runs whose caller went away; one that is active makes room.
        source_ids: Ids of the messages where they come from, if they have some: one
            that the thread has taken before is left out.
        tools: Further entries for the run's tools; those of the assistant win.
        task: The task of the caller's LangGraph graph, if it is called in one.
        outputs: Of the calls of `task.continues`, by call id: where that run has ended
            already (a replay) the new run finds them in its history.
    """

    tenant: str
    thread: str | NewThread
    body: Mapping[str, Any]
    messages: Sequence[Mapping[str, Any]] = ()
    left: frozenset[str] = frozenset()
    source_ids: Sequence[str] = ()
    tools: Sequence[Mapping[str, Any]] = ()
    task: GraphTask | None = None
    outputs: Mapping[str, str] | None = None


class CreatedRun(NamedTuple):
    """What a transaction made of a request.

    Attributes:
        row: The run.
        stopped: A run that its worker has to stop, to make room.
        thread: The thread, if it is new.
        known: Whether the task had started the run before.
    """

    row: Row
    stopped: str | None = None
    thread: Row | None = None
    known: bool = False


class RunCreation(NamedTuple):
    """A request with what was prepared for it outside the transaction.

    Attributes:
        run_id: The id of the run, if it is a new one.
        new_id: Makes the ids of a fork, if the thread has to be forked.
        messages: Of the request, `additional_messages` included.
        claim: Whose the run is.
        claimed: Whether it is executed at once, or queued.
        own_tools: Names of the tools that only the caller has.
        running: Whether a run executes in this process.
    """

    request: RunRequest
    settings: Settings
    run_id: str
    new_id: NewId
    messages: Sequence[NewMessage]
    claim: Claim
    claimed: bool
    own_tools: frozenset[str]
    running: frozenset[str]
    now: float

    @property
    def has_files(self) -> bool:
        """Whether files wait to be indexed with it."""
        thread = self.request.thread
        return bool(searched_files(self.messages)) or (
            isinstance(thread, NewThread) and thread.has_files
        )

    def transaction(self) -> Transaction[CreatedRun]:
        """Insert the run, and its thread if that is new; make room for it if asked.

        Raises:
            ActiveRunError: Another run holds the thread.
            NotFoundError: There is no such thread or assistant.
        """
        task = self.request.task
        if task is not None:
            known = yield from run_of_task(task, self.request.tenant)
            if known is not None and known["status"] not in _WITHOUT_ANSWER:
                return (yield from self._again(known))
        return (yield from self._insert())

    def _again(self, row: Row) -> Transaction[CreatedRun]:
        """Take over the run that the task started before its process died."""
        run_id, tenant = row["id"], row["tenant"]
        if run_id in self.running or row["status"] == "cancelling":
            raise ActiveRunError(row["thread_id"], run_id)
        if row["status"] == "in_progress":
            # The dead worker is fenced by the next attempt.
            yield from release_run(run_id, row["attempt"], self.now)
        if self.claimed and row["status"] in ("in_progress", "queued"):
            claimed = yield from claim_run(run_id, tenant, self.claim, self.now)
            row = claimed or (yield from run_row(run_id, tenant))
        return CreatedRun(row, known=True)

    def _insert(self) -> Transaction[CreatedRun]:
        request, settings, tenant = self.request, self.settings, self.request.tenant
        thread_id, thread = yield from self._place()
        active, stopped = None, None
        if thread is None:
            active, stopped = yield from self._make_room(thread_id)
        end = yield from thread_end(thread_id, tenant)
        messages = yield from not_taken_yet(thread_id, self.messages)
        check_room(thread_id, end, messages, settings.max_messages_per_thread)
        yield from attach_to_thread(
            thread_id, messages, tenant=tenant, now=self.now, new_id=self.new_id
        )
        body, task = request.body, request.task
        assistant = yield from assistant_row(body["assistant_id"], tenant)
        merged = RunSettings.merge(assistant, body, settings).with_tools(request.tools)
        expires_after = body.get("expires_after")
        run = NewRun(
            id=self.run_id,
            tenant=tenant,
            thread_id=thread_id,
            assistant_id=assistant["id"],
            assistant_version=assistant["version"],
            settings=merged._asdict(),
            metadata=body.get("metadata") or {},
            messages=messages,
            required_tools=_required_tools(merged.tools, self.own_tools),
            expires_after=settings.expires_after
            if expires_after is None
            else expires_after,
            now=self.now,
            task=task,
        )
        row = yield from insert_run(
            run, self.claim, claimed=self.claimed, end=end, head=active is None
        )
        return CreatedRun(row, stopped, thread)

    def _place(self) -> Transaction[tuple[str, Row | None]]:
        """Return the id of the run's thread, and its row if it is a new one."""
        place = self.request.thread
        if isinstance(place, NewThread):
            known = yield from place.existing()
            if known is None:
                new = yield from place.insert()
                return new["id"], new
            place = known["id"]
        thread_id: str = place
        yield from thread_end(thread_id, self.request.tenant)
        fork = yield from self._fork(thread_id)
        return (thread_id, None) if fork is None else (fork["id"], fork)

    def _fork(self, thread_id: str) -> Transaction[Row | None]:
        """Fork the thread where the caller's graph went back to an older state."""
        request, task = self.request, self.request.task
        if task is None:
            return None
        fork_id, now = self.new_id(PREFIX), self.now
        if (run_id := task.continues) is None:
            return (yield from self._fork_at_beginning(task, thread_id, fork_id))
        if request.outputs is not None:
            return (
                yield from fork_within_run(
                    run_id, request.outputs, fork_id, self.new_id, now
                )
            )
        if (yield from is_superseded(task, thread_id)):
            return (yield from fork_after_run(run_id, fork_id, now))
        return None

    def _fork_at_beginning(
        self, task: GraphTask, thread_id: str, fork_id: str
    ) -> Transaction[Row | None]:
        """Fork the thread where a graph asks again for its first answer of all."""
        source_ids = self.request.source_ids
        if not task.alone or not source_ids:
            return None
        if (yield from not_taken_yet(thread_id, self.messages)):
            return None
        seq = yield from answered_before(task, thread_id, source_ids[0])
        if seq is None:
            return None
        return (yield from fork_before_message(thread_id, seq, fork_id, self.now))

    def _make_room(self, thread_id: str) -> Transaction[tuple[Row | None, str | None]]:
        """Return the run that holds the thread, and the one that is to be stopped."""
        request, now = self.request, self.now
        active = yield from active_run(thread_id, now)
        if active is None:
            return None, None
        mode = request.body.get("on_active_run") or self.settings.on_active_run
        task = request.task
        left = active["id"] in request.left or (task and task.has_left(active))
        if left and active["status"] == "requires_action":
            mode = "cancel"
        if mode == "reject":
            raise ActiveRunError(thread_id, active["id"])
        stopped: str | None = None
        if mode == "cancel":
            if active["status"] != "cancelling":
                asked = yield from request_cancel(active, now)
                stopped = asked["id"] if asked["status"] == "cancelling" else None
            active = yield from active_run(thread_id, now)
        return active, stopped


def _required_tools(
    tools: Sequence[Mapping[str, Any]], own: frozenset[str]
) -> list[str]:
    """Return the tools without which no other process can go on with a run."""
    functions = [
        entry["function"]["name"]
        for entry in tools
        if entry["type"] == "function"
        and (entry.get("run_on") == "engine" or entry["function"]["name"] in own)
    ]
    hosted = {e["type"] for e in tools if e["type"] == "code_interpreter"}
    return [*functions, *hosted]
