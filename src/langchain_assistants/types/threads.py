"""Threads: conversations, which hold messages and runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from langchain_assistants.types.base import (
    Array,
    JsonObject,
    Metadata,
    Opt,
    WireObject,
    request,
)
from langchain_assistants.types.messages import MessageCreate
from langchain_assistants.types.tool_resources import (
    ToolResources,
    ToolResourcesCreate,
    ToolResourcesParam,
)


class Thread(WireObject):
    """Be a stored thread.

    Extensions: `key` is the caller's own name of the thread, `context` is rendered
    into the prompt of each run on it, `parent_id` is the thread it was forked from.
    """

    id: str
    object: Literal["thread"] = "thread"
    created_at: int
    metadata: dict[str, str] | None = None
    tool_resources: ToolResources | None = None
    key: Opt[str] = None
    context: Opt[dict[str, Any]] = None
    parent_id: Opt[str] = None


@request
class ThreadCreate(TypedDict, total=False):
    """Fields of a new thread; `key` and `context` are extensions."""

    messages: Array[MessageCreate] | None
    tool_resources: ToolResourcesCreate | None
    metadata: Metadata | None
    key: Annotated[str, Field(min_length=1, max_length=512)] | None
    context: JsonObject | None


@request
class ThreadUpdate(TypedDict, total=False):
    """Fields of a thread to replace; an absent one is kept."""

    tool_resources: ToolResourcesParam | None
    metadata: Metadata | None
    context: JsonObject | None
