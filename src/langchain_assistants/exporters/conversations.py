"""Conversations as chat models take them, one thread a line; no run, no file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from langchain_core.messages import (
    BaseMessage,
    convert_to_openai_messages,
    messages_to_dict,
)

from langchain_assistants.engine.tenant import TenantResources
from langchain_assistants.types.threads import Thread

ChatFormat: TypeAlias = Literal["openai-messages", "langchain"]
"""The messages of OpenAI's chat completions, or LangChain's `messages_to_dict`."""


def conversations(
    owner: TenantResources, form: ChatFormat, *, thread_id: str | None = None
) -> Iterator[str]:
    """Yield the text of JSON lines, in pieces: a thread of any length is one line.

    Each line has `thread_id`, `metadata` and `messages`: what was said and the tool
    calls with their outputs, in the order in which they happened. Images from files
    are named by a text.

    Args:
        owner: Whose threads.
        form: The form of the messages.
        thread_id: Give this thread alone.

    Raises:
        NotFoundError: There is no such thread.
    """
    if thread_id is not None:
        yield from _line(owner, owner.threads.retrieve(thread_id), form)
        return
    for thread in owner.threads.list(order="asc", limit=100):
        yield from _line(owner, thread, form)


def _line(owner: TenantResources, thread: Thread, form: ChatFormat) -> Iterator[str]:
    head = {"thread_id": thread.id, "metadata": thread.metadata or {}}
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "messages": ['
    separator, after = "", 0
    while True:
        part = owner.exports.transcript(thread.id, after)
        for message in part.messages:
            yield separator + json.dumps(_written(message, form), ensure_ascii=False)
            separator = ", "
        if part.next is None:
            break
        after = part.next
    yield "]}\n"


def _written(message: BaseMessage, form: ChatFormat) -> Any:
    if form == "langchain":
        return messages_to_dict([message])[0]
    return convert_to_openai_messages(message)
