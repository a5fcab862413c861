"""A first-come, first-served lock that spans event loops and threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager


class Turns:
    """Let one caller in at a time, in the order of asking.

    `asyncio.Lock` belongs to one loop; a session may be used from several.

    Example:
        >>> turns = Turns()
        >>> async def one_at_a_time():
        ...     async with turns.turn():
        ...         ...
    """

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self._lock = threading.Lock()
        self._last: Future[None] | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the callers before, and let the next one in at the end."""
        mine: Future[None] = Future()
        mine.set_running_or_notify_cancel()  # a waiter's cancellation stops here
        with self._lock:
            before, self._last = self._last, mine
        try:
            if before is not None:
                await asyncio.wrap_future(before)
            yield
        finally:
            if before is None or before.done():
                mine.set_result(None)
            else:  # cancelled in the queue: the next one still waits for those before
                before.add_done_callback(lambda _: mine.set_result(None))
