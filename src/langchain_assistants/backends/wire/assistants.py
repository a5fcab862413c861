"""Finds, on a server, the assistant that has a certain content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_assistants.backends.wire.sdk import Wire

_CONTENT = (
    "name",
    "model",
    "instructions",
    "description",
    "tools",
    "tool_resources",
    "metadata",
    "temperature",
    "top_p",
    "reasoning_effort",
    "response_format",
)
# What servers show of a field that was not given.
_DEFAULTS: Mapping[str, Any] = {
    "temperature": 1,
    "top_p": 1,
    "response_format": "auto",
    "reasoning_effort": "medium",
}


async def find_assistant(
    wire: Wire, fields: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return the oldest assistant with exactly this content.

    The API has no such question, so all assistants are read; two callers who ask at
    the same time may both find none.
    """
    query: dict[str, Any] = {"order": "asc", "limit": 100}
    while True:
        page = await wire.get("/assistants", query)
        items = page.get("data") or []
        for item in items:
            if all(_same(n, fields.get(n), item.get(n)) for n in _CONTENT):
                found: Mapping[str, Any] = item
                return found
        if not items or not page.get("has_more"):
            return None
        query["after"] = items[-1]["id"]


def _same(name: str, wanted: Any, stored: Any) -> bool:
    if wanted in (None, {}, []):
        return _is_empty(stored) or stored == _DEFAULTS.get(name)
    return _holds(stored, wanted)


def _is_empty(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_empty(inner) for inner in value.values())
    return value in (None, [])


def _holds(stored: Any, wanted: Any) -> bool:
    """Tell whether a value is the wanted one but for fields that a server adds."""
    if isinstance(wanted, Mapping):
        return isinstance(stored, Mapping) and all(
            _holds(stored.get(key), value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(stored, list)
            and len(stored) == len(wanted)
            and all(map(_holds, stored, wanted))
        )
    return bool(stored == wanted)
