"""Work that outlasts its caller, and callers who do not wait for ever for work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import anyio

from langchain_assistants.engine.run_changes import Fenced
from langchain_assistants.errors import StorageError

T = TypeVar("T")

logger = logging.getLogger(__name__)

_RETRY_SECONDS = (0.1, 0.5, 2.0)


async def outlast(work: Coroutine[Any, Any, None]) -> None:
    """Do what must be done although the caller is being cancelled, even twice."""
    task = asyncio.ensure_future(work)
    with anyio.CancelScope(shield=True):
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("run_not_ended", extra={"error": type(error).__name__})


async def insist(work: Callable[[], Awaitable[object]]) -> None:
    """Do what nobody else would do, although the database is locked at times.

    Raises:
        StorageError: It stayed so, or the run is no longer this worker's.
    """
    for delay in _RETRY_SECONDS:
        try:
            await work()
        except Fenced:
            raise
        except StorageError:
            await asyncio.sleep(delay)
        else:
            return
    await work()


async def within(work: Awaitable[T], seconds: float) -> T:
    """Wait for work that may not stop when it is cancelled; then it is left behind.

    Raises:
        TimeoutError: It took longer.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
        raise TimeoutError(f"no result within {seconds:g} s")
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(forget)


def forget(task: asyncio.Future[Any]) -> None:
    """Take an abandoned task's exception, so that nobody is told of it at exit."""
    if not task.cancelled():
        task.exception()
