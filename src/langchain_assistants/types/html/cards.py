"""Assistants and threads as cards, and lists of objects as rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element

from langchain_assistants.types.assistants import Assistant
from langchain_assistants.types.base import WireObject
from langchain_assistants.types.html.elements import (
    Child,
    block,
    code,
    element,
    folded,
    head,
    moment,
    muted,
    note,
    title,
)
from langchain_assistants.types.html.timeline import run_head
from langchain_assistants.types.runs import Run
from langchain_assistants.types.threads import Thread
from langchain_assistants.types.tools import FunctionTool, Tool

_LONGEST_TEXT = 5_000
_LONGEST_VALUE = 512


def assistant_card(assistant: Assistant) -> Element:
    """Show what an assistant is told and what it can use."""
    facts = [
        ("temperature", assistant.temperature),
        ("top_p", assistant.top_p),
        ("version", assistant.version),
    ]
    card = element("div", "card", assistant_head(assistant))
    if assistant.description:
        card.append(element("div", "", muted(assistant.description)))
    if assistant.instructions:
        instructions = folded(
            "Instructions", assistant.instructions, "text", longest=_LONGEST_TEXT
        )
        card.append(element("div", "box", instructions))
    for tool in assistant.tools:
        card.append(_tool(tool))
    known = [muted(f"{name} {value}") for name, value in facts if value is not None]
    known += _metadata(assistant.metadata)
    if known:
        card.append(head(*known))
    return card


def assistant_head(assistant: Assistant) -> Element:
    """Show an assistant's name and model on one line."""
    return head(
        title(assistant.name or "Assistant without a name"),
        code(assistant.model),
        element("span", "end", muted(code(assistant.id))),
    )


def thread_head(thread: Thread) -> Element:
    """Show a thread's names and time on one line."""
    forked_from = thread.parent_id
    return head(
        title("Thread"),
        None if thread.key is None else code(thread.key),
        None if forked_from is None else muted("fork of ", code(forked_from)),
        *_metadata(thread.metadata),
        element(
            "span", "end", moment(thread.created_at), " · ", muted(code(thread.id))
        ),
    )


def thread_context(thread: Thread) -> Element | None:
    """Show what the thread tells each run."""
    if not thread.context:
        return None
    text = json.dumps(thread.context, ensure_ascii=False, indent=2, default=str)
    shown = folded("Text", text, "output", longest=_LONGEST_TEXT)
    return element("div", "", muted("Context"), shown)


def rows(items: Sequence[WireObject], *, more: str | None) -> Element | None:
    """Show assistants, threads or runs, each on a line; None: there are others."""
    heads = [head for item in items if (head := _head(item)) is not None]
    if len(heads) < len(items):
        return None
    lines = [element("div", "row", head) for head in heads]
    empty = None if items else "An empty page."
    return element("div", "card", *lines, note(empty), note(more))


def _head(item: WireObject) -> Element | None:
    match item:
        case Assistant():
            return assistant_head(item)
        case Thread():
            return thread_head(item)
        case Run():
            return run_head(item)
        case _:
            return None


def _tool(tool: Tool) -> Element:
    name: Child = element("span", "name", tool.type)
    if not isinstance(tool, FunctionTool):
        return element("div", "call", element("code", "", name))
    function = tool.function
    parameters = (function.parameters or {}).get("properties")
    names = ", ".join(map(str, parameters)) if isinstance(parameters, Mapping) else ""
    line = element("code", "", element("span", "name", function.name), f"({names})")
    description = function.description
    if not description:
        return element("div", "call", line)
    text = block(description, "text", longest=_LONGEST_TEXT)
    return element("div", "call", line, *text)


def _metadata(metadata: Mapping[str, str] | None) -> Iterator[Element]:
    for name, value in (metadata or {}).items():
        yield muted(f"{name}: {value[:_LONGEST_VALUE]}")
