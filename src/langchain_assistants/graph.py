"""create_assistant_graph: an assistant as a LangGraph graph; not available yet."""

from __future__ import annotations

from typing import Any

from langchain_assistants.errors import not_available


def create_assistant_graph(assistant: Any, tools: Any = None, **options: Any) -> Any:
    """Return an assistant's tool-call loop as a compiled graph; not available yet.

    Raises:
        ConfigurationError: Always, in this version.
    """
    raise not_available("create_assistant_graph()")
