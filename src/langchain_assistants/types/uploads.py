"""Uploads: files that arrive in parts."""

from __future__ import annotations

from typing import Annotated, Literal, Required

from pydantic import Field
from typing_extensions import TypedDict

from langchain_assistants.types.base import Array, WireObject, request
from langchain_assistants.types.files import (
    File,
    FileExpiration,
    FileName,
    FilePurpose,
    MimeType,
)

MAX_UPLOAD_BYTES = 8 * 2**30
MAX_PART_BYTES = 64 * 2**20


class Upload(WireObject):
    """Be an upload; `file` is there once it is completed."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    filename: str
    purpose: FilePurpose
    status: Literal["pending", "completed", "cancelled", "expired"]
    expires_at: int
    file: File | None = None


class UploadPart(WireObject):
    """Be a part of an upload."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str


@request
class UploadCreate(TypedDict, total=False):
    """Fields of a new upload."""

    filename: Required[FileName]
    purpose: Required[Literal["assistants", "batch", "fine-tune", "vision"]]
    bytes: Required[Annotated[int, Field(ge=1, le=MAX_UPLOAD_BYTES)]]
    mime_type: Required[MimeType]
    expires_after: FileExpiration | None


@request
class UploadComplete(TypedDict, total=False):
    """The parts of a file, in order; `md5` is that of the whole, in hexadecimal."""

    part_ids: Required[Annotated[Array[str], Field(min_length=1)]]
    md5: str | None
