"""Assistants: a model with instructions and tools."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import Field
from typing_extensions import TypedDict

from langchain_assistants.types.base import (
    Array,
    Instructions,
    Metadata,
    NonEmpty,
    Opt,
    ReasoningEffort,
    Temperature,
    TopP,
    WireObject,
    request,
)
from langchain_assistants.types.tool_resources import (
    AssistantResourcesCreate,
    AssistantResourcesParam,
    ToolResources,
)
from langchain_assistants.types.tools import ResponseFormat, Tool, ToolParam
from langchain_assistants.types.v1 import FileIds


class Assistant(WireObject):
    """Be a stored assistant.

    `version` is an extension; it grows by one with each update.
    """

    id: str
    object: Literal["assistant"] = "assistant"
    created_at: int
    name: str | None = None
    description: str | None = None
    model: str
    instructions: str | None = None
    tools: list[Tool] = Field(default_factory=list)
    tool_resources: ToolResources | None = None
    metadata: dict[str, str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    response_format: str | dict[str, Any] | None = None
    version: Opt[int] = None


@request
class AssistantOptions(TypedDict, total=False):
    """Fields of a new assistant that a runnable's `create_assistant` passes on.

    `file_ids` is of the first API.
    """

    description: Annotated[str, Field(max_length=512)] | None
    tool_resources: AssistantResourcesCreate | None
    metadata: Metadata | None
    temperature: Temperature | None
    top_p: TopP | None
    reasoning_effort: ReasoningEffort | None
    file_ids: FileIds | None


@request
class AssistantCreate(AssistantOptions, total=False):
    """Fields of a new assistant."""

    model: Required[NonEmpty]
    name: Annotated[str, Field(max_length=256)] | None
    instructions: Instructions | None
    tools: Annotated[Array[ToolParam], Field(max_length=128)] | None
    response_format: ResponseFormat | None


@request
class AssistantUpdate(TypedDict, total=False):
    """Fields of an assistant to replace; an absent one is kept.

    `file_ids` is of the first API.
    """

    model: NonEmpty | None
    name: Annotated[str, Field(max_length=256)] | None
    description: Annotated[str, Field(max_length=512)] | None
    instructions: Instructions | None
    tools: Annotated[Array[ToolParam], Field(max_length=128)] | None
    tool_resources: AssistantResourcesParam | None
    metadata: Metadata | None
    temperature: Temperature | None
    top_p: TopP | None
    response_format: ResponseFormat | None
    reasoning_effort: ReasoningEffort | None
    file_ids: FileIds | None
