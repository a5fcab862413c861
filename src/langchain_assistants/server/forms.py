"""Reads multipart bodies: fields, and one content that goes to disk, not to memory."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from langchain_assistants.engine.file_contents import FileInput
from langchain_assistants.errors import (
    BodyTooLargeError,
    ContentTypeError,
    InvalidRequestError,
)
from langchain_assistants.server.bodies import refuse_size
from langchain_assistants.types.refusals import wrong_type
from langchain_assistants.types.validation import validate

MULTIPART = "multipart/form-data"

_MOST_FIELDS = 20
_FIELD_BYTES = 64 * 1024
_OVERHEAD_BYTES = 1024 * 1024
_NESTED = re.compile(r"(\w+)\[(\w+)\]")
_INTEGER = re.compile(r"-?[0-9]{1,18}")


class Form(NamedTuple):
    """A form: its checked fields, and its content with name and MIME type."""

    fields: dict[str, Any]
    content: FileInput


@asynccontextmanager
async def form_of(
    request: Request, request_type: Any, *, content: str, limit: int
) -> AsyncIterator[Form]:
    """Yield a request's form; its content is gone when the block is left.

    Args:
        request: The request.
        request_type: The TypedDict that describes its fields.
        content: The name of the field with the content.
        limit: Most bytes of the content.

    Raises:
        InvalidRequestError: It is no form, or a field breaks a rule.
        BodyTooLargeError: It is larger than a content of that size needs.
        ContentTypeError: It is something else than multipart.
    """
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != MULTIPART:
        raise ContentTypeError(given, MULTIPART)
    most = limit + _OVERHEAD_BYTES
    refuse_size(request, most)
    parser = MultiPartParser(
        request.headers,
        _limited(request, most),
        max_files=1,
        max_fields=_MOST_FIELDS,
        max_part_size=_FIELD_BYTES,
    )
    try:
        form = await parser.parse()
    except _Broken as broken:
        raise broken.reason from None
    except MultiPartException as error:
        raise InvalidRequestError(
            f"We could not parse the form of your request: {error.message}"
        ) from None
    try:
        found = form.get(content)
        rest = [(name, value) for name, value in form.multi_items() if name != content]
        fields = validate(request_type, _unfolded(rest), surface="wire")
        yield Form(fields, _content(found, content))
    finally:
        await form.close()  # what was spooled to the disk is gone


class _Broken(MultiPartException):
    """Stops the parser in the way in which it closes its files."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


async def _limited(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > most:
                raise _Broken(BodyTooLargeError(most))
            yield chunk
    except ClientDisconnect as error:
        raise _Broken(error) from None


def _content(found: Any, name: str) -> FileInput:
    if found is None:
        raise InvalidRequestError(
            f"Missing required parameter: '{name}'.",
            code="missing_required_parameter",
            param=name,
        )
    if not isinstance(found, UploadFile):
        raise wrong_type((name,), "a file", found)
    return found.filename or None, found.file, found.content_type or None


def _unfolded(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return fields as JSON would have them: `a[b]` nested, whole numbers as such."""
    fields: dict[str, Any] = {}
    for name, value in items:
        if isinstance(value, UploadFile):
            raise wrong_type((name,), "a string", value)
        nested = _NESTED.fullmatch(name)
        if nested is None:
            fields[name] = value
            continue
        outer, inner = nested.groups()
        number = int(value) if _INTEGER.fullmatch(value) else value
        into = fields.setdefault(outer, {})
        if isinstance(into, dict):
            into[inner] = number
    return fields
