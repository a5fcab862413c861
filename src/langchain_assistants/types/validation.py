"""Checks request bodies.

It knows no request type: the rules are in the types' annotations.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.types.refusals import (
    Path,
    invalid_value,
    shown,
    translated,
    wrong_type,
)

Surface = Literal["python", "wire"]

MAX_DEPTH = 200
_UNSTORABLE = "Expected text without NUL characters and lone surrogates."


def validate(
    request_type: Any, fields: Mapping[str, Any], *, surface: Surface = "python"
) -> dict[str, Any]:
    """Check a request body and give it back as plain, storable data.

    Absent fields stay absent and nulls stay None. Wire objects inside (such as
    `tools=assistant.tools`) become plain data.

    Args:
        request_type: One of the TypedDicts that describe request bodies.
        fields: The body.
        surface: `"python"` treats an unknown field as Python does an unknown argument.

    Raises:
        InvalidRequestError: A field breaks a rule; the first one is told.
        TypeError: An unknown field, on the surface `"python"`.
    """
    if surface == "python":
        refuse_unknown(fields, request_type.__annotations__)
    data = _plain(fields, ())
    try:
        checked: dict[str, Any] = _adapter(request_type).validate_python(
            data, context=surface
        )
    except ValidationError as error:
        raise translated(
            error.errors(include_url=False, include_context=True)[0]
        ) from None
    return checked


def check_id(value: object, param: str, prefix: str) -> str:
    """Give an id back if it is text that begins with its type's prefix.

    Raises:
        InvalidRequestError: It does not.
    """
    if not isinstance(value, str):
        raise wrong_type((param,), "a string", value)
    if not value.startswith(prefix) or not _is_storable(value):
        raise InvalidRequestError(
            f"Invalid '{param}': '{shown(value)}'. "
            f"Expected an ID that begins with '{prefix}'.",
            code="invalid_value",
            param=param,
        )
    return value


@cache
def _adapter(request_type: Any) -> TypeAdapter[dict[str, Any]]:
    return TypeAdapter(request_type)


def refuse_unknown(fields: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Treat an unknown name as Python does an unknown argument.

    Raises:
        TypeError: It names the nearest known one.
    """
    for name in fields:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            advice = (
                f"did you mean '{near[0]}'?"
                if near
                else f"the arguments are: {', '.join(known)}."
            )
            raise TypeError(f"Unknown argument '{name}'; {advice}")


def _plain(value: Any, path: Path) -> Any:
    """Turn a value into plain JSON data, refusing what no database could store."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if not _is_storable(value):
            raise invalid_value(path, _UNSTORABLE)
        return value
    if isinstance(value, int | float):
        if not _is_json_number(value):
            raise invalid_value(path, "Expected a finite number.")
        return value
    if len(path) > MAX_DEPTH:
        raise invalid_value(path[:1], f"Expected at most {MAX_DEPTH} nested levels.")
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, index)) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise wrong_type(path, "keys that are strings", key)
            if not _is_storable(key):
                raise invalid_value(path, _UNSTORABLE)
        return {key: _plain(item, (*path, key)) for key, item in value.items()}
    raise wrong_type(path, "a JSON value", value)


def _is_storable(text: str) -> bool:
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_json_number(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
