"""Calls resources both ways, the sync method or its async twin; a gate for files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
from tests.ingesting import Gate

_NAMED_OTHERWISE = {"wait": "await_"}


class Do(Protocol):
    """Calls a resource's method, given as the sync one."""

    def __call__(
        self, method: Callable[..., Any], *args: Any, **fields: Any
    ) -> Any: ...


def _sync(method: Callable[..., Any], *args: Any, **fields: Any) -> Any:
    return method(*args, **fields)


def _async(method: Callable[..., Any], *args: Any, **fields: Any) -> Any:
    name = method.__name__
    twin = getattr(method.__self__, _NAMED_OTHERWISE.get(name, f"a{name}"))

    async def call() -> Any:
        return await twin(*args, **fields)

    return asyncio.run(call())


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def do(request: pytest.FixtureRequest) -> Do:
    """Call methods synchronously, then all over again asynchronously."""
    call: Do = request.param
    return call


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A closed gate in front of the reader of files; it opens after the test."""
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()
