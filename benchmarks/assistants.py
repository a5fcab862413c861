"""Our side: an engine on a SQLite file of its own, and one assistant on it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from benchmarks.measure import Trace
from benchmarks.scenario import (
    FINDING,
    INSTRUCTIONS,
    QUESTION,
    check_answer,
)
from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.types.events import MessageDelta
from langchain_assistants.types.messages import Message

# How the n-th copy of a turn's rows differs from the turn: two messages further on.
_COPIES = {
    "messages": {
        "seq": "seq + 2 * n",
        "id": "id || '_' || n",
        "run_id": "run_id || '_' || n",
    },
    "runs": {
        "seq": "NULL",
        "id": "id || '_' || n",
        "cursor": "cursor + 2 * n",
    },
    "run_steps": {
        "id": "id || '_' || n",
        "run_id": "run_id || '_' || n",
        "position": "position + 2 * n",
    },
}


class Assistants:
    """An assistant whose conversations are threads of an engine.

    Args:
        path: A new file.
        model: The model.
        tools: The assistant's tools.
        run_tools: Whether the runnable executes them; else their calls come back, as
            actions of an agent.
    """

    def __init__(
        self,
        path: Path,
        model: BaseChatModel,
        tools: Sequence[BaseTool] = (),
        *,
        run_tools: bool = True,
    ) -> None:
        """Open the file and create the assistant."""
        self.path = path
        self.engine = AssistantsEngine(f"sqlite:///{path}", chat_model=model)
        self.agent = AssistantRunnable.create_assistant(
            "Tutor",
            INSTRUCTIONS,
            list(tools),
            "scripted",
            engine=self.engine,
            as_agent=not run_tools,
            run_tools=run_tools,
        )

    def __enter__(self) -> Self:
        """Return the assistant."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the engine."""
        self.engine.close()

    @property
    def trace(self) -> Trace:
        """The hook that reports each statement."""
        trace: Trace = self.engine.database.trace
        return trace

    def turn(self, thread_id: str | None = None) -> None:
        """Ask the question, by default in a new thread."""
        ask(self.agent, thread_id)

    async def async_turn(self) -> None:
        """Ask the question in a new thread."""
        _check(await self.agent.ainvoke(_question()))

    def round_trip(self) -> None:
        """Ask the question, take the call that comes back and submit its output."""
        actions = self.agent.invoke(_question())
        finish = self.agent.invoke(
            {
                "run_id": actions[0].run_id,
                "thread_id": actions[0].thread_id,
                "tool_outputs": [
                    {"tool_call_id": action.tool_call_id, "output": FINDING}
                    for action in actions
                ],
            }
        )
        check_answer(finish.return_values["output"])

    def tokens(self) -> Iterator[str]:
        """Ask the question in a new thread and yield the answer's tokens."""
        for event in self.agent.stream_run(_question()):
            if isinstance(event.data, MessageDelta):
                yield event.data.text

    async def async_tokens(self) -> AsyncIterator[str]:
        """Ask the question in a new thread and yield the answer's tokens."""
        async for event in self.agent.astream_run(_question()):
            if isinstance(event.data, MessageDelta):
                yield event.data.text

    async def streamed_turn(self) -> None:
        """Ask the question in a new thread and read the answer as it comes."""
        check_answer("".join([token async for token in self.async_tokens()]))

    def long_thread(self, messages: int) -> str:
        """Make a thread of so many messages: a real turn and copies of its rows."""
        thread_id = str(self.engine.threads.create().id)
        self.turn(thread_id)
        with closing(sqlite3.connect(self.path)) as connection, connection:
            for table, changes in _COPIES.items():
                _copy_rows(connection, table, changes, thread_id, messages // 2 - 1)
            connection.execute(
                "UPDATE threads SET last_seq = ? WHERE id = ?", (messages, thread_id)
            )
        return thread_id


def _copy_rows(
    connection: sqlite3.Connection,
    table: str,
    changes: dict[str, str],
    thread_id: str,
    copies: int,
) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    copied = ", ".join(changes.get(column, column) for column in columns)
    connection.execute(
        "WITH RECURSIVE numbers (n) AS "
        "(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :copies) "
        f"INSERT INTO {table} SELECT {copied} FROM {table} CROSS JOIN numbers "
        "WHERE thread_id = :thread_id",
        {"copies": copies, "thread_id": thread_id},
    )


def ask(agent: AssistantRunnable, thread_id: str | None = None) -> None:
    """Ask a runnable the question, by default in a new thread; check its answer."""
    _check(agent.invoke(_question(thread_id)))


def _question(thread_id: str | None = None) -> dict[str, Any]:
    question: dict[str, Any] = {"content": QUESTION}
    if thread_id is not None:
        question["thread_id"] = thread_id
    return question


def _check(messages: Sequence[Message]) -> None:
    check_answer("".join(message.text for message in messages))
