"""Bells: wake whoever waits for a run or a thread, on any loop of this process."""

from __future__ import annotations

import asyncio
import contextlib
import threading


class Bells:
    """One bell per id; a ring wakes those who listen at that moment.

    A listener looks at the database after each ring and after each time-out, for other
    processes ring no bells here.
    """

    def __init__(self) -> None:
        """Begin without listeners."""
        self._lock = threading.Lock()
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def listen(self, key: str) -> asyncio.Future[None]:
        """Return what the next ring resolves; begin to listen before looking."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.setdefault(key, []).append(future)
        return future

    async def heard(
        self, key: str, future: asyncio.Future[None], timeout: float
    ) -> None:
        """Wait for the ring, at most `timeout` seconds."""
        try:
            await asyncio.wait({future}, timeout=timeout)
        finally:
            with self._lock:
                waiting = self._waiting.get(key, [])
                if future in waiting:
                    waiting.remove(future)
                if not waiting:
                    self._waiting.pop(key, None)
            future.cancel()

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
