"""The graph face: as a thread grows, and beside a loop that the caller writes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph.state import CompiledStateGraph

from benchmarks.assistants import Assistants
from benchmarks.measure import Act, Effort, Sample, cost_of, interleaved, on_loop
from benchmarks.rows import Budget, Row
from benchmarks.scenario import QUESTION, check_answer, look_up, scripted_model
from langchain_assistants import (
    AssistantFinish,
    AssistantRunnable,
    create_assistant_graph,
)

_SHORT, _LONG = 100, 100_000
_AT_SHORT = f"at {_SHORT} messages"
_FLAT = Budget(1.1, "ratio")
_LOOP = "AssistantRunnable, custom loop"
_NO_SLOWER = Budget(1.3, "ratio")

_QUESTION: Any = {"messages": QUESTION}

_row = partial(Row, "graph")


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Measure turns in long threads, then turns in new threads against the loop."""
    yield from _growth(effort, folder)
    yield from _against_the_loop(effort, folder)


def _growth(effort: Effort, folder: Path) -> Iterator[Row]:
    """Ask in a short and in a long thread, with a checkpointer of the graph's user.

    It is a SqliteSaver: its file tells what a turn leaves in it. One in memory would
    give the garbage collector more to look at with each turn.
    """
    kept_in = folder / "checkpoints.db"
    with (
        Assistants(folder / "ours.db", scripted_model(), [look_up]) as ours,
        closing(sqlite3.connect(kept_in, check_same_thread=False)) as connection,
    ):
        saver = SqliteSaver(connection)
        graph = create_assistant_graph(ours.agent, checkpointer=saver)
        short: Act = partial(_turn, graph, ours.long_thread(_SHORT))
        long: Act = partial(_turn, graph, ours.long_thread(_LONG))
        rounds = effort.of(full=100, short=20)
        times = interleaved({"short": short, "long": long}, rounds=rounds)
        of_engine = partial(cost_of, trace=ours.trace, path=ours.path, times=rounds)
        of_saver = partial(
            cost_of, trace=connection.set_trace_callback, path=kept_in, times=rounds
        )
        stored, stored_short = of_engine(long), of_engine(short)
        kept, kept_short = of_saver(long), of_saver(short)
    what = f"graph turn at {_LONG:,} messages"
    yield _row(
        what, times["long"].median, "ms", times["short"].median, _AT_SHORT, _FLAT
    )
    yield _row(
        f"{what}: growth of the user's checkpointer",
        kept.kilobytes,
        "kB",
        kept_short.kilobytes,
        _AT_SHORT,
        _FLAT,
    )
    yield _row(
        f"{what}: growth", stored.kilobytes, "kB", stored_short.kilobytes, _AT_SHORT
    )
    yield _row(
        f"{what}: statements",
        stored.statements,
        "statements",
        stored_short.statements,
        _AT_SHORT,
    )


def _against_the_loop(effort: Effort, folder: Path) -> Iterator[Row]:
    """Ask the same assistant through both, each time in a new thread."""
    path = folder / "new_threads.db"
    with (
        asyncio.Runner() as loop,
        Assistants(path, scripted_model(), [look_up], run_tools=False) as ours,
    ):
        graph = create_assistant_graph(ours.agent, [look_up])
        sides: dict[str, Act] = {
            "graph": partial(_turn, graph),
            "loop": partial(_custom_loop, ours.agent),
            "async graph": on_loop(loop, partial(_async_turn, graph)),
            "async loop": on_loop(loop, partial(_async_custom_loop, ours.agent)),
        }
        times = interleaved(sides, rounds=effort.of(full=200, short=20))
    for way, kind in (("invoke", ""), ("ainvoke", "async ")):
        yield _versus_loop(way, times[f"{kind}graph"], times[f"{kind}loop"])


def _versus_loop(way: str, graph: Sample, loop: Sample) -> Row:
    what = f"graph turn without a checkpointer, {way}"
    return _row(what, graph.median, "ms", loop.median, _LOOP, _NO_SLOWER)


def _turn(graph: CompiledStateGraph[Any, Any], thread_id: str | None = None) -> None:
    check_answer(graph.invoke(_QUESTION, _config(thread_id))["messages"][-1].text)


async def _async_turn(graph: CompiledStateGraph[Any, Any]) -> None:
    check_answer((await graph.ainvoke(_QUESTION))["messages"][-1].text)


def _config(thread_id: str | None) -> Any:
    return thread_id and {"configurable": {"thread_id": thread_id}}


def _custom_loop(agent: AssistantRunnable) -> None:
    """Execute what the assistant requires, as LangChain's documentation shows it."""
    response = agent.invoke({"content": QUESTION})
    while not isinstance(response, AssistantFinish):
        outputs = [
            {
                "tool_call_id": action.tool_call_id,
                "output": look_up.invoke(action.tool_input),
            }
            for action in response
        ]
        response = agent.invoke(
            {
                "run_id": response[0].run_id,
                "thread_id": response[0].thread_id,
                "tool_outputs": outputs,
            }
        )
    check_answer(response.return_values["output"])


async def _async_custom_loop(agent: AssistantRunnable) -> None:
    response = await agent.ainvoke({"content": QUESTION})
    while not isinstance(response, AssistantFinish):
        outputs = [
            {
                "tool_call_id": action.tool_call_id,
                "output": await look_up.ainvoke(action.tool_input),
            }
            for action in response
        ]
        response = await agent.ainvoke(
            {
                "run_id": response[0].run_id,
                "thread_id": response[0].thread_id,
                "tool_outputs": outputs,
            }
        )
    check_answer(response.return_values["output"])
