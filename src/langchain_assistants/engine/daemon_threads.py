"""A thread pool that never makes work wait, and that nobody waits for at exit.

The standard library's has a limit: tools that wait for other assistants, whose tools
need a thread too, would wait for each other. And the interpreter joins its threads, so
that one hung tool would keep the process from ending.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Work: TypeAlias = tuple[Future[Any], Callable[[], Any]]
_Inbox: TypeAlias = "queue.SimpleQueue[_Work | None]"


class DaemonThreadPool(Executor):
    """Executes each call at once, on an idle thread or on a new one.

    Args:
        name: What the threads' names begin with.
        idle_seconds: How long a thread waits for further work before it ends.

    Example:
        >>> pool = DaemonThreadPool("example")
        >>> pool.submit(pow, 2, 5).result()
        32
        >>> pool.shutdown()
    """

    def __init__(self, name: str, idle_seconds: float = 10.0) -> None:
        """Start no thread yet."""
        self._name = name
        self._idle_seconds = idle_seconds
        self._idle: list[_Inbox] = []
        self._lock = threading.Lock()
        self._closed = False
        self._started = 0

    def submit(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Execute a call and return its future.

        Raises:
            RuntimeError: The pool was shut down.
        """
        future: Future[T] = Future()
        work = future, lambda: function(*args, **kwargs)
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._idle:
                # The newest: the oldest ones get old enough to end.
                self._idle.pop().put(work)
                return future
            self._started += 1
            name = f"{self._name}-{self._started}"
        inbox: _Inbox = queue.SimpleQueue()
        inbox.put(work)
        threading.Thread(
            target=self._serve, args=(inbox,), name=name, daemon=True
        ).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work and let idle threads end; busy ones are not waited for."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)

    def _serve(self, inbox: _Inbox) -> None:
        while (work := self._next(inbox)) is not None:
            _execute(*work)
            del work  # a thread that idles keeps nothing of its last call alive
            with self._lock:
                if self._closed:
                    return
                self._idle.append(inbox)

    def _next(self, inbox: _Inbox) -> _Work | None:
        try:
            return inbox.get(timeout=self._idle_seconds)
        except queue.Empty:
            with self._lock:
                if inbox in self._idle:
                    self._idle.remove(inbox)
                    return None
            return inbox.get()  # somebody has just chosen this thread


def _execute(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
