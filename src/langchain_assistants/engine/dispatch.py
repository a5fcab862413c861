"""Delivers queued runs to an executor; late or doubled delivery breaks nothing."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeAlias

from langchain_assistants.engine.portal import Portal

Execute: TypeAlias = Callable[[str], Awaitable[None]]
"""Claims and executes a run by its id; does nothing where it is not to be had."""


class Dispatcher(Protocol):
    """Tells somebody, somewhere, that a run is queued."""

    def wake(self, run_id: str) -> None:
        """Deliver a run as soon as there is room for it."""
        ...

    def serve(self, execute: Execute) -> None:
        """Deliver runs to this function from now on."""
        ...


class InProcessDispatcher:
    """Executes runs on the portal's loop, so many at once."""

    def __init__(self, portal: Portal, slots: int) -> None:
        """Begin with all slots free."""
        self._portal = portal
        self._free = slots
        self._queue: deque[str] = deque()
        self._lock = threading.Lock()
        self._execute: Execute | None = None

    def serve(self, execute: Execute) -> None:
        """Deliver runs to this function from now on."""
        self._execute = execute

    def reserve(self) -> bool:
        """Take a slot for a run that is about to be created, if one is free."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    @contextmanager
    def reserved(self) -> Iterator[bool]:
        """Take a slot, if one is free; give it back if the block fails.

        Yields:
            Whether there is one: for `start`, or to be released.
        """
        taken = self.reserve()
        try:
            yield taken
        except BaseException:
            if taken:
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back, to the run that has waited longest."""
        with self._lock:
            if not self._queue:
                self._free += 1
                return
            run_id = self._queue.popleft()
        self._start(run_id)

    def wake(self, run_id: str) -> None:
        """Execute a run as soon as a slot is free."""
        with self._lock:
            if self._free == 0:
                self._queue.append(run_id)
                return
            self._free -= 1
        self._start(run_id)

    def start(self, work: Callable[[], Awaitable[None]]) -> None:
        """Execute work in the slot that was reserved for it."""

        async def occupy() -> None:
            try:
                await work()
            finally:
                self.release()

        self._portal.start(occupy)

    def _start(self, run_id: str) -> None:
        execute = self._execute
        assert execute is not None
        self.start(lambda: execute(run_id))
