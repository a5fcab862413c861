"""What is to go wrong: faults drawn from a seed, one after the other.

The seed fixes the order, the targets' places and the lengths. When a fault meets which
statement of which process is up to the machine: that differs from time to time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

LEASE = 1.0
"""Seconds; short, so that a frozen process outlives its leases."""

Kind = Literal["kill", "freeze", "lock", "cancel", "submit", "deadline"]
KINDS: dict[Kind, int] = {
    "kill": 8,
    "freeze": 5,
    "lock": 1,
    "cancel": 3,
    "submit": 2,
    "deadline": 1,
}
"""How often each kind occurs, of twenty."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: "kill" and "freeze" meet a process; "lock" the database, which somebody
            else keeps to himself; "cancel" a run; "submit" a run that waits for
            outputs (it gets them twice at once); "deadline" is a new run that has too
            little time.
        after: Seconds since the fault before.
        place: Which of those it may meet, from 0 to 1.
        length: Seconds that a process is frozen, or the database locked.
    """

    kind: Kind
    after: float
    place: float
    length: float

    def among(self, targets: list[str]) -> str:
        """Return the one of these that it meets."""
        return targets[int(self.place * len(targets))]


def faults(seed: int) -> Iterator[Fault]:
    """Yield faults without end."""
    chance = random.Random(seed)
    while True:
        [kind] = chance.choices(list(KINDS), list(KINDS.values()))
        shortest, longest = (1.3, 3.0) if kind == "freeze" else (0.3, 1.5)
        yield Fault(
            kind,
            after=chance.uniform(0.1, 1.2),
            place=chance.random(),
            length=LEASE * chance.uniform(shortest, longest),
        )
