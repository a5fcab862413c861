"""What has to be done although somebody is being cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

import anyio

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


def forget(task: asyncio.Task[Any]) -> None:
    """Take an abandoned task's exception, so that nobody is told of it at exit."""
    if not task.cancelled():
        task.exception()
