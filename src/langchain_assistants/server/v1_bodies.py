"""Reads the fields of the first Assistants API in the bodies of today's operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_assistants.types.assistants import AssistantCreate, AssistantUpdate
from langchain_assistants.types.messages import MessageCreate
from langchain_assistants.types.runs import RunCreate, ThreadRunCreate
from langchain_assistants.types.threads import ThreadCreate
from langchain_assistants.types.v1 import with_attachments, with_resources

Body = dict[str, Any]


def modern(request_type: Any, body: Body) -> Body:
    """Return a checked body in which `file_ids` are what they are today."""
    change = _CHANGES.get(request_type)
    return body if change is None else change(body)


def _thread(body: Body) -> Body:
    return _changed(body, "messages")


def _run(body: Body) -> Body:
    body = _changed(body, "additional_messages")
    thread = body.get("thread")
    return body if thread is None else {**body, "thread": _thread(thread)}


def _changed(body: Body, name: str) -> Body:
    messages = body.get(name)
    if messages is None:
        return body
    return {**body, name: [with_attachments(message) for message in messages]}


_CHANGES: Mapping[Any, Callable[[Body], Body]] = {
    AssistantCreate: with_resources,
    AssistantUpdate: with_resources,
    MessageCreate: with_attachments,
    ThreadCreate: _thread,
    RunCreate: _run,
    ThreadRunCreate: _run,
}
