"""Imports the tools that an option names."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from langchain_assistants.errors import ConfigurationError


def imported_tools(place: str) -> list[Any]:
    """Import a tool or a list of tools from `module:name`.

    The working directory is looked at first, as `python -m` does.

    Raises:
        ConfigurationError: There is no such module or name, or it holds no tools.
    """
    module_name, _, name = place.partition(":")
    if not module_name or not name:
        raise ConfigurationError(
            f"--tools {place} names no tools: write MODULE:NAME, where NAME is a "
            "function, a LangChain tool or a list of them."
        )
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    # Anything may go wrong in a module of somebody else's.
    except Exception as error:
        raise ConfigurationError(
            f"--tools {place}: importing {module_name} raised "
            f"{type(error).__name__}: {error}"
        ) from error
    found = getattr(module, name, None)
    if isinstance(found, list | tuple):
        return list(found)
    if callable(found) or hasattr(found, "invoke"):
        return [found]
    raise ConfigurationError(
        f"--tools {place}: {module_name} has no function, tool or list named {name}."
    )
