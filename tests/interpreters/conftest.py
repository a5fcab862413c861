"""Local interpreters in each jail, shared by a module's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from langchain_assistants.interpreters.local import Limits, LocalInterpreter
from langchain_assistants.interpreters.local.session import LocalSession


@pytest.fixture(scope="module", params=["bubblewrap", "landlock"])
def interpreter(request: pytest.FixtureRequest) -> Iterator[LocalInterpreter]:
    """A provider whose sessions a module's tests share, on loops of their own."""
    jail: Any = request.param
    shared = LocalInterpreter(jail=jail, limits=Limits(grace_seconds=20))
    yield shared
    asyncio.run(shared.aclose())


@pytest.fixture
def session(interpreter: LocalInterpreter) -> Iterator[LocalSession]:
    """A session of the test's own."""
    session = interpreter.session()
    yield session
    asyncio.run(session.close())
