"""Threads for synchronous tools and models, so that they never wait for each other.

asyncio's default pool has cpu + 4 threads: on two cores eight parallel tools would take
two waves. The pool of a caller's own loop is left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.tools import BaseTool

from langchain_assistants.engine.daemon_threads import DaemonThreadPool
from langchain_assistants.errors import ToolError

T = TypeVar("T")

BEFORE_TOOL: contextvars.ContextVar[Callable[[], None] | None] = contextvars.ContextVar(
    "before_tool", default=None
)
"""Called right before a tool's own code: between the decision to execute it and its
first statement a process may be frozen for longer than its lease."""


@contextlib.contextmanager
def _no_exit() -> Iterator[None]:
    """Make a plain error of what an event loop cannot take from a tool.

    `exit()` would end the loop, and StopIteration would never arrive.
    """
    try:
        yield
    except (asyncio.CancelledError, GeneratorExit):  # it is cancelled, or forgotten
        raise
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            raise
        raise ToolError(f"The tool raised {type(error).__name__}.") from error


def _guarded(coroutine: Callable[..., Any]) -> Callable[..., Any]:
    """Return a tool's coroutine function that cannot end the event loop."""

    @functools.wraps(coroutine)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        if (check := BEFORE_TOOL.get()) is not None:
            check()
        with _no_exit():
            return await coroutine(*args, **kwargs)

    return guarded


class Offloading:
    """Gives synchronous tools and models a coroutine that uses a pool of its own."""

    def __init__(self) -> None:
        """Prepare the pool; threads start when they are needed."""
        self._pool = DaemonThreadPool("langchain-assistants-tool")
        self._classes: dict[type, type] = {}

    async def call(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Execute a function on the pool, with the caller's context variables.

        When the wait is cancelled the thread is abandoned and its result discarded.
        """
        context = contextvars.copy_context()
        check = BEFORE_TOOL.get()

        def work() -> T:
            if check is not None:
                check()
            with _no_exit():
                return context.run(function, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def tool(self, tool: BaseTool) -> BaseTool:
        """Return the tool, or an equal one that does not block the loop."""
        coroutine = getattr(tool, "coroutine", None)
        if coroutine is not None:
            return tool.model_copy(update={"coroutine": _guarded(coroutine)})
        function = getattr(tool, "func", None)
        if function is not None and hasattr(tool, "coroutine"):
            return tool.model_copy(update={"coroutine": self._coroutine(function)})
        if type(tool)._arun is BaseTool._arun:
            return cast("BaseTool", self._alias(tool, "_run", "_arun"))
        return tool

    def model(self, model: BaseChatModel) -> BaseChatModel:
        """Return the model, or an alias of it that does not block the loop."""
        if (
            type(model)._agenerate is BaseChatModel._agenerate
            and type(model)._astream is BaseChatModel._astream
        ):
            return cast("BaseChatModel", self._alias(model, "_generate", "_agenerate"))
        return model

    def close(self) -> None:
        """Let go of the threads; one that is blocked is not waited for."""
        self._pool.shutdown()

    def _coroutine(self, function: Callable[..., T]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> T:
            return await self.call(function, *args, **kwargs)

        return coroutine

    def _alias(self, original: Any, sync_name: str, async_name: str) -> Any:
        """Return an object that is the original but for one coroutine.

        Both share their state: what the tool remembers of a call is seen by its owner.
        """
        base = type(original)
        if base not in self._classes:
            self._classes[base] = self._subclass(base, sync_name, async_name)
        alias: Any = object.__new__(self._classes[base])
        object.__setattr__(alias, "__dict__", original.__dict__)
        for slot in (
            "__pydantic_fields_set__",
            "__pydantic_extra__",
            "__pydantic_private__",
        ):
            object.__setattr__(alias, slot, getattr(original, slot, None))
        return alias

    def _subclass(self, base: type, sync_name: str, async_name: str) -> type:
        offload = self.call

        # Its signature tells LangChain which managers and configs to pass.
        @functools.wraps(getattr(base, sync_name))
        async def coroutine(self: Any, *args: Any, **kwargs: Any) -> Any:
            manager: Any = kwargs.get("run_manager")
            if hasattr(manager, "get_sync"):
                kwargs["run_manager"] = manager.get_sync()
            return await offload(getattr(self, sync_name), *args, **kwargs)

        namespace = {async_name: coroutine, "__module__": base.__module__}
        return type(base)(base.__name__, (base,), namespace)
