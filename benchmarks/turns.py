"""One turn in a new thread: with a tool, without, and with the caller running it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.assistants import Assistants
from benchmarks.baselines import (
    ASYNC_SHIPPED,
    SHIPPED,
    TUNED,
    Agent,
    AsyncAgent,
    ask_caller,
)
from benchmarks.measure import Act, Cost, Effort, Sample, cost_of, interleaved, on_loop
from benchmarks.rows import Budget, Row
from benchmarks.scenario import look_up, scripted_model

_row = partial(Row, "turns")


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Measure every kind of turn."""
    yield from _tool_turns(effort, folder)
    yield from _async_turns(effort, folder)
    yield from _plain_turns(effort, folder)
    yield from _round_trips(effort, folder)


def _tool_turns(effort: Effort, folder: Path) -> Iterator[Row]:
    what = "fresh turn, one tool call"
    with (
        Assistants(folder / "ours.db", scripted_model(), [look_up]) as ours,
        Agent(folder / "shipped.db", scripted_model(), [look_up]) as shipped,
        Agent(folder / "tuned.db", scripted_model(), [look_up], tuned=True) as tuned,
    ):
        sides: dict[str, Act] = {
            "ours": ours.turn,
            "shipped": shipped.turn,
            "tuned": tuned.turn,
        }
        times = interleaved(sides, rounds=effort.of(full=200, short=25))
        yield from _times(what, times, most=(0.85, 1.25))
        yield from _costs(what, *_both(ours.turn, ours, shipped.turn, shipped), most=6)


def _async_turns(effort: Effort, folder: Path) -> Iterator[Row]:
    with (
        asyncio.Runner() as loop,
        Assistants(folder / "ours_async.db", scripted_model(), [look_up]) as ours,
        AsyncAgent.open_on(
            loop, folder / "shipped_async.db", scripted_model(), [look_up]
        ) as shipped,
    ):
        sides: dict[str, Act] = {
            "ours": on_loop(loop, ours.async_turn),
            "shipped": on_loop(loop, shipped.turn),
        }
        times = interleaved(sides, rounds=effort.of(full=100, short=20))
    yield _row(
        "the same, ainvoke",
        times["ours"].median,
        "ms",
        times["shipped"].median,
        ASYNC_SHIPPED,
    )


def _plain_turns(effort: Effort, folder: Path) -> Iterator[Row]:
    what = "fresh turn without tools"
    model = partial(scripted_model, calls=0)
    with (
        Assistants(folder / "ours_plain.db", model()) as ours,
        Agent(folder / "shipped_plain.db", model()) as shipped,
        Agent(folder / "tuned_plain.db", model(), tuned=True) as tuned,
    ):
        sides: dict[str, Act] = {
            "ours": ours.turn,
            "shipped": shipped.turn,
            "tuned": tuned.turn,
        }
        times = interleaved(sides, rounds=effort.of(full=100, short=20))
        yield from _times(what, times)
        yield from _costs(what, *_both(ours.turn, ours, shipped.turn, shipped))


def _round_trips(effort: Effort, folder: Path) -> Iterator[Row]:
    what = "requires_action round trip"
    ours_path, shipped_path = folder / "ours_action.db", folder / "shipped_action.db"
    with (
        Assistants(ours_path, scripted_model(), [look_up], run_tools=False) as ours,
        Agent(shipped_path, scripted_model(), [ask_caller]) as shipped,
        Agent(
            folder / "tuned_action.db", scripted_model(), [ask_caller], tuned=True
        ) as tuned,
    ):
        sides: dict[str, Act] = {
            "ours": ours.round_trip,
            "shipped": shipped.round_trip,
            "tuned": tuned.round_trip,
        }
        times = interleaved(sides, rounds=effort.of(full=100, short=20))
        yield from _times(what, times, shipped=f"{SHIPPED}, interrupt")
        costs = _both(ours.round_trip, ours, shipped.round_trip, shipped)
        yield from _costs(what, *costs)


def _both(
    our_act: Act, ours: Assistants, their_act: Act, theirs: Agent
) -> tuple[Cost, Cost]:
    # Enough turns that a page more or less does not show.
    return (
        cost_of(our_act, trace=ours.trace, path=ours.path, times=50),
        cost_of(their_act, trace=theirs.trace, path=theirs.path, times=50),
    )


def _times(
    what: str,
    times: dict[str, Sample],
    *,
    shipped: str = SHIPPED,
    most: tuple[float, float] | None = None,
) -> Iterator[Row]:
    """Compare with both baselines; `most` holds the budgets of the two ratios."""
    ours = times["ours"].median
    budgets = [Budget(limit, "ratio") for limit in most] if most else [None, None]
    yield _row(what, ours, "ms", times["shipped"].median, shipped, budgets[0], True)
    yield _row(what, ours, "ms", times["tuned"].median, TUNED, budgets[1])


def _costs(
    what: str, ours: Cost, theirs: Cost, *, most: float | None = None
) -> Iterator[Row]:
    """Compare what a turn costs the database; `most` is the budget of commits."""
    budget = None if most is None else Budget(most, "value")
    yield _row(f"{what}: commits", ours.commits, "commits", theirs.commits, "", budget)
    yield _row(f"{what}: statements", ours.statements, "statements", theirs.statements)
    yield _row(f"{what}: growth", ours.kilobytes, "kB", theirs.kilobytes)
