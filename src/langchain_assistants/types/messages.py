"""Messages of a thread and the parts that they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Required

from pydantic import Field
from typing_extensions import TypedDict

from langchain_assistants.types.base import (
    Array,
    Metadata,
    NonEmpty,
    Opt,
    WireObject,
    by_type,
    one_of,
    request,
    tag,
)
from langchain_assistants.types.tools import AttachmentToolParam, Tool
from langchain_assistants.types.v1 import FileIds

Detail = Literal["auto", "low", "high"]


class CitedFile(WireObject):
    """Name the file that an annotation points to.

    Attributes:
        quote: What is cited of it (extension).
        page: Where that begins, counted from 1 (extension).
    """

    file_id: str
    quote: Opt[str] = None
    page: Opt[int] = None


class FileCitation(WireObject):
    """Mark a citation; `value[start_index:end_index] == text`."""

    type: Literal["file_citation"] = "file_citation"
    text: str
    start_index: int
    end_index: int
    file_citation: CitedFile


class LinkedFile(WireObject):
    """Name the file that a path in the text stands for."""

    file_id: str


class FilePath(WireObject):
    """Mark a `sandbox:` path; `value[start_index:end_index] == text`."""

    type: Literal["file_path"] = "file_path"
    text: str
    start_index: int
    end_index: int
    file_path: LinkedFile


Annotation = Annotated[FileCitation | FilePath, Field(discriminator="type")]


class Text(WireObject):
    """Hold text and its annotations, whose offsets count characters."""

    value: str
    annotations: list[Annotation] = Field(default_factory=list)


class TextContent(WireObject):
    """Hold a text part."""

    type: Literal["text"] = "text"
    text: Text


class ImageFile(WireObject):
    """Point to an uploaded or produced image."""

    file_id: str
    detail: Opt[Detail] = None


class ImageFileContent(WireObject):
    """Hold an image from a file."""

    type: Literal["image_file"] = "image_file"
    image_file: ImageFile


class ImageUrl(WireObject):
    """Point to an image elsewhere."""

    url: str
    detail: Opt[Detail] = None


class ImageUrlContent(WireObject):
    """Hold an image from a URL."""

    type: Literal["image_url"] = "image_url"
    image_url: ImageUrl


class RefusalContent(WireObject):
    """Hold the model's refusal to answer."""

    type: Literal["refusal"] = "refusal"
    refusal: str


Content = Annotated[
    TextContent | ImageFileContent | ImageUrlContent | RefusalContent,
    Field(discriminator="type"),
]


class Attachment(WireObject):
    """Attach a file to a message for some tools."""

    file_id: Opt[str] = None
    tools: Opt[list[Tool]] = None


class MessageIncompleteDetails(WireObject):
    """Say why a message stayed incomplete."""

    reason: Literal[
        "content_filter", "max_tokens", "run_cancelled", "run_expired", "run_failed"
    ]


class Message(WireObject):
    """Be a stored message.

    Attributes:
        parsed: What the text holds when the run asked for structured output; known
            only to the caller of the run, never stored or sent.
    """

    id: str
    object: Literal["thread.message"] = "thread.message"
    created_at: int
    thread_id: str
    status: Literal["in_progress", "incomplete", "completed"] = "completed"
    incomplete_details: MessageIncompleteDetails | None = None
    completed_at: int | None = None
    incomplete_at: int | None = None
    role: Literal["user", "assistant"]
    content: list[Content] = Field(default_factory=list)
    assistant_id: str | None = None
    run_id: str | None = None
    attachments: list[Attachment] | None = Field(default_factory=list)
    metadata: dict[str, str] | None = None
    parsed: Any = Field(default=None, exclude=True)

    @property
    def text(self) -> str:
        """Join the text parts by line breaks."""
        return "\n".join(
            part.text.value for part in self.content if isinstance(part, TextContent)
        )


Text256k = Annotated[str, Field(min_length=1, max_length=256_000)]


@request
class TextParam(TypedDict):
    """A text part in a request: its text is a plain string there."""

    type: Literal["text"]
    text: Text256k


@request
class ImageFileDetails(TypedDict, total=False):
    """An uploaded image in a request."""

    file_id: Required[NonEmpty]
    detail: Detail | None


@request
class ImageFileParam(TypedDict):
    """An image from a file in a request."""

    type: Literal["image_file"]
    image_file: ImageFileDetails


@request
class ImageUrlDetails(TypedDict, total=False):
    """An image elsewhere in a request."""

    url: Required[NonEmpty]
    detail: Detail | None


@request
class ImageUrlParam(TypedDict):
    """An image from a URL in a request."""

    type: Literal["image_url"]
    image_url: ImageUrlDetails


ContentParam = Annotated[
    Annotated[TextParam, tag("text")]
    | Annotated[ImageFileParam, tag("image_file")]
    | Annotated[ImageUrlParam, tag("image_url")],
    by_type,
]

MessageContent = Annotated[
    Annotated[Text256k, tag("string")]
    | Annotated[Array[ContentParam], Field(min_length=1), tag("array")],
    one_of("a string or array of objects"),
]


@request
class AttachmentParam(TypedDict, total=False):
    """A file for some tools in a request."""

    file_id: NonEmpty | None
    tools: Array[AttachmentToolParam] | None


@request
class MessageCreate(TypedDict, total=False):
    """Fields of a new message; `file_ids` is of the first API."""

    role: Required[Literal["user", "assistant"]]
    content: Required[MessageContent]
    attachments: Array[AttachmentParam] | None
    metadata: Metadata | None
    file_ids: FileIds | None


@request
class MessageUpdate(TypedDict, total=False):
    """Fields of a message to replace; an absent one is kept."""

    metadata: Metadata | None


def stored_content(content: str | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Turn a request's content into content parts as responses show them."""
    if isinstance(content, str):
        return [_text_part(content)]
    return [
        _text_part(part["text"]) if part["type"] == "text" else _image_part(part)
        for part in content
    ]


def _text_part(value: str) -> dict[str, Any]:
    return {"type": "text", "text": {"value": value, "annotations": []}}


def _image_part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    given = {key: value for key, value in part[kind].items() if value is not None}
    return {"type": kind, kind: given}
