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


from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import anyio

from langchain_assistants.engine.run_changes import Fenced
from langchain_assistants.errors import StorageError

T = TypeVar("T")
    """Take an abandoned task's exception, so that nobody is told of it at exit."""
    if not task.cancelled():
        task.exception()
