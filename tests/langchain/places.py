"""Where a runnable's runs are: in an engine, or on a server over the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from langchain_assistants import AssistantRunnable, AssistantsEngine

Bind: TypeAlias = Callable[[AssistantsEngine], dict[str, Any]]
"""Returns the arguments that bind a runnable to an engine, or to a server on it."""

_engines: WeakKeyDictionary[Any, AssistantsEngine] = WeakKeyDictionary()


def embedded(engine: AssistantsEngine) -> dict[str, Any]:
    """Use the engine itself."""
    return {"engine": engine}


def over_the_wire(engine: AssistantsEngine) -> dict[str, Any]:
    """Use the official client, whose requests a server on the engine answers."""
    client = engine.openai()
    _engines[client] = engine
    return {"client": client}


def engine_of(assistant: AssistantRunnable) -> AssistantsEngine:
    """Return the engine that executes a runnable's runs, wherever it is."""
    engine: AssistantsEngine = assistant.engine or _engines[assistant.client]
    return engine


def place_of(assistant: AssistantRunnable) -> dict[str, Any]:
    """Return the arguments that bind another runnable to the same place."""
    if assistant.client is None:
        return {"engine": assistant.engine}
    return {"client": assistant.client}
