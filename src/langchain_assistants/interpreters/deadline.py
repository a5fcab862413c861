"""A time limit on a piece of work that may be brought forward, with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

from langchain_assistants.interpreters.base import StopReason


class Deadline:
    """Limit one piece of work on the running loop; any thread may end it sooner.

    Example:
        >>> async def give_up() -> str | None:
        ...     deadline = Deadline()
        ...     deadline.stop("interrupt")
        ...     return await deadline.limit(asyncio.sleep(3600), 60)
    """

    def __init__(self) -> None:
        """Set no time yet."""
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._reason: StopReason | None = None
        self._is_entered = False
        self._is_over = False

    async def limit(self, work: Awaitable[object], seconds: float) -> StopReason | None:
        """Await the work; cancel it at the deadline, and return why it ended then.

        What the work raises by itself passes through.
        """
        try:
            async with self._timeout:
                self._is_entered = True
                now = self._loop.time()
                stopped = self._reason is not None
                self._timeout.reschedule(now if stopped else now + seconds)
                await work
        except TimeoutError:
            if not self._timeout.expired():
                raise
            return self._reason or "timeout"
        finally:
            self._is_over = True
        return None

    def stop(self, reason: StopReason) -> None:
        """End the work now; the first reason counts."""
        with suppress(RuntimeError):  # its loop was closed a moment ago
            self._loop.call_soon_threadsafe(self._expire, reason)

    def _expire(self, reason: StopReason) -> None:
        if self._is_over or self._timeout.expired() or self._reason is not None:
            return
        self._reason = reason
        if self._is_entered:
            self._timeout.reschedule(self._loop.time())
