"""Two hundred turns at once in one process, each with a tool call in a new thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.assistants import Assistants
from benchmarks.baselines import ASYNC_SHIPPED, ASYNC_TUNED, AsyncAgent
from benchmarks.measure import AsyncAct, Effort, interleaved, on_loop
from benchmarks.rows import Budget, Row
from benchmarks.scenario import look_up, scripted_model

_TURNS = 200
_FASTER = Budget(1.5, "ratio", "at least")


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Measure both sides not streaming, then both streaming."""
    model = scripted_model()
    with (
        asyncio.Runner() as loop,
        Assistants(folder / "ours.db", model, [look_up]) as ours,
        AsyncAgent.open_on(loop, folder / "shipped.db", model, [look_up]) as shipped,
        AsyncAgent.open_on(
            loop, folder / "tuned.db", model, [look_up], tuned=True
        ) as tuned,
    ):
        sides: dict[str, AsyncAct] = {
            "ours": ours.async_turn,
            "shipped": shipped.turn,
            "tuned": tuned.turn,
            "ours streaming": ours.streamed_turn,
            "shipped streaming": shipped.streamed_turn,
        }
        for act in sides.values():
            loop.run(act())
        samples = interleaved(
            {
                name: on_loop(loop, partial(_at_once, act))
                for name, act in sides.items()
            },
            rounds=effort.of(full=5, short=1),
            warm_up=0,
        )
    row = partial(Row, "concurrency", unit="turns/s")
    rates = {name: _TURNS / one.median * 1000 for name, one in samples.items()}
    what = f"{_TURNS} concurrent turns"
    yield row(
        what,
        rates["ours"],
        baseline=rates["shipped"],
        versus=ASYNC_SHIPPED,
        budget=_FASTER,
    )
    yield row(what, rates["ours"], baseline=rates["tuned"], versus=ASYNC_TUNED)
    yield row(
        f"{what}, both streaming",
        rates["ours streaming"],
        baseline=rates["shipped streaming"],
        versus=ASYNC_SHIPPED,
        budget=_FASTER,
    )


async def _at_once(turn: AsyncAct) -> None:
    await asyncio.gather(*(turn() for _ in range(_TURNS)))
