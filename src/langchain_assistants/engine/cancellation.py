"""Work that outlasts its caller, and callers who do not wait for ever for work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")

logger = logging.getLogger(__name__)


async def outlast(work: Coroutine[Any, Any, None]) -> None:
    """Do what must be done although the caller is being cancelled, even twice."""
    task = asyncio.ensure_future(work)
    with anyio.CancelScope(shield=True):
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("run_not_ended", extra={"error": type(error).__name__})


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
