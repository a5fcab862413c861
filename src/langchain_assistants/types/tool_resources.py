"""The files and vector stores that a tool may use."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from langchain_assistants.types.base import (
    Array,
    Metadata,
    NonEmpty,
    Opt,
    WireObject,
    broken_rule,
    by_type,
    request,
    tag,
)


class CodeInterpreterResources(WireObject):
    """Files that the code interpreter sees."""

    file_ids: list[str] = Field(default_factory=list)


class FileSearchResources(WireObject):
    """Vector stores that file search reads."""

    vector_store_ids: list[str] = Field(default_factory=list)


class ToolResources(WireObject):
    """Resources by tool; a tool without any is absent.

    `file_ids` is an extension: what the first API calls an assistant's files.
    """

    code_interpreter: Opt[CodeInterpreterResources] = None
    file_search: Opt[FileSearchResources] = None
    file_ids: Opt[list[str]] = None


@request
class AutoChunking(TypedDict):
    """Chunks of 800 tokens that overlap by 400."""

    type: Literal["auto"]


@request
class StaticChunkingSizes(TypedDict):
    """Chunk sizes in tokens."""

    max_chunk_size_tokens: Annotated[int, Field(ge=100, le=4096)]
    chunk_overlap_tokens: Annotated[int, Field(ge=0)]


def _overlap_is_at_most_half(value: dict[str, int]) -> dict[str, int]:
    limit = value["max_chunk_size_tokens"] // 2
    overlap = value["chunk_overlap_tokens"]
    if overlap > limit:
        raise broken_rule(
            "integer_above_max_value",
            "Invalid '{path}': integer above maximum value. "
            f"Expected a value <= {limit}, but got {overlap} instead.",
            field="chunk_overlap_tokens",
        )
    return value


@request
class StaticChunking(TypedDict):
    """Chunks of a given size."""

    type: Literal["static"]
    static: Annotated[StaticChunkingSizes, AfterValidator(_overlap_is_at_most_half)]


ChunkingStrategy = Annotated[
    Annotated[AutoChunking, tag("auto")] | Annotated[StaticChunking, tag("static")],
    by_type,
]


@request
class InlineVectorStore(TypedDict, total=False):
    """A vector store to create together with its owner."""

    file_ids: Annotated[Array[NonEmpty], Field(max_length=10_000)] | None
    chunking_strategy: ChunkingStrategy | None
    metadata: Metadata | None


@request
class CodeInterpreterResourcesParam(TypedDict, total=False):
    """Files for the code interpreter in a request."""

    file_ids: Annotated[Array[NonEmpty], Field(max_length=20)] | None


@request
class FileSearchResourcesParam(TypedDict, total=False):
    """Vector stores for file search in a request."""

    vector_store_ids: Annotated[Array[NonEmpty], Field(max_length=1)] | None


@request
class FileSearchResourcesCreate(TypedDict, total=False):
    """Vector stores for file search, which may be created on the way."""

    vector_store_ids: Annotated[Array[NonEmpty], Field(max_length=1)] | None
    vector_stores: Annotated[Array[InlineVectorStore], Field(max_length=1)] | None


def _ids_or_new_stores(value: dict[str, Any]) -> dict[str, Any]:
    if value.get("vector_store_ids") and value.get("vector_stores"):
        raise broken_rule(
            "mutually_exclusive_parameters",
            "Mutually exclusive parameters: '{path}'. Ensure you are only providing "
            "one of: 'vector_store_ids' or 'vector_stores'.",
        )
    return value


@request
class ToolResourcesParam(TypedDict, total=False):
    """Resources by tool in an update: of what exists."""

    code_interpreter: CodeInterpreterResourcesParam | None
    file_search: FileSearchResourcesParam | None


@request
class ToolResourcesCreate(TypedDict, total=False):
    """Resources by tool at creation."""

    code_interpreter: CodeInterpreterResourcesParam | None
    file_search: (
        Annotated[FileSearchResourcesCreate, AfterValidator(_ids_or_new_stores)] | None
    )


@request
class AssistantResourcesParam(ToolResourcesParam, total=False):
    """Resources of an assistant; `file_ids` are given to the tools that take files."""

    file_ids: Annotated[Array[NonEmpty], Field(max_length=20)] | None


@request
class AssistantResourcesCreate(ToolResourcesCreate, total=False):
    """Resources of a new assistant; `file_ids` are given to its tools."""

    file_ids: Annotated[Array[NonEmpty], Field(max_length=20)] | None
