"""Writes objects and pages as JSON answers."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python
from starlette.responses import Response

from langchain_assistants.types.base import WireObject
from langchain_assistants.types.pages import AsyncPage

JSON = "application/json"


def answer(found: WireObject | AsyncPage[Any], **headers: str) -> Response:
    """Return the answer that holds an object, or a page in the wire's envelope.

    Args:
        found: What to write.
        **headers: Further headers, with `_` for `-`.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(written(found), media_type=JSON, headers=named)


def written(found: WireObject | AsyncPage[Any]) -> bytes:
    """Return an object or a page as JSON on one line."""
    content = found if isinstance(found, WireObject) else found.envelope()
    return encoded(content)


def encoded(content: Any) -> bytes:
    """Return data, and the objects in it, as JSON on one line."""
    try:
        return to_json(content, inf_nan_mode="null")
    except PydanticSerializationError:
        # A model's answer may hold lone surrogates, which are JSON as escapes only.
        plain = to_jsonable_python(content)
        return json.dumps(plain, separators=(",", ":")).encode()
