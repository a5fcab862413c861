"""What durability costs a turn, and how soon runs go on or end after a fault."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from langchain_core.messages import BaseMessage
from langchain_core.tools import tool
from sqlalchemy import literal, select

from benchmarks.assistants import Assistants
from benchmarks.interrupted import open_engine, waiting_runs
from benchmarks.measure import Effort, Sample, sampled, seconds
from benchmarks.rows import Budget, Row
from benchmarks.scenario import ANSWER, WrongAnswer, look_up, scripted_model
from langchain_assistants import AssistantsEngine
from langchain_assistants.engine import executor, recorder, run_changes, run_graph
from langchain_assistants.engine.heartbeat import Heartbeat
from langchain_assistants.engine.recorder import RunRecorder
from langchain_assistants.storage.database import Statement, Transaction
from langchain_assistants.testing import ModelCall, Reply, ScriptedChatModel, call

_LEASE, _DEFAULT_LEASE = 1.0, 15.0
_INTERRUPTED = 100
_SMALL = Budget(1.10, "ratio")
_AT_ONCE = Budget(200, "value")
_RESUMED = Budget(3, "value")

_row = partial(Row, "durability")


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Measure the cost in a turn, then what it is paid for."""
    yield from _cost(effort, folder)
    yield from _cancels(effort, folder)
    yield from _recoveries(effort, folder)
    yield from _resumed(effort, folder)


# The ledger, leases and fencing in a turn.


def _cost(effort: Effort, folder: Path) -> Iterator[Row]:
    # One engine, so that both sides use the same threads on the same cores.
    with Assistants(folder / "turns.db", scripted_model(), [look_up]) as ours:

        def turn(*, fragile: bool) -> float:
            with _parts(fragile=fragile):
                return seconds(ours.turn)

        timers = {
            "durable": partial(turn, fragile=False),
            "fragile": partial(turn, fragile=True),
        }
        times = sampled(timers, rounds=effort.of(full=400, short=50))
    yield _row(
        "fresh turn, one tool call: ledger, leases, fencing",
        times["durable"].median,
        "ms",
        times["fragile"].median,
        "the same without",
        _SMALL,
    )


class _FragileRecorder(RunRecorder):
    """Keeps no ledger, and takes every run for its own."""

    async def tool_output(
        self, call_id: str, output: str, recorded: bytes | None
    ) -> None:
        await super().tool_output(call_id, output, None)

    def check(self) -> None:
        pass

    def confirm(self) -> Transaction[None]:
        yield from ()


async def _idle(_: Heartbeat) -> None:
    pass


def _unfenced(*_: object) -> Transaction[None]:
    yield from ()


_NOTHING: tuple[tuple[Any, str, Any], ...] = (
    (Heartbeat, "beat", _idle),
    (Heartbeat, "sweep", _idle),
    (executor, "RunRecorder", _FragileRecorder),
    (recorder, "fence", _unfenced),
    (run_changes, "_FORGET_OUTPUTS", Statement(select(literal(1)))),
    (run_graph, "to_record", lambda result, *_: (result, b"")),
)
"""What to put in the place of what the ledger, leases and fencing do in a turn."""


@contextmanager
def _parts(*, fragile: bool) -> Iterator[None]:
    """Put nothing in these places, or what is there: that takes as long."""
    with ExitStack() as patches:
        for place, name, nothing in _NOTHING:
            part = nothing if fragile else getattr(place, name)
            patches.enter_context(patch.object(place, name, part))
        yield


# Cancels.


