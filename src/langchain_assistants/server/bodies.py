"""Reads request bodies: their kind, size and JSON; what the fields mean is not here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from langchain_assistants.errors import (
    BodyTooLargeError,
    ContentTypeError,
    InvalidRequestError,
)
from langchain_assistants.server.refusals import NOT_JSON
from langchain_assistants.server.v1_bodies import modern
from langchain_assistants.types.refusals import kind_of
from langchain_assistants.types.validation import validate

JSON = "application/json"


async def body_of(request: Request, request_type: Any) -> dict[str, Any]:
    """Return the checked JSON body of a request; none counts as an empty object.

    Args:
        request: The request.
        request_type: One of the TypedDicts that describe request bodies.

    Raises:
        InvalidRequestError: It is no JSON object, or a field breaks a rule.
        BodyTooLargeError: It is larger than the server takes.
        ContentTypeError: It is something else than JSON.
    """
    raw = await _read(request, request.app.state.max_body_bytes)
    fields: Any = {}
    if raw:
        _require_json(request)
        try:
            fields = from_json(raw, allow_inf_nan=False)
        except ValueError:
            raise InvalidRequestError(NOT_JSON) from None
    if not isinstance(fields, Mapping):
        raise InvalidRequestError(
            "Invalid type for the request body: expected an object, but got "
            f"{kind_of(fields)} instead.",
            code="invalid_type",
        )
    return modern(request_type, validate(request_type, fields, surface="wire"))


def _require_json(request: Request) -> None:
    """Refuse other kinds, and none: a web page may send those to any server.

    Raises:
        ContentTypeError: The body is not said to be JSON.
    """
    given = request.headers.get("content-type", "")
    kind = given.partition(";")[0].strip().lower()
    if kind != JSON and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise ContentTypeError(given, JSON)


def refuse_size(request: Request, limit: int) -> None:
    """Refuse a body that is said to be too large, before any of it is read.

    Raises:
        BodyTooLargeError: It is.
    """
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated[:20]) > limit:
        raise BodyTooLargeError(limit)


async def _read(request: Request, limit: int) -> bytes:
    refuse_size(request, limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLargeError(limit)
    return bytes(body)
