"""The turn with a tool call in threads of 100 to 100,000 messages."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.assistants import Assistants
from benchmarks.baselines import SHIPPED, Agent
from benchmarks.measure import Act, Effort, cost_of, interleaved, sampled, seconds
from benchmarks.rows import Budget, Row
from benchmarks.scenario import look_up, scripted_model

_LENGTHS = (100, 1_000, 10_000, 100_000)
_SHORTEST = _LENGTHS[0]
_AT_SHORTEST = f"at {_SHORTEST} messages"
# Of the time and of the database's growth, at the greatest length.
_BUDGETS = Budget(1.1, "ratio"), Budget(4, "value")

_row = partial(Row, "growth")


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Measure our turn at every length, then the other side as far as it goes."""
    with Assistants(folder / "ours.db", scripted_model(), [look_up]) as ours:
        threads = {length: ours.long_thread(length) for length in _LENGTHS}
        yield from _ours(effort, ours, threads)
        with Agent(folder / "shipped.db", scripted_model(), [look_up]) as shipped:
            for length in (100, 1_000) if effort.short else (100, 1_000, 5_000):
                yield from _theirs(effort, ours, shipped, length)


def _ours(effort: Effort, ours: Assistants, threads: dict[int, str]) -> Iterator[Row]:
    acts = {length: _turn(ours.turn, thread) for length, thread in threads.items()}
    samples = interleaved(
        {str(length): act for length, act in acts.items()},
        rounds=effort.of(full=100, short=20),
    )
    times = effort.of(full=100, short=25)
    costs = {
        length: cost_of(act, trace=ours.trace, path=ours.path, times=times)
        for length, act in acts.items()
    }
    shortest = samples[str(_SHORTEST)].median
    for length, cost in costs.items():
        what = f"turn at {length:,} messages"
        median = samples[str(length)].median
        slower, larger = _BUDGETS if length == _LENGTHS[-1] else (None, None)
        if length == _SHORTEST:
            yield _row(what, median, "ms")
        else:
            yield _row(what, median, "ms", shortest, _AT_SHORTEST, slower)
        yield _row(f"{what}: statements", cost.statements, "statements")
        yield _row(f"{what}: growth", cost.kilobytes, "kB", budget=larger)


def _theirs(
    effort: Effort, ours: Assistants, shipped: Agent, length: int
) -> Iterator[Row]:
    """Compare with a state that holds the same conversation: one `state` per turn."""
    what = f"turn at {length:,} messages"
    our_turn = _turn(ours.turn, ours.long_thread(length))
    their_turn = _turn(shipped.turn, shipped.long_thread(length))
    sides = {
        "ours": partial(_undisturbed, our_turn),
        "shipped": partial(_undisturbed, their_turn),
    }
    rounds = effort.of(full=20, short=5) if length < 5_000 else 5
    times = sampled(sides, rounds=rounds, warm_up=1)
    theirs = times["shipped"].median
    ours_took = times["ours"].median
    yield _row(what, ours_took, "ms", theirs, SHIPPED, headline=length == 5_000)
    # Pages are counted after some turns of ours, lest a half-filled one decides.
    our_cost = cost_of(our_turn, trace=ours.trace, path=ours.path, times=20)
    their_cost = cost_of(their_turn, trace=shipped.trace, path=shipped.path, times=3)
    yield _row(
        f"{what}: growth", our_cost.kilobytes, "kB", their_cost.kilobytes, SHIPPED
    )


def _undisturbed(act: Act) -> float:
    """Time an act that does not pay for what the other side left to collect."""
    gc.collect()
    return seconds(act)


def _turn(turn: Callable[[str], None], thread_id: str) -> Act:
    return partial(turn, thread_id)
