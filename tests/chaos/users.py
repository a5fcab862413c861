"""Users: they talk to the assistants on shared threads, each in a way of its own.

They know the library's errors and go on after them; anything else they write down.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from tests.chaos import script
from tests.chaos.journal import Journal
from tests.stored import path_of

from langchain_assistants import AssistantAction, AssistantRunnable, AssistantsEngine
from langchain_assistants.errors import (
    ActiveRunError,
    InvalidRequestError,
    RunError,
    StorageError,
)
from langchain_assistants.types import Run, RunEvent

PATIENCE = 20.0
"""Seconds after which a user gives up on a run."""
OUTPUT = "as you like"
"""What users submit for every call."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the users of all processes share.

    Attributes:
        threads: Where they talk.
        hosted: An assistant whose tools every engine has.
        bound: An assistant whose tools are those of its caller.
    """

    threads: Sequence[str]
    hosted: str
    bound: str


class User:
    """One user of one engine."""

    def __init__(
        self,
        name: str,
        engine: AssistantsEngine,
        place: Place,
        journal: Journal,
        tools: Sequence[Any],
        chance: random.Random,
    ) -> None:
        self._name = name
        self._engine = engine
        self._place = place
        self._journal = journal
        self._chance = chance
        self._said = 0
        self._runnable = AssistantRunnable(
            assistant_id=place.bound,
            engine=engine,
            run_tools=list(tools),
            as_agent=True,
        )

    async def talk(self, is_over: Callable[[], bool]) -> None:
        """Do one thing after the other until it is over."""
        ways: dict[Callable[[], Awaitable[None]], int] = {
            self._in_background: 4,
            self._with_a_message_before: 2,
            self._streaming: 3,
            self._invoking: 4,
            self._invoking_blocked: 2,
            self._reading: 1,
        }
        while not is_over():
            [way] = self._chance.choices(list(ways), list(ways.values()))
            try:
                await way()
            except (InvalidRequestError, RunError, StorageError, TimeoutError) as error:
                self._journal.note("refused", way=way.__name__, error=repr(error))
            except Exception:
                self._journal.note("surprise", error=traceback.format_exc())
            await asyncio.sleep(self._chance.uniform(0.02, 0.2))

    # What users do.

    async def _in_background(self) -> None:
        thread, text = self._anew()
        body = self._body(text)
        run = await self._said_by(
            thread, text, lambda: self._engine.runs.acreate(thread, **body)
        )
        self._journal.note("started", text=text, run=run.id)
        await self._settle(run.id)

    async def _with_a_message_before(self) -> None:
        thread, text = self._anew()
        await self._said_by(
            thread,
            text,
            lambda: self._engine.messages.acreate(thread, role="user", content=text),
        )
        run = await self._engine.runs.acreate(
            thread, assistant_id=self._place.hosted, on_active_run=self._mode()
        )
        await self._settle(run.id)

    async def _streaming(self) -> None:
        thread, text = self._anew()
        events = self._engine.runs.astream(thread, **self._body(text))
        first = await self._said_by(thread, text, lambda: anext(events))
        heard, patience = [first], self._chance.choice([3, 12, 1_000])
        async for event in events:
            heard.append(event)
            if len(heard) >= patience:
                break
        await events.aclose()
        self._journal.note("heard", events=[event.id for event in heard])
        await self._settle(run_of(first).id)

    async def _invoking(self) -> None:
        thread, text = self._anew()
        given = self._input(thread, text)
        if self._chance.random() < 0.3:
            await self._leaving(thread, text, given)
            return
        output = await self._said_by(
            thread, text, lambda: self._runnable.ainvoke(given)
        )
        while isinstance(output, list):
            output = await self._runnable.ainvoke(self._outputs(output))

    async def _leaving(self, thread: str, text: str, given: Any) -> None:
        """Go away in the middle: the run must not go on without its caller."""
        self._journal.note("says", thread=thread, text=text)
        try:
            async with asyncio.timeout(self._chance.uniform(0.02, 0.6)):
                await self._runnable.ainvoke(given)
        except TimeoutError:
            status = self._status_of(text)
            if status in ("queued", "in_progress"):
                self._journal.note("left_busy", text=text, status=status)

    def _status_of(self, text: str) -> str | None:
        with closing(sqlite3.connect(path_of(self._engine))) as connection:
            found = connection.execute(
                "SELECT status FROM runs WHERE metadata ->> 'text' = ?", (text,)
            ).fetchone()
        return None if found is None else str(found[0])

    async def _invoking_blocked(self) -> None:
        await asyncio.to_thread(self._invoke_blocked)

    def _invoke_blocked(self) -> None:
        thread, text = self._anew()
        self._journal.note("says", thread=thread, text=text)
        output = self._runnable.invoke(self._input(thread, text))
        self._journal.note("accepted", thread=thread, text=text)
        while isinstance(output, list):
            output = self._runnable.invoke(self._outputs(output))

    async def _reading(self) -> None:
        """Read a thread page by page, while others write."""
        thread = self._chance.choice(self._place.threads)
        size = self._chance.randint(1, 7)
        before = self._messages_of(thread)
        read = [
            message.id
            async for message in self._engine.messages.alist(
                thread, order="asc", limit=size
            )
        ]
        after = self._messages_of(thread)
        if read[: len(before)] != before or read != after[: len(read)]:
            self._journal.note("misread", thread=thread, size=size, read=read)

    def _messages_of(self, thread: str) -> list[str]:
        with closing(sqlite3.connect(path_of(self._engine))) as connection:
            found = connection.execute(
                "SELECT id FROM messages WHERE thread_id = ? ORDER BY seq", (thread,)
            )
            return [row[0] for row in found]

    # How they do it.

    def _anew(self) -> tuple[str, str]:
        """Return where to say what."""
        self._said += 1
        text = script.message(
            self._name, self._said, self._chance.choice(script.SCRIPTS)
        )
        return self._chance.choice(self._place.threads), text

    def _mode(self) -> Any:
        return self._chance.choice(["reject", "queue", "queue", "cancel"])

    def _input(self, thread: str, text: str) -> Any:
        return {
            "content": text,
            "thread_id": thread,
            "on_active_run": self._mode(),
            "run_metadata": {"text": text},
        }

    def _body(self, text: str) -> Any:
        body: dict[str, Any] = {
            "assistant_id": self._place.hosted,
            "additional_messages": [{"role": "user", "content": text}],
            "on_active_run": self._mode(),
        }
        if self._chance.random() < 0.05:
            body["expires_after"] = 1
        return body

    async def _said_by(
        self, thread: str, text: str, act: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Act, and note what became of the message that is said by it."""
        self._journal.note("says", thread=thread, text=text)
        try:
            outcome = await act()
        except ActiveRunError:
            self._journal.note("rejected", thread=thread, text=text)
            raise
        except RunError:
            self._journal.note("accepted", thread=thread, text=text)
            raise
        self._journal.note("accepted", thread=thread, text=text)
        return outcome

    async def _settle(self, run_id: str) -> None:
        """Accompany a run to its end, or leave it waiting for its caller."""
        while True:
            run = await self._engine.runs.await_(run_id, timeout=PATIENCE)
            if run.status != "requires_action" or self._chance.random() < 0.1:
                return
            times = self._chance.choice([1, 1, 2])
            await asyncio.gather(
                *(submit(self._engine, run, self._journal) for _ in range(times))
            )

    def _outputs(self, actions: Sequence[AssistantAction]) -> Any:
        return {
            "run_id": actions[0].run_id,
            "thread_id": actions[0].thread_id,
            "tool_outputs": [
                {"tool_call_id": action.tool_call_id, "output": OUTPUT}
                for action in actions
            ],
        }


async def submit(engine: AssistantsEngine, run: Run, journal: Journal) -> bool:
    """Submit the outputs that a run waits for; tell whether they were taken."""
    action = run.required_action
    assert action is not None
    assert action.submit_tool_outputs is not None
    calls = [call.id for call in action.submit_tool_outputs.tool_calls]
    try:
        await engine.runs.asubmit_tool_outputs(
            run.id,
            tool_outputs=[{"tool_call_id": call, "output": OUTPUT} for call in calls],
        )
    except InvalidRequestError:
        return False
    journal.note("submitted", run=run.id, calls=calls)
    return True


def is_dense(events: Sequence[str]) -> bool:
    """Tell whether the ids of a stream count from 1 within each attempt."""
    numbers: dict[str, list[int]] = {}
    for event in events:
        attempt, _, number = event.partition(".")
        numbers.setdefault(attempt, []).append(int(number))
    return all(found == list(range(1, len(found) + 1)) for found in numbers.values())


def run_of(event: RunEvent) -> Run:
    """Return the run that an event is about."""
    run = event.data
    assert isinstance(run, Run)
    return run
