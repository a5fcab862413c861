"""The warden: one thread that starts workers, and kills those that go too far.

It lives as long as the process: a worker dies with the thread that started it.
"""

from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache, partial
from queue import Empty, SimpleQueue
from typing import TypeVar

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters.local.folder import (
    HOME,
    SHARED_MEMORY,
    TEMPORARY,
    SessionFolder,
    Usage,
)
from langchain_assistants.interpreters.local.holdings import Crowd, Held, TooDeep, held
from langchain_assistants.interpreters.local.limits import Limits
from langchain_assistants.interpreters.local.onlookers import eyes_of
from langchain_assistants.interpreters.local.processes import (
    Elusive,
    Process,
    Processes,
    memory,
    more_memory,
    stopped,
    user_of,
)
from langchain_assistants.interpreters.local.runtime import is_below, readable
from langchain_assistants.interpreters.local.trees import Unsteady
from langchain_assistants.interpreters.local.worker_process import Excess, WorkerProcess

T = TypeVar("T")

_LOOK_SECONDS = 0.25  # on average: code would be within its limits at a known time
# A session that takes long to look through is looked at less often, and no other.
_REST_PER_LOOK, _MOST_REST = 5, 1.0
_DYING_SECONDS = 0.1
# What threads wait for they hold, by no descriptor; whoever is stopped lets it go.
_STOPPED_ANYWAY, _FEW_TASKS = 0.1, 5
# Kernel's memory that nobody else counts, and of which a user has only so much.
_MOST_CHANNELS = 128
# What many forks share is soon more than can be looked through in time.
_MOST_SHARED = 16
# Who is due soon is looked at now: one look at all processes then serves them all.
_TOGETHER_SECONDS = 0.1
_NOTHING = Held(Usage(0, 0))
_NONE_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


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
            # A fork of this process has no threads but its own.
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(
                    target=self._work, name="interpreter-warden", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError as error:
                    raise InterpreterError(
                        f"No thread could be started to watch over sessions ({error})."
                    ) from error
                self._thread = thread
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

    def dismiss(self, worker: WorkerProcess) -> None:
        """Watch a killed worker no more; on the thread only."""
        self._see_off(worker)
        worker.forget()

    def _work(self) -> None:
        while True:
            due = min((worker.look_at for worker in self._watched), default=None)
            wait = None if due is None else max(0.0, due - time.monotonic())
            try:
                act = self._asked.get(timeout=wait)
                if act is None:
                    return
                act()
            except Empty:
                self._look()

    def _look(self) -> None:
        processes: Processes | None = None
        for worker in list(self._watched):
            if not worker.alive:
                self._see_off(worker)
                continue
            begun = time.monotonic()
            if begun + _TOGETHER_SECONDS < worker.look_at:
                continue
            if worker.kill_at is not None and begun > worker.kill_at:
                worker.excess = worker.excess or "time"
            elif worker.excess is None:
                try:
                    worker.be_modest()
                    processes = processes or Processes()
                    worker.excess = self._look_at(worker, processes)
                except Exception as error:
                    # What this process has not left it may have soon; else code is at
                    # work, and this thread must go on: all sessions end with it.
                    is_ours = isinstance(error, OSError) and error.errno in _NONE_LEFT
                    worker.excess = None if is_ours else "secrecy"
            if worker.excess is not None:
                # A disk may hold it for long: others are to be looked at meanwhile.
                patience = 0.0 if worker.is_struck else _DYING_SECONDS
                if worker.strike(patience):
                    self._see_off(worker)
            now = time.monotonic()
            if now - begun > _TOGETHER_SECONDS:
                processes = None  # they are others by now
            rest = min(_MOST_REST, _REST_PER_LOOK * (now - begun))
            worker.look_at = now + max(_LOOK_SECONDS, rest) * random.uniform(0, 2)

    def _see_off(self, worker: WorkerProcess) -> None:
        """Take a last look at what a dead worker left; too many files go now."""
        if worker not in self._watched:
            return
        self._watched.remove(worker)
        with suppress(OSError):  # the next worker's looks and the session's end follow
            if not worker.is_fresh and self._is_too_much(worker, _NOTHING, None):
                worker.excess = "folder"
        if worker.excess == "folder":
            # Many files take long, and others are to be looked at meanwhile.
            with suppress(RuntimeError):  # no more threads: its session does it later
                threading.Thread(
                    target=_delete,
                    args=(worker.folder,),
                    name="interpreter-deletion",
                    daemon=True,
                ).start()

    def _look_at(self, worker: WorkerProcess, processes: Processes) -> Excess | None:
        try:
            tree = processes.tree(worker.pid)
            if _tasks(tree) > _FEW_TASKS and random.random() < _STOPPED_ANYWAY:
                raise Unsteady
            return self._excess(worker, tree, since=time.time_ns())
        except Unsteady:
            try:
                with stopped(worker.pid, worker.first_in_namespace) as tree:
                    return self._excess(worker, tree)
            except Elusive:
                return "secrecy"

    def _excess(
        self, worker: WorkerProcess, tree: list[Process], *, since: int | None = None
    ) -> Excess | None:
        """Return which limit a session is beyond.

        Args:
            worker: Of the session.
            tree: Its processes.
            since: When this look began, in nanoseconds; None: nothing can move.

        Raises:
            Unsteady: It has to be stopped to be seen.
        """
        limits = self._limits
        is_idle = worker.kill_at is None and not worker.is_fresh
        if is_idle and worker.idleness.broken(tree) > limits.seconds:
            return "time"
        # The worker's own threads and bubblewrap's processes are no tasks of the code.
        if _tasks(tree) > limits.tasks + 8:
            return "tasks"
        if any(process.living is None for process in tree):
            if since is not None:
                raise Unsteady
            return "secrecy"
        try:
            found = self._held(worker, tree, steady=since is not None)
        except Crowd:
            return "mappings"
        except TooDeep:
            return "folder"
        except PermissionError:
            return "secrecy"
        if found.channels > _MOST_CHANNELS:
            return "channels"
        at_most = sum(each.memory + more_memory(each.teller) for each in tree)
        if at_most > _MOST_SHARED * limits.memory_bytes:
            return "memory"
        # What forks share was counted for each of them: only then look closer.
        if at_most > limits.memory_bytes:
            if since is not None:
                raise Unsteady
            if memory(tree) > limits.memory_bytes:
                return "memory"
        if self._is_too_much(worker, found, since):
            return "folder"
        return None

    def _is_too_much(
        self, worker: WorkerProcess, found: Held, since: int | None
    ) -> bool:
        limits = self._limits
        most = limits.folder_entries
        try:
            named = worker.folder.usage(most, since=since, among=found.unknown)
        except PermissionError:  # it is closing folders in front of us
            return True
        # Each of these is as large as it could be.
        unknown = (len(found.unknown) - named.known) * limits.file_bytes
        size = named.size + found.nameless.size + unknown
        entries = named.entries + found.nameless.entries
        return size > limits.folder_bytes or entries > most

    def _held(
        self, worker: WorkerProcess, tree: list[Process], *, steady: bool
    ) -> Held:
        """Return what the processes of a worker hold.

        Raises:
            PermissionError: A process made itself secret.
            Unsteady: It has to be stopped to be seen, and `steady` forbids it.
        """
        if worker.is_fresh:
            return _NOTHING
        # The first process runs our code alone, and is secret for everybody.
        tree = [each for each in tree if each.pid != worker.first_in_namespace]
        look = partial(
            held,
            places=worker.folder.places,
            besides=_not_written(),
            most=self._limits.folder_entries,
            steady=steady,
        )
        try:
            return look(tree)
        except PermissionError:
            if (user := worker.folder.uid) is None:
                raise
        # Root without CAP_SYS_PTRACE: what is not the user's is bubblewrap, and ours.
        with eyes_of(user):
            return look([process for process in tree if user_of(process.pid) == user])


def _delete(folder: SessionFolder) -> None:
    with suppress(OSError):  # its session tries again when it is lost or closed
        folder.delete()


def _tasks(tree: list[Process]) -> int:
    return sum(process.tasks for process in tree)


@cache
def _not_written() -> tuple[str, ...]:
    """Return what code can only read, by the names that no file of its own can have."""
    places = (HOME, TEMPORARY, SHARED_MEMORY)
    return tuple(
        path
        for path in readable()
        if not any(is_below(path, place) for place in places)
    )
