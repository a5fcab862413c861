"""Bells: wake whoever waits for an object, on any loop of this process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator


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


class Doorbell:
    """Tells whoever answers it that there is work; rung before, it is not heard."""

    def __init__(self) -> None:
        """Begin with nobody at home."""
        self._answer: Callable[[], None] | None = None

    def answered_by(self, answer: Callable[[], None]) -> None:
        """Have this called at each ring, on the thread of whoever rings."""
        self._answer = answer

    def ring(self) -> None:
        """Tell that there is work."""
        if self._answer is not None:
            self._answer()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
