"""Bells: wake whoever waits for a run or a thread, on any loop of this process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator


class Bells:
    """One bell per id; a ring wakes those who listen at that moment.

    A listener begins to listen before it looks at the database, and looks again after
    each ring and each time-out: other processes ring no bells here.
    """

    def __init__(self) -> None:
        """Begin without listeners."""
        self._lock = threading.Lock()
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    @contextlib.contextmanager
    def listening(self, key: str) -> Iterator[asyncio.Future[None]]:
        """Give a future of the running loop that the next ring resolves."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.setdefault(key, []).append(future)
        try:
            yield future
        finally:
            future.cancel()
            with self._lock:
                waiting = self._waiting.get(key, [])
                if future in waiting:
                    waiting.remove(future)
                if not waiting:
                    self._waiting.pop(key, None)

    def ring(self, *keys: str) -> None:
        """Wake the listeners of these ids, from any thread."""
        with self._lock:
            futures = [f for key in keys for f in self._waiting.pop(key, ())]
        for future in futures:
            with contextlib.suppress(RuntimeError):  # its loop has been closed
                future.get_loop().call_soon_threadsafe(_resolve, future)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
