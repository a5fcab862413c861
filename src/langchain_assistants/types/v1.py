"""Fields of the first Assistants API, and the fields of today that they stand for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo

from langchain_assistants.types.base import Array, NonEmpty

MAX_FILE_IDS = 20

BOTH_TOOLS = ({"type": "file_search"}, {"type": "code_interpreter"})
"""Version 1 gave a message's files to whatever tools the assistant had."""


def _told(value: Any, info: ValidationInfo) -> Any:
    if value is not None and info.context != "wire":
        warnings.warn(
            "`file_ids` is Assistants v1; use `tool_resources` of assistants and "
            "`attachments` of messages.",
            DeprecationWarning,
            stacklevel=2,
        )
    return value


if TYPE_CHECKING:
    FileIds = Array[str]
else:
    FileIds = Annotated[
        Annotated[Array[NonEmpty], Field(max_length=MAX_FILE_IDS)] | None,
        AfterValidator(_told),
    ]


def with_attachments(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checked body of a message with attachments in place of `file_ids`."""
    body = dict(message)
    attached = [
        {"file_id": file_id, "tools": [*BOTH_TOOLS]}
        for file_id in body.pop("file_ids", None) or ()
    ]
    if attached:
        body["attachments"] = [*(body.get("attachments") or ()), *attached]
    return body


def with_resources(assistant: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checked body of an assistant with `file_ids` among its resources.

    There they wait for the tools that take them; see `engine.v1_files`.
    """
    body = dict(assistant)
    file_ids = body.pop("file_ids", None)
    if file_ids is not None:
        resources = body.get("tool_resources") or {}
        body["tool_resources"] = {**resources, "file_ids": list(file_ids)}
    return body
