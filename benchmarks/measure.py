"""How time, statements, commits and bytes are taken, whatever is measured."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import statistics
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

Act = Callable[[], object]
Timer = Callable[[], float]
"""An act that times itself, in seconds."""
AsyncAct = Callable[[], Coroutine[Any, Any, None]]
Trace = Callable[[Callable[[str], None] | None], None]

_TRANSACTION_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: `--short` only shows that every benchmark runs."""

    short: bool

    def of(self, *, full: int, short: int) -> int:
        """Return the number that fits."""
        return short if self.short else full


@dataclass(frozen=True, slots=True)
class Sample:
    """The times of one act, in seconds."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median in milliseconds."""
        return statistics.median(self.seconds) * 1000

    @property
    def p95(self) -> float:
        """What nineteen of twenty times do not exceed, in milliseconds."""
        return statistics.quantiles(self.seconds, n=20)[-1] * 1000

    @property
    def best(self) -> float:
        """The shortest time in milliseconds: for processes, where noise only adds."""
        return min(self.seconds) * 1000


def interleaved(
    acts: Mapping[str, Act], *, rounds: int, warm_up: int = 2
) -> dict[str, Sample]:
    """Time acts in rounds; see `sampled`."""
    timers = {name: partial(seconds, act) for name, act in acts.items()}
    return sampled(timers, rounds=rounds, warm_up=warm_up)


def sampled(
    timers: Mapping[str, Timer], *, rounds: int, warm_up: int = 2
) -> dict[str, Sample]:
    """Call timers in rounds A, B, C, C, B, A, ..., so that drift meets all alike."""
    samples = {name: Sample() for name in timers}
    for timer in timers.values():
        for _ in range(warm_up):
            timer()
    for number in range(rounds):
        names = list(timers) if number % 2 == 0 else list(timers)[::-1]
        for name in names:
            samples[name].seconds.append(timers[name]())
    return samples


def on_loop(loop: asyncio.Runner, act: AsyncAct) -> Act:
    """Return an act that runs an async one to its end."""
    return lambda: loop.run(act())


def seconds(act: Act) -> float:
    """Time an act once."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


@dataclass(frozen=True, slots=True)
class Cost:
    """What one act costs the database, on average.

    Attributes:
        statements: Executed, reads included; BEGIN, COMMIT and savepoints are not.
        commits: COMMITs.
        kilobytes: Growth of the pages in use, in units of 1,000 bytes.
    """

    statements: float
    commits: float
    kilobytes: float


def cost_of(act: Act, *, trace: Trace, path: Path, times: int) -> Cost:
    """Count what an act costs a SQLite file, by the database's own trace."""
    texts: list[str] = []
    before = used_bytes(path)
    trace(texts.append)
    try:
        for _ in range(times):
            act()
    finally:
        trace(None)
    words = [text.lstrip().split(maxsplit=1)[0].upper() for text in texts]
    return Cost(
        statements=sum(word not in _TRANSACTION_CONTROL for word in words) / times,
        commits=words.count("COMMIT") / times,
        kilobytes=(used_bytes(path) - before) / times / 1000,
    )


def used_bytes(path: Path) -> int:
    """Return the bytes of a SQLite file's pages that are in use, WAL included."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages, free, size = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * size


def peak_megabytes() -> float:
    """Return the most memory that this process had; its parent's is not counted."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        kilobytes = status.partition("VmHWM:")[2].split()[0]
        return int(kilobytes) * 1024 / 1e6
    except OSError:  # no Linux: there the unit is bytes, and a parent does not count
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
