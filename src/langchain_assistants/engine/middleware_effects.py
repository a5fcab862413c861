"""What the user's middleware did to a run's messages, kept for the runs after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    ToolMessage,
)
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from langchain_assistants.engine.history import Window, set_summary
from langchain_assistants.engine.recorder import RunRecorder
from langchain_assistants.storage.database import Row


async def follow(change: Any, recorder: RunRecorder, window: Window, row: Row) -> None:
    """Keep what the user's middleware made of the messages."""
    changes = change if isinstance(change, list) else [change]
    for part in changes:
        messages = part.get("messages") if isinstance(part, Mapping) else None
        if isinstance(messages, BaseMessage):
            messages = [messages]
        if not isinstance(messages, list):
            continue
        if any(_removes_all(message) for message in messages):
            _keep_summary(messages, recorder, window, row)
            continue
        for message in messages:
            original = recorder.history.get(getattr(message, "id", None) or "")
            if isinstance(message, HumanMessage) and original is not None:
                if message.content != original.content:
                    recorder.shown(message.id or "", _wire_content(message))
            elif isinstance(message, AIMessage):
                recorder.revised(message)
            elif isinstance(message, ToolMessage):
                await recorder.tool_answered(message.tool_call_id, str(message.text))


def _removes_all(message: object) -> bool:
    return isinstance(message, RemoveMessage) and message.id == REMOVE_ALL_MESSAGES


def _keep_summary(
    messages: Sequence[BaseMessage], recorder: RunRecorder, window: Window, row: Row
) -> None:
    """Keep a summary that replaced the oldest messages, with how far it reaches.

    Without it the next run would read, and summarise, the same messages again.
    """
    kept = [m for m in messages if not isinstance(m, RemoveMessage)]
    ids = [message.id or "" for message in window.messages]
    first_kept = next((m.id for m in kept if m.id in window.positions), None)
    if first_kept is None:
        replaced = ids
        prefix = [m for m in kept if m.type == "human"][:1]
    else:
        replaced = ids[: ids.index(first_kept)]
        prefix = kept[: [m.id for m in kept].index(first_kept)]
    through = next((i for i in reversed(replaced) if i in window.positions), None)
    if through is not None and prefix:
        position = window.positions[through]
        recorder.also(lambda: set_summary(row["thread_id"], through, position, prefix))


def _wire_content(message: BaseMessage) -> list[dict[str, Any]]:
    """Return a message's content as a thread stores it; the images stay."""
    blocks = message.content if isinstance(message.content, list) else [message.text]
    return [
        dict(block)
        if isinstance(block, Mapping) and block.get("type") == "image_url"
        else _text_part(block if isinstance(block, str) else block.get("text", ""))
        for block in blocks
    ]


def _text_part(value: str) -> dict[str, Any]:
    return {"type": "text", "text": {"value": str(value), "annotations": []}}
