"""OpenAI's assistants, threads and runs on LangGraph, with any model, in your database.

Names are loaded when they are used: importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_assistants.assistant import AssistantRunnable
    from langchain_assistants.compat import (
        AssistantAction,
        AssistantFinish,
        OpenAIAssistantRunnable,
    )
    from langchain_assistants.engine.engine import AssistantsEngine
    from langchain_assistants.graph import create_assistant_graph
    from langchain_assistants.settings import Settings

__version__ = "0.1.0"

_HOMES = {
    "AssistantAction": "compat",
    "AssistantFinish": "compat",
    "AssistantRunnable": "assistant",
    "AssistantsEngine": "engine.engine",
    "OpenAIAssistantRunnable": "compat",
    "Settings": "settings",
    "create_assistant_graph": "graph",
}

__all__ = [
    "AssistantAction",
    "AssistantFinish",
    "AssistantRunnable",
    "AssistantsEngine",
    "OpenAIAssistantRunnable",
    "Settings",
    "create_assistant_graph",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the module it lives in (PEP 562)."""
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names before they are loaded."""
    return sorted({*globals(), *__all__})
