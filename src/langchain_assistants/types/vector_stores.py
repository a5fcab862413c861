"""Vector stores, the files in them, and batches of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Required, TypeAlias

from pydantic import Discriminator, Field
from typing_extensions import TypedDict, Unpack

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.types.base import (
    TAG,
    Array,
    Metadata,
    NonEmpty,
    Opt,
    WireObject,
    request,
    tag,
)
from langchain_assistants.types.pages import ListParams
from langchain_assistants.types.records import origin_of
from langchain_assistants.types.retrievers import RetrieverOptions, SearchedOrigin
from langchain_assistants.types.tool_resources import ChunkingStrategy

if TYPE_CHECKING:
    from langchain_core.retrievers import BaseRetriever

VectorStoreFileStatus: TypeAlias = Literal[
    "in_progress", "completed", "cancelled", "failed"
]


class FileCounts(WireObject):
    """Count files by what became of them."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


class VectorStoreExpiration(WireObject):
    """Say after how many days without use a vector store expires."""

    anchor: Literal["last_active_at"] = "last_active_at"
    days: int


class VectorStore(WireObject):
    """Be a stored vector store; one without a name has an empty one.

    `description` is an extension: the original takes it, but does not show it.
    """

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    description: Opt[str] = None
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["expired", "in_progress", "completed"]
    expires_after: Opt[VectorStoreExpiration] = None
    expires_at: int | None = None
    last_active_at: int | None
    metadata: dict[str, str] | None

    def as_retriever(self, **options: Unpack[RetrieverOptions]) -> BaseRetriever:
        """Return a LangChain retriever of the store (extension).

        Raises:
            ConfigurationError: No engine has returned this very object, or that engine
                is gone.
        """
        origin = origin_of(self)
        if not isinstance(origin, SearchedOrigin):
            raise ConfigurationError(
                f"The object of vector store '{self.id}' comes from no engine; use "
                f"engine.vector_stores.as_retriever('{self.id}')."
            )
        return origin.retriever(self.id, options)


class ChunkSizes(WireObject):
    """Tell chunk sizes in tokens."""

    max_chunk_size_tokens: int
    chunk_overlap_tokens: int


class StaticChunkingUsed(WireObject):
    """Tell how a file is cut."""

    type: Literal["static"] = "static"
    static: ChunkSizes


class OtherChunkingUsed(WireObject):
    """Tell that it is not known how a file was cut."""

    type: Literal["other"] = "other"


class VectorStoreFileError(WireObject):
    """Say why a file is not indexed."""

    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class VectorStoreFile(WireObject):
    """Be a file in a vector store, under the file's own id."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    usage_bytes: int
    created_at: int
    vector_store_id: str
    status: VectorStoreFileStatus
    last_error: VectorStoreFileError | None = None
    chunking_strategy: Opt[StaticChunkingUsed | OtherChunkingUsed] = None
    attributes: dict[str, str | bool | int | float] | None = None


class VectorStoreFileBatch(WireObject):
    """Be files that were attached to a vector store together."""

    id: str
    object: Literal["vector_store.file_batch"] = "vector_store.file_batch"
    created_at: int
    vector_store_id: str
    status: VectorStoreFileStatus
    file_counts: FileCounts


class FileText(WireObject):
    """Hold a piece of the text that was read from a file."""

    type: Literal["text"] = "text"
    text: str


class FileContentPage(WireObject):
    """Hold the text that was read from a file; none while it is not indexed."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[FileText] = Field(default_factory=list)
    has_more: bool = False
    next_page: str | None = None


def _attribute_tag(value: object) -> str | None:
    if isinstance(value, bool):
        return TAG + "boolean"
    if isinstance(value, str):
        return TAG + "string"
    return TAG + "number" if isinstance(value, int | float) else None


AttributeValue = Annotated[
    Annotated[str, Field(max_length=512), tag("string")]
    | Annotated[bool, tag("boolean")]
    | Annotated[int | float, tag("number")],
    Discriminator(
        _attribute_tag,
        custom_error_type="not_one_of",
        custom_error_message="a string, a number, or a boolean",
    ),
]

Attributes = Annotated[
    dict[Annotated[str, Field(max_length=64)], AttributeValue],
    Field(max_length=16),
]


@request
class VectorStoreExpirationParam(TypedDict):
    """After how many days without use a vector store expires."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Field(ge=1, le=365)]


@request
class VectorStoreCreate(TypedDict, total=False):
    """Fields of a new vector store; the chunking strategy is that of its files."""

    name: str | None
    description: str | None
    file_ids: Annotated[Array[NonEmpty], Field(max_length=500)] | None
    chunking_strategy: ChunkingStrategy | None
    expires_after: VectorStoreExpirationParam | None
    metadata: Metadata | None


@request
class VectorStoreUpdate(TypedDict, total=False):
    """Fields of a vector store to replace; an absent one is kept."""

    name: str | None
    expires_after: VectorStoreExpirationParam | None
    metadata: Metadata | None


@request
class VectorStoreFileCreate(TypedDict, total=False):
    """A file to attach to a vector store."""

    file_id: Required[NonEmpty]
    attributes: Attributes | None
    chunking_strategy: ChunkingStrategy | None


@request
class VectorStoreFileUpdate(TypedDict):
    """The attributes that a file has from now on; null: none."""

    attributes: Attributes | None


@request
class VectorStoreFileListParams(ListParams, total=False):
    """Which part of the list of a vector store's files to give."""

    filter: VectorStoreFileStatus | None


_BatchSize = Field(min_length=1, max_length=2_000)


@request
class FileBatchCreate(TypedDict, total=False):
    """Files to attach to a vector store together.

    Either `file_ids` or `files`. Attributes and chunking strategy are those of
    `file_ids`; `files` have their own.
    """

    file_ids: Annotated[Array[NonEmpty], _BatchSize] | None
    files: Annotated[Array[VectorStoreFileCreate], _BatchSize] | None
    attributes: Attributes | None
    chunking_strategy: ChunkingStrategy | None
