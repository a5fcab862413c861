"""The other side: LangChain's `create_agent` with LangGraph's SQLite savers."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import aiosqlite
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    ToolMessage,
)
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command, Durability, StreamMode, interrupt

from benchmarks.scenario import (
    ANSWER,
    FINDING,
    INSTRUCTIONS,
    QUESTION,
    WrongAnswer,
    check_answer,
)

SHIPPED = "SqliteSaver"
TUNED = "SqliteSaver, tuned"
ASYNC_SHIPPED = "AsyncSqliteSaver"
ASYNC_TUNED = "AsyncSqliteSaver, tuned"
LEGEND = (
    "Baselines are create_agent with LangGraph's savers as shipped, or tuned to what "
    "the engine does by default: synchronous=NORMAL, durability=sync. Long threads "
    "hold the same conversation on both sides, a tool call for every two messages; the "
    "engine shows the model the newest 100 messages, create_agent shows it all."
)

# Tokens, and the steps of the agent: what a run's events hold as well.
_STREAM: list[StreamMode] = ["messages", "updates"]
_TUNING = "PRAGMA synchronous=NORMAL"


@tool
def ask_caller(topic: str) -> str:
    """Look a topic up, outside of the agent."""
    finding: str = interrupt({"topic": topic})
    return finding


class _Agent:
    """An agent whose conversations are checkpointed."""

    def __init__(
        self,
        model: BaseChatModel,
        tools: Sequence[BaseTool],
        saver: BaseCheckpointSaver[Any],
        *,
        tuned: bool,
    ) -> None:
        self._durability: Durability | None = "sync" if tuned else None
        self.graph = create_agent(
            model, tools, system_prompt=INSTRUCTIONS, checkpointer=saver
        )


class Agent(_Agent):
    """`create_agent` with a SqliteSaver, as shipped or with our durability.

    Args:
        path: A new file.
        model: The model.
        tools: The agent's tools.
        tuned: Commit as the engine does by default. As shipped each commit is synced
            to the disk, but the graph does not wait for it.
    """

    def __init__(
        self,
        path: Path,
        model: BaseChatModel,
        tools: Sequence[BaseTool] = (),
        *,
        tuned: bool = False,
    ) -> None:
        """Open the file and make the agent."""
        self.path = path
        self._connection = sqlite3.connect(path, check_same_thread=False)
        saver = SqliteSaver(self._connection)
        saver.setup()
        if tuned:
            self._connection.execute(_TUNING)
        self.trace = self._connection.set_trace_callback
        super().__init__(model, tools, saver, tuned=tuned)

    def __enter__(self) -> Self:
        """Return the agent."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._connection.close()

    def turn(self, thread_id: str | None = None) -> None:
        """Ask the question, by default in a new thread."""
        config = _thread(thread_id)
        _check(self.graph.invoke(_question(), config, durability=self._durability))

    def round_trip(self) -> None:
        """Ask the question, be interrupted, and resume with the tool's output."""
        config = _thread(None)
        asked = self.graph.invoke(_question(), config, durability=self._durability)
        if not asked.get("__interrupt__"):
            msg = "The agent was not interrupted."
            raise WrongAnswer(msg)
        resumed: Command[Any] = Command(resume=FINDING)
        _check(self.graph.invoke(resumed, config, durability=self._durability))

    def tokens(self) -> Iterator[str]:
        """Ask the question in a new thread and yield the answer's tokens."""
        for mode, chunk in self.graph.stream(
            _question(), _thread(None), stream_mode=_STREAM, durability=self._durability
        ):
            if token := _token(mode, chunk):
                yield token

    def long_thread(self, messages: int) -> str:
        """Make a thread of so many user and assistant messages, with a tool call each.

        The state holds four messages for two of them: the call and its output as well.
        """
        config = _thread(None)
        history: list[Any] = []
        for number in range(messages // 2):
            made = {
                "name": "look_up",
                "args": {"topic": "tides"},
                "id": f"past_{number}",
            }
            history += [
                HumanMessage(QUESTION),
                AIMessage("", tool_calls=[made]),
                ToolMessage(FINDING, tool_call_id=f"past_{number}"),
                AIMessage(ANSWER),
            ]
        self.graph.update_state(config, {"messages": history})
        thread_id: str = config["configurable"]["thread_id"]
        return thread_id


class AsyncAgent(_Agent):
    """`create_agent` with an AsyncSqliteSaver; `open_on` makes one."""

    @classmethod
    @contextmanager
    def open_on(
        cls,
        loop: asyncio.Runner,
        path: Path,
        model: BaseChatModel,
        tools: Sequence[BaseTool] = (),
        *,
        tuned: bool = False,
    ) -> Iterator[Self]:
        """Open a new file and make the agent; both belong to this loop."""

        async def connected() -> tuple[aiosqlite.Connection, AsyncSqliteSaver]:
            connection = await aiosqlite.connect(path)
            if tuned:
                await connection.execute(_TUNING)
            return connection, AsyncSqliteSaver(connection)

        connection, saver = loop.run(connected())
        try:
            yield cls(model, tools, saver, tuned=tuned)
        finally:
            loop.run(connection.close())

    async def turn(self) -> None:
        """Ask the question in a new thread."""
        _check(
            await self.graph.ainvoke(
                _question(), _thread(None), durability=self._durability
            )
        )

    async def tokens(self) -> AsyncIterator[str]:
        """Ask the question in a new thread and yield the answer's tokens."""
        async for mode, chunk in self.graph.astream(
            _question(), _thread(None), stream_mode=_STREAM, durability=self._durability
        ):
            if token := _token(mode, chunk):
                yield token

    async def streamed_turn(self) -> None:
        """Ask the question in a new thread and read the answer as it comes."""
        check_answer("".join([token async for token in self.tokens()]))


def _question() -> Any:
    return {"messages": [{"role": "user", "content": QUESTION}]}


def _thread(thread_id: str | None) -> Any:
    return {"configurable": {"thread_id": thread_id or str(uuid.uuid4())}}


def _check(state: dict[str, Any]) -> None:
    check_answer(state["messages"][-1].text)


def _token(mode: str, chunk: Any) -> str:
    """Return the text of a chunk of the answer; empty for anything else."""
    if mode == "messages" and isinstance(chunk[0], AIMessageChunk):
        return chunk[0].text
    return ""
