"""A thread for what may take long because a stranger wants it to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def in_spare_thread(act: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """Call a function in a thread that nobody else waits for.

    Whoever is cancelled meanwhile leaves it alone with its work.
    """
    return await to_thread.run_sync(
        act, *arguments, abandon_on_cancel=True, limiter=CapacityLimiter(1)
    )
