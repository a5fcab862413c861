"""Test doubles for code that uses assistants, shipped so that you can use them.

Nothing here is imported by the engine.
"""

from __future__ import annotations

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

__all__ = [
    "E2BEmulator",
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
