"""What code of a model costs: a session on this machine, and executions in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import AsyncAct, Effort, Timer, interleaved, on_loop, sampled
from benchmarks.rows import Budget, Row
from langchain_assistants.interpreters.local import LocalInterpreter
from langchain_assistants.interpreters.local.processes import Processes, memory
from langchain_assistants.interpreters.local.session import LocalSession

_NAMES = {"bubblewrap": "bubblewrap", "landlock": "Landlock"}
_AT_ONCE = 8
_SECONDS = 60.0
_CODE = "sum(n * n for n in range(100_000))"


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Use sessions in each jail; one that does not work here is an error."""
    for jail, name in _NAMES.items():
        with asyncio.Runner() as loop:
            cold = LocalInterpreter(jail=jail, pool_size=0)  # type: ignore[arg-type]
            warm = LocalInterpreter(jail=jail, pool_size=1)  # type: ignore[arg-type]
            yield from _rows_of(cold, warm, name, effort, loop)
            loop.run(cold.aclose())
            loop.run(warm.aclose())


def _rows_of(
    cold: LocalInterpreter,
    warm: LocalInterpreter,
    jail: str,
    effort: Effort,
    loop: asyncio.Runner,
) -> Iterator[Row]:
    rounds = effort.of(full=20, short=3)
    starts = {
        "new": _start_timer(cold, loop),
        "pool": _start_timer(warm, loop),
    }
    times = sampled(starts, rounds=rounds, warm_up=1)
    for kind, what, most in (
        ("new", "a new session", 150),
        ("pool", "a session from the warm pool", 10),
    ):
        yield _row(f"{what}, {jail}", times[kind].median, Budget(most, "value"))
    session = cold.session()
    loop.run(session.run("x = 0", timeout=_SECONDS))
    yield _memory(session, jail)
    executions: dict[str, AsyncAct] = {"warm": lambda: _execute(session, "x += 1")}
    acts = {name: on_loop(loop, act) for name, act in executions.items()}
    warm_times = interleaved(acts, rounds=effort.of(full=500, short=20))
    yield _row(f"an execution, {jail}", warm_times["warm"].median, Budget(1, "value"))
    together = {"together": on_loop(loop, lambda: _together(cold))}
    many = interleaved(together, rounds=effort.of(full=5, short=1), warm_up=0)
    what = f"{_AT_ONCE} sessions at once: start, compute, end; {jail}"
    yield _row(what, many["together"].median, None)


def _row(what: str, value: float, budget: Budget | None) -> Row:
    return Row("interpreter", what, value, "ms", budget=budget)


def _start_timer(interpreter: LocalInterpreter, loop: asyncio.Runner) -> Timer:
    """Time a session's start, not the filling of the pool before or its end after."""

    async def start() -> float:
        await interpreter.warm()
        session = interpreter.session()
        begun = asyncio.get_running_loop().time()
        await session.start()
        taken = asyncio.get_running_loop().time() - begun
        await session.close()
        await interpreter.warm()  # else it fills the pool while others are timed
        return taken

    return lambda: loop.run(start())


async def _execute(session: LocalSession, code: str) -> None:
    result = await session.run(code, timeout=_SECONDS)
    if result.error is not None:
        raise RuntimeError(result.error.message)


async def _together(interpreter: LocalInterpreter) -> None:
    async def use() -> None:
        session = interpreter.session()
        await _execute(session, _CODE)
        await session.close()

    await asyncio.gather(*(use() for _ in range(_AT_ONCE)))


def _memory(session: LocalSession, jail: str) -> Row:
    """Add up the memory of a session's processes; what they share counts once."""
    lodging = session.lodging
    if lodging is None or lodging.worker is None:
        raise RuntimeError("The session has no worker.")
    used = memory(Processes().tree(lodging.worker.pid)) / 1_000_000
    what = f"memory of an idle session before numpy, {jail}"
    return Row("interpreter", what, used, "MB", budget=Budget(20, "value"))
