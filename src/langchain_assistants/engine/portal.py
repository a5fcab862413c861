"""The bridge from synchronous callers to the async engine: one loop on one thread."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
)
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from functools import update_wrapper
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, Protocol, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from langchain_assistants.errors import ConfigurationError

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_CLOSED = "The engine is closed; open a new one."
# How long a call that was interrupted (Ctrl-C) may tidy up in the loop.
_TIDY_UP_SECONDS = 10.0


class Portal:
    """An event loop on a daemon thread that synchronous callers reach.

    A call copies the caller's context variables, so LangChain traces nest. The thread
    is a daemon: anyio's own `start_blocking_portal` would keep the process alive.
    """

    def __init__(self) -> None:
        """Start nothing; the thread starts with the first call."""
        self._lock = threading.Lock()
        self._portal: BlockingPortal | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._process = os.getpid()

    @property
    def _is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the portal's own loop."""
        return threading.current_thread() is self._thread

    def _opened(self) -> BlockingPortal:
        if os.getpid() != self._process:
            raise ConfigurationError(
                "This engine was opened before its process was forked, and its threads "
                "stayed in the parent; open an engine in the child."
            )
        portal = self._portal
        if portal is not None and self._is_alive:
            return portal
        with self._lock:
            if self._stopped:
                raise ConfigurationError(_CLOSED)
            if self._portal is None or not self._is_alive:
                ready = threading.Event()
                opened: list[BlockingPortal] = []

                async def serve() -> None:
                    async with BlockingPortal() as portal:
                        self._loop = asyncio.get_running_loop()
                        opened.append(portal)
                        ready.set()
                        await portal.sleep_until_stopped()
                    await self._end_background()

                self._thread = threading.Thread(
                    target=anyio.run,
                    args=(serve,),
                    name="langchain-assistants-portal",
                    daemon=True,
                )
                self._thread.start()
                ready.wait()
                self._portal = opened[0]
            return self._portal

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Execute a coroutine function on the portal's loop and wait for its result.

        When the wait is interrupted (KeyboardInterrupt) the coroutine is cancelled and
        may tidy up before the interrupt goes on.

        Raises:
            ConfigurationError: Called from the portal's own loop, where waiting would
                never end; await the async method there.
        """
        call = self.spawn(function)
        try:
            return call.future.result()
        except CancelledError:
            if not self._stopped:
                raise
            raise ConfigurationError(
                "The engine was closed while this call was waiting."
            ) from None
        except BaseException:
            call.cancel()
            raise

    def iterate(
        self, function: Callable[[], AsyncGenerator[T, None]]
    ) -> Generator[T, None, None]:
        """Yield what an async generator (of anything but None) yields on the loop.

        Raises:
            ConfigurationError: As `call`.
        """
        items = function()
        try:
            while (item := self.call(lambda: anext(items, None))) is not None:
                yield item
        finally:
            with suppress(ConfigurationError):  # closed, or forgotten in the loop
                self.call(items.aclose)

    def spawn(self, function: Callable[[], Awaitable[T]]) -> PortalCall[T]:
        """Execute a coroutine function on the portal's loop without waiting.

        Raises:
            ConfigurationError: Called from the portal's own loop.
        """
        if self.is_current:
            raise ConfigurationError(
                "A synchronous method was called on the engine's own event loop, where "
                "it would wait for itself; await its async twin instead (`acreate` for "
                "`create`, `ainvoke` for `invoke`)."
            )
        finished = threading.Event()

        async def task() -> T:
            try:
                return await function()
            finally:
                finished.set()

        future = self._opened().start_task_soon(task)
        return PortalCall(future, finished, self._thread)

    def start(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Execute a coroutine function on the portal's loop in the background.

        An exception in it is logged: it must not end what executes beside it.
        """
        self._opened()
        loop = self._loop
        assert loop is not None

        async def guarded() -> None:
            try:
                await function()
            except Exception as error:
                logger.error(
                    "background_task_failed", extra={"error": type(error).__name__}
                )
                logger.debug("background_task_failed_by", exc_info=error)

        def begin() -> None:
            task = loop.create_task(guarded())
            self._background.add(task)
            task.add_done_callback(self._background.discard)

        if self.is_current:
            begin()
            return
        try:
            # Without waiting (a task group of anyio would): that loop may be blocked.
            loop.call_soon_threadsafe(begin)
        except RuntimeError:  # it was closed a moment ago
            raise ConfigurationError(_CLOSED) from None

    async def _end_background(self) -> None:
        """Cancel what executes in the background and let it tidy up."""
        while tasks := list(self._background):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def stop(self) -> None:
        """Cancel what still runs on the loop and end its thread."""
        with self._lock:
            self._stopped = True
            portal, self._portal = self._portal, None
        if portal is None or self._thread is None or not self._is_alive:
            return
        if self.is_current:
            raise ConfigurationError(
                "The engine cannot be closed from its own event loop."
            )
        portal.call(portal.stop, True)
        self._thread.join()


def await_apart(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await a coroutine on a loop and a thread of its own; this one may have a loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(function())).result()


class PortalCall(NamedTuple, Generic[T]):
    """A coroutine that executes on the portal's loop."""

    future: Future[T]
    finished: threading.Event
    thread: threading.Thread | None

    def cancel(self) -> None:
        """Cancel the coroutine unless it is done, and let it tidy up."""
        if not self.finished.is_set():
            self.future.cancel()
            # The portal may collect a forgotten generator: it cannot wait for itself.
            if threading.current_thread() is not self.thread:
                self.finished.wait(_TIDY_UP_SECONDS)


class HasPortal(Protocol):
    """What the synchronous twin of a method needs of its object."""

    @property
    def portal(self) -> Portal:
        """The portal of the engine."""
        ...


S = TypeVar("S", bound=HasPortal)


def blocking(
    method: Callable[Concatenate[S, P], Awaitable[T]],
) -> Callable[Concatenate[S, P], T]:
    """Return the synchronous twin of an async method: one bridge, no second code."""

    def twin(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.portal.call(lambda: method(self, *args, **kwargs))

    update_wrapper(twin, method)
    twin.__name__ = method.__name__.removeprefix("a")
    twin.__qualname__ = twin.__qualname__.replace(method.__name__, twin.__name__)
    return twin
