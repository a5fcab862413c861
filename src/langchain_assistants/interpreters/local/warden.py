"""The warden: one thread that starts workers, and kills those that go too far.

It lives as long as the process: a worker dies with the thread that started it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

from langchain_assistants.interpreters.local.limits import Limits
from langchain_assistants.interpreters.local.processes import (
    Processes,
    memory,
    nameless_files,
)
from langchain_assistants.interpreters.local.worker_process import Excess, WorkerProcess

T = TypeVar("T")

_ROUND_SECONDS = 0.25
# Rounds take at most a tenth of a core, however full the folders are.
_REST_PER_ROUND = 10


class Warden:
    """Watches over the workers of one provider.

    Example:
        >>> warden = Warden(Limits())
        >>> warden.ask(lambda: 6 * 7).result()
        42
    """

    def __init__(self, limits: Limits) -> None:
        """Start no thread yet."""
        self._limits = limits
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._watched: set[WorkerProcess] = set()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def ask(self, act: Callable[[], T]) -> Future[T]:
        """Do something on the thread, after what was asked before."""
        done: Future[T] = Future()

        def work() -> None:
            if done.set_running_or_notify_cancel():
                try:
                    done.set_result(act())
                except BaseException as error:
                    done.set_exception(error)

        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="interpreter-warden", daemon=True
                )
                self._thread.start()
        self._asked.put(work)
        return done

    def stop(self) -> None:
        """End the thread, after what was asked; asking again starts another."""
        with self._starting:
            if self._thread is not None:
                self._thread = None
                self._asked.put(None)

    def watch(self, worker: WorkerProcess) -> None:
        """Watch a worker until it ends; on the thread only."""
        self._watched.add(worker)

    def _work(self) -> None:
        next_round = time.monotonic()
        while True:
            wait = max(0.0, next_round - time.monotonic()) if self._watched else None
            try:
                act = self._asked.get(timeout=wait)
                if act is None:
                    return
                act()
            except Empty:
                begun = time.monotonic()
                self._look()
                now = time.monotonic()
                next_round = now + max(_ROUND_SECONDS, _REST_PER_ROUND * (now - begun))

    def _look(self) -> None:
        self._watched = {worker for worker in self._watched if worker.alive}
        processes = Processes()
        for worker in self._watched:
            worker.excess = self._excess(worker, processes)
            if worker.excess is not None:
                worker.kill()

    def _excess(self, worker: WorkerProcess, processes: Processes) -> Excess | None:
        if worker.kill_at is not None and time.monotonic() > worker.kill_at:
            return "time"
        tree = processes.tree(worker.pid)
        limits = self._limits
        at_most = sum(process.memory for process in tree)
        # What forks share was counted for each of them: only then look closer.
        if at_most > limits.memory_bytes and memory(tree) > limits.memory_bytes:
            return "memory"
        # The worker's own threads and bubblewrap's processes are no tasks of the code.
        if sum(process.tasks for process in tree) > limits.tasks + 8:
            return "tasks"
        usage = worker.folder.usage(limits.folder_entries)
        size = usage.size + nameless_files(tree)
        if size > limits.folder_bytes or usage.entries > limits.folder_entries:
            return "folder"
        return None