def _cancels(effort: Effort, folder: Path) -> Iterator[Row]:
    """Cancel runs that stream, and runs that stand in a synchronous tool."""
    in_tool, left = threading.Semaphore(0), threading.Event()

    @tool("look_up")
    def blocking_look_up(topic: str) -> str:
        """Look a topic up, without an end."""
        in_tool.release()
        left.wait()
        return topic

    def respond(messages: list[BaseMessage], _: ModelCall) -> Reply:
        asked = messages[-1].text
        if asked == "call":
            return Reply(tool_calls=[call("look_up", {"topic": "tides"})])
        return Reply(ANSWER * 20 if asked == "stream" else ANSWER)

    model = ScriptedChatModel(respond=respond, record=False, token_delay=0.002)
    times = Sample()
    with AssistantsEngine(
        f"sqlite:///{folder / 'cancelled.db'}",
        chat_model=model,
        tools=[blocking_look_up],
    ) as engine:
        function = {"name": "look_up", "parameters": {"type": "object"}}
        entry = {"type": "function", "run_on": "engine", "function": function}
        assistant = engine.assistants.create(model="scripted", tools=[entry])
        start = partial(_start, engine, assistant.id)
        for number in range(effort.of(full=200, short=20)):
            asked = "stream" if number % 2 else "call"
            thread_id, events = start(asked)
            run_id = next(events).data.id
            if asked == "call":
                in_tool.acquire()
            else:
                next(event for event in events if event.event.endswith("delta"))
            times.seconds.append(seconds(partial(_free, engine, thread_id, run_id)))
            if engine.runs.retrieve(run_id).status != "cancelled":
                raise WrongAnswer(f"Run {run_id} was not cancelled.")
        left.set()
    what = "cancel of a run that streams or stands in a sync tool, p95"
    yield _row(what, times.p95, "ms", budget=_AT_ONCE)


def _start(
    engine: AssistantsEngine, assistant_id: str, asked: str
) -> tuple[str, Iterator[Any]]:
    thread = engine.threads.create(messages=[{"role": "user", "content": asked}])
    return thread.id, engine.runs.stream(thread.id, assistant_id=assistant_id)


def _free(engine: AssistantsEngine, thread_id: str, run_id: str) -> None:
    """Cancel a run; return when it has ended and its thread takes a message."""
    engine.runs.cancel(run_id)
    engine.runs.wait(run_id)
    engine.messages.create(thread_id, role="user", content="And now?")


# Processes that are killed.


def _recoveries(effort: Effort, folder: Path) -> Iterator[Row]:
    leases = [_LEASE] * effort.of(full=5, short=1)
    yield _recovery(leases, folder)
    if not effort.short:
        yield _recovery([_DEFAULT_LEASE], folder)


def _recovery(leases: list[float], folder: Path) -> Row:
    """Kill a process with one run, so often; the longest time counts."""
    lease = leases[0]
    longest = 0.0
    for number in range(len(leases)):
        path = folder / f"killed_{lease:g}_{number}.db"
        from_kill, _ = _taken_over(path, lease, 1)
        longest = max(longest, from_kill)
    return _row(
        f"SIGKILL to the completed run, lease {lease:g} s",
        longest,
        "s",
        budget=Budget(lease + 2, "value"),
    )


def _resumed(effort: Effort, folder: Path) -> Iterator[Row]:
    found = [
        _taken_over(folder / f"interrupted_{number}.db", _LEASE, _INTERRUPTED)[1]
        for number in range(effort.of(full=3, short=1))
    ]
    what = f"{_INTERRUPTED} interrupted runs, from the end of their leases"
    yield _row(what, max(found), "s", budget=_RESUMED)


def _taken_over(path: Path, lease: float, runs: int) -> tuple[float, float]:
    """Kill a process; return the seconds from then, and from its leases' end."""
    with (
        waiting_runs(path, lease, runs) as process,
        open_engine(path, lease, look_up) as heir,
    ):
        process.kill()
        killed_at = time.time()
        process.wait()
        with closing(sqlite3.connect(path)) as connection:
            leases = dict(connection.execute("SELECT id, lease_until FROM runs"))
        for run_id in leases:
            if (status := heir.runs.wait(run_id).status) != "completed":
                raise WrongAnswer(f"Run {run_id} ended as {status}.")
        ended_at = time.time()
    return ended_at - killed_at, ended_at - max(leases.values())
