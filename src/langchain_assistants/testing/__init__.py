"""Test doubles for code that uses assistants, shipped so that you can use them.

Nothing here is imported by the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_assistants.testing.e2b import E2BEmulator
from langchain_assistants.testing.script import (
    ModelCall,
    Reply,
    Signal,
    Step,
    UnconsumedSteps,
    UnexpectedModelCall,
    call,
    malformed_call,
)
from langchain_assistants.testing.scripted_model import ScriptedChatModel

if TYPE_CHECKING:
    from langchain_assistants.testing.interpreter_conformance import (
        CodeConformance,
        InterpreterConformance,
    )

__all__ = [
    "CodeConformance",
    "E2BEmulator",
    "InterpreterConformance",
    "ModelCall",
    "Reply",
    "ScriptedChatModel",
    "Signal",
    "Step",
    "UnconsumedSteps",
    "UnexpectedModelCall",
    "call",
    "malformed_call",
]

_SUITES = {"CodeConformance", "InterpreterConformance"}


def __getattr__(name: str) -> Any:
    """Load a test suite, which needs pytest, when it is used (PEP 562)."""
    if name not in _SUITES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    # Else its assertions would fail without a word.
    pytest.register_assert_rewrite(f"{__name__}.interpreter_conformance")
    from langchain_assistants.testing import interpreter_conformance

    return getattr(interpreter_conformance, name)
