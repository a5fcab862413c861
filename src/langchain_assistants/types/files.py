"""Files: uploaded or produced content under an id."""

from __future__ import annotations

from typing import Annotated, Literal, Required, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from langchain_assistants.types.base import Opt, WireObject, request
from langchain_assistants.types.pages import Order

FilePurpose: TypeAlias = Literal[
    "assistants",
    "assistants_output",
    "batch",
    "batch_output",
    "evals",
    "fine-tune",
    "fine-tune-results",
    "user_data",
    "vision",
]

FileName = Annotated[str, Field(max_length=255)]
MimeType = Annotated[str, Field(max_length=255)]


class File(WireObject):
    """Be a stored file; `status` is deprecated, and always `processed`."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: Opt[int] = None
    filename: str
    purpose: FilePurpose
    status: Literal["uploaded", "processed", "error"] = "processed"
    status_details: Opt[str] = None


@request
class FileExpiration(TypedDict):
    """When a file expires: seconds after its creation."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3_600, le=2_592_000)]


@request
class FileCreate(TypedDict, total=False):
    """Fields of a new file, besides its content."""

    purpose: Required[
        Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
    ]
    expires_after: FileExpiration | None


@request
class FileNames(TypedDict, total=False):
    """What the uploader of a content calls it."""

    filename: FileName
    mime_type: MimeType | None


@request
class FileListParams(TypedDict, total=False):
    """Which part of the list of files to give: by default all, newest first."""

    purpose: str | None
    limit: Annotated[int, Field(ge=1, le=10_000)] | None
    order: Order | None
    after: str | None
