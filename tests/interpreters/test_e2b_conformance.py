"""The conformance suite on E2B's real SDK, against the emulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from langchain_assistants.interpreters import e2b
from langchain_assistants.interpreters.e2b import E2BInterpreter
from langchain_assistants.testing import E2BEmulator, InterpreterConformance


class TestE2B(InterpreterConformance):
    """The provider of E2B's sandboxes."""

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls) -> Iterator[E2BInterpreter]:
        with pytest.MonkeyPatch.context() as patch, E2BEmulator() as emulator:
            patch.setattr(e2b, "SETTLING_SECONDS", 0)
            patch.setattr(e2b, "PROBE_SECONDS", 0.5)
            for name, value in emulator.env.items():
                patch.setenv(name, value)
            yield E2BInterpreter()
