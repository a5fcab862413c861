"""Eight tools of 200 ms, called by one model answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from langchain_core.tools import BaseTool

from benchmarks.assistants import Assistants
from benchmarks.baselines import ASYNC_SHIPPED, SHIPPED, Agent, AsyncAgent
from benchmarks.measure import Act, Effort, interleaved, on_loop
from benchmarks.rows import Budget, Row
from benchmarks.scenario import scripted_model, slow_async_look_up, slow_look_up

_TOOLS: dict[str, BaseTool] = {"sync": slow_look_up, "async": slow_async_look_up}
_BUDGET = Budget(250, "value")


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Measure sync and async tools, called by invoke and by ainvoke."""
    model = partial(scripted_model, calls=8)
    with asyncio.Runner() as loop, ExitStack() as opened:
        ours: dict[str, Act] = {}
        theirs: dict[str, Act] = {}
        for kind, tool in _TOOLS.items():
            path = folder / f"ours_{kind}.db"
            side = opened.enter_context(Assistants(path, model(), [tool]))
            path = folder / f"shipped_{kind}.db"
            other = opened.enter_context(
                AsyncAgent.open_on(loop, path, model(), [tool])
            )
            ours[f"{kind} tools, invoke"] = side.turn
            ours[f"{kind} tools, ainvoke"] = on_loop(loop, side.async_turn)
            theirs[f"{kind} tools, ainvoke"] = on_loop(loop, other.turn)
        # The agent's invoke cannot execute an async tool: there is no such baseline.
        path = folder / "shipped_invoke.db"
        invoked = opened.enter_context(Agent(path, model(), [slow_look_up]))
        theirs["sync tools, invoke"] = invoked.turn
        rounds = effort.of(full=5, short=1)
        our_times = interleaved(ours, rounds=rounds, warm_up=1)
        their_times = interleaved(theirs, rounds=rounds, warm_up=1)
    for name, sample in our_times.items():
        baseline = their_times.get(name)
        versus = SHIPPED if name.endswith(" invoke") else ASYNC_SHIPPED
        yield Row(
            "tools",
            f"8 parallel 200 ms {name}",
            sample.median,
            "ms",
            None if baseline is None else baseline.median,
            "" if baseline is None else versus,
            _BUDGET,
        )
