"""What a cold process pays: the import, and the way to its first answer."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.baselines import SHIPPED
from benchmarks.measure import Act, Effort, interleaved
from benchmarks.rows import Budget, Row

_ROOT = Path(__file__).parents[1]
_IMPORT = Budget(50, "value")


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Start processes; the best of each kind counts, since noise only adds."""
    starts: dict[str, Act] = {
        "bare": lambda: _python("-c", "pass"),
        "import": lambda: _python("-c", "import langchain_assistants"),
    }
    times = interleaved(starts, rounds=effort.of(full=20, short=8))
    added = times["import"].best - times["bare"].best
    yield Row("startup", "import, above a bare Python", added, "ms", budget=_IMPORT)
    yield from _first_answers(effort, folder)


def _first_answers(effort: Effort, folder: Path) -> Iterator[Row]:
    numbers = itertools.count()
    ours, theirs = str(folder / "ours.db"), str(folder / "theirs.db")

    def new_database() -> None:
        _answer("assistants", str(folder / f"new_{next(numbers)}.db"))

    first: dict[str, Act] = {
        "known": lambda: _answer("assistants", ours),
        "new": new_database,
        "shipped": lambda: _answer("create_agent", theirs),
    }
    # The warm-up writes the byte code and makes the databases.
    times = interleaved(first, rounds=effort.of(full=5, short=1), warm_up=1)
    for kind, database in (("known", "an existing"), ("new", "a new")):
        yield Row(
            "startup",
            f"cold process to its first answer, {database} database",
            times[kind].best,
            "ms",
            times["shipped"].best,
            SHIPPED,
        )


def _answer(side: str, path: str) -> None:
    _python("-m", "benchmarks.first_answer", side, path)


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, cwd=_ROOT)
