"""Tools that the tests of the runnables share."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import tool

from langchain_assistants.testing import Reply, call


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@tool
def divide(a: int, b: int) -> float:
    """Divide a number by another."""
    return a / b


@tool
async def subtract(a: int, b: int) -> int:
    """Subtract a number from another."""
    return a - b


def calls(*made: tuple[Any, int, int], text: str = "") -> Reply:
    """A reply that calls tools, each with two numbers."""
    return Reply(
        text=text, tool_calls=[call(t.name, {"a": a, "b": b}) for t, a, b in made]
    )
