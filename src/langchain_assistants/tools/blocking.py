"""Synchronous twins of a tool's async methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from anyio.from_thread import start_blocking_portal

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


def blocking(
    method: Callable[Concatenate[S, P], Awaitable[T]],
) -> Callable[Concatenate[S, P], T]:
    """Return the synchronous twin of an async method: one bridge, no second code.

    Each call has an event loop on a thread of its own, so it works beside a running
    loop (in a notebook) and leaves nothing behind. Ctrl-C cancels the method.
    """

    def twin(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        async def call() -> T:
            return await method(self, *args, **kwargs)

        with start_blocking_portal() as portal:
            return portal.call(call)

    update_wrapper(twin, method)
    twin.__name__ = _synchronous(method)
    twin.__qualname__ = twin.__qualname__.replace(
        getattr(method, "__name__", ""), twin.__name__
    )
    return twin


def _synchronous(method: Callable[..., Any]) -> str:
    name: str = getattr(method, "__name__", "")
    return "_run" if name == "_arun" else name.removeprefix("a")
