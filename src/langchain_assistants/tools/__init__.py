"""LangChain tools for any agent; they are loaded, with their extras, when used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_assistants.tools.code_interpreter import CodeInterpreterTool
    from langchain_assistants.tools.e2b import (
        E2BCodeInterpreterTool,
        E2BDataAnalysisTool,
    )
    from langchain_assistants.tools.file_search import FileSearchTool
    from langchain_assistants.tools.web_search import WebSearchTool

_HOMES = {
    "CodeInterpreterTool": "code_interpreter",
    "E2BCodeInterpreterTool": "e2b",
    "E2BDataAnalysisTool": "e2b",
    "FileSearchTool": "file_search",
    "WebSearchTool": "web_search",
}

__all__ = [
    "CodeInterpreterTool",
    "E2BCodeInterpreterTool",
    "E2BDataAnalysisTool",
    "FileSearchTool",
    "WebSearchTool",
]


def __getattr__(name: str) -> Any:
    """Load a tool from the module it lives in (PEP 562)."""
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the tools before they are loaded."""
    return sorted({*globals(), *__all__})
