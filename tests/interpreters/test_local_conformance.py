"""The conformance suite on the provider `local`, in both of its jails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Literal

import pytest

from langchain_assistants.interpreters.local import LocalInterpreter
from langchain_assistants.testing import InterpreterConformance


class _Local(InterpreterConformance):
    jail: Literal["bubblewrap", "landlock"]

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls) -> Iterator[LocalInterpreter]:
        provider = LocalInterpreter(jail=cls.jail)
        yield provider
        asyncio.run(provider.aclose())


class TestBubblewrap(_Local):
    """Namespaces."""

    jail = "bubblewrap"


class TestLandlock(_Local):
    """Rules of the kernel."""

    jail = "landlock"
