"""Words refused requests as the original API does: text, code and path.

It decides nothing: `validation` and the types' annotations do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.types.base import TAG

Path = tuple[str | int, ...]
Context = Mapping[str, Any]

_SHOWN = 64


def translated(error: ErrorDetails) -> InvalidRequestError:
    """Translate one of pydantic's errors."""
    path = tuple(
        part
        for part in error["loc"]
        if not (isinstance(part, str) and part.startswith(TAG))
    )
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind in _EXPECTED:
        return wrong_type(path, _EXPECTED[kind], value)
    if kind in _TRANSLATIONS:
        return _TRANSLATIONS[kind](path, value, context)
    if kind == "not_one_of":
        return wrong_type(path, error["msg"], value)
    return invalid_value(path, f"{error['msg']}.")


_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a decimal",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
}


def wrong_type(path: Path, expected: str, value: object) -> InvalidRequestError:
    """Say which JSON type belongs at a path."""
    return _error(
        "invalid_type",
        path,
        f"Invalid type for '{{path}}': expected {expected}, "
        f"but got {kind_of(value)} instead.",
    )


def invalid_value(path: Path, advice: str) -> InvalidRequestError:
    """Say what belongs at a path."""
    return _error("invalid_value", path, f"Invalid '{{path}}': {advice}")


def _missing(path: Path, *_: object) -> InvalidRequestError:
    return _error(
        "missing_required_parameter", path, "Missing required parameter: '{path}'."
    )


def _unknown(path: Path, *_: object) -> InvalidRequestError:
    return _error("unknown_parameter", path, "Unknown parameter: '{path}'.")


def _unsupported(
    path: Path, value: object, names: Sequence[str]
) -> InvalidRequestError:
    supported = _listed([f"'{name}'" for name in names], "and")
    return _error(
        "invalid_value",
        path,
        f"Invalid value: '{shown(value)}'. Supported values are: {supported}.",
    )


def _literal(path: Path, value: object, context: Context) -> InvalidRequestError:
    names = _quoted(context["expected"])
    if isinstance(value, str):
        return _unsupported(path, value, names)
    expected = _listed([f"'{name}'" for name in names], "or")
    return wrong_type(path, f"one of {expected}", value)


def _no_type(path: Path, value: object, _: Context) -> InvalidRequestError:
    if not isinstance(value, Mapping):
        return wrong_type(path, "an object", value)
    path = (*path, "type")
    if "type" in value:
        return wrong_type(path, "a string", value["type"])
    return _missing(path)


def _unknown_type(path: Path, value: Any, context: Context) -> InvalidRequestError:
    # Providers' tools are left out: too many, and no part of the original's text.
    names = [name for name in _quoted(context["expected_tags"]) if "\\" not in name]
    return _unsupported((*path, "type"), value["type"], names)


def _string_too_long(path: Path, value: str, context: Context) -> InvalidRequestError:
    limit, length = context["max_length"], len(value)
    if path[-1] == "[key]":
        return _error(
            "string_above_max_length",
            path[:-2],
            "Invalid '{path}': key too long. Expected keys with maximum length "
            f"{limit}, but got a key with length {length} instead.",
        )
    return _error(
        "string_above_max_length",
        path,
        "Invalid '{path}': string too long. Expected a string with maximum length "
        f"{limit}, but got a string with length {length} instead.",
    )


def _string_too_short(path: Path, value: str, context: Context) -> InvalidRequestError:
    return _error(
        "string_below_min_length",
        path,
        "Invalid '{path}': string too short. Expected a string with minimum length "
        f"{context['min_length']}, but got an empty string instead.",
    )


def _pattern(path: Path, value: str, context: Context) -> InvalidRequestError:
    return invalid_value(
        path,
        "string does not match pattern. Expected a string that matches the pattern "
        f"'{context['pattern']}'.",
    )


def _too_long(
    path: Path, value: Sequence[object], context: Context
) -> InvalidRequestError:
    limit, length = context["max_length"], len(value)
    if isinstance(value, Mapping):
        return _error(
            "object_above_max_properties",
            path,
            "Invalid '{path}': too many properties. Expected an object with at most "
            f"{limit} properties, but got an object with {length} properties instead.",
        )
    return _error(
        "array_above_max_length",
        path,
        "Invalid '{path}': array too long. Expected an array with maximum length "
        f"{limit}, but got an array with length {length} instead.",
    )


def _too_short(path: Path, value: object, context: Context) -> InvalidRequestError:
    return _error(
        "empty_array",
        path,
        "Invalid '{path}': empty array. Expected an array with minimum length "
        f"{context['min_length']}, but got an empty array instead.",
    )


def _above(path: Path, value: float, context: Context) -> InvalidRequestError:
    return _out_of_range(path, value, context["le"], "above", "maximum", "<=")


def _below(path: Path, value: float, context: Context) -> InvalidRequestError:
    return _out_of_range(path, value, context["ge"], "below", "minimum", ">=")


def _out_of_range(
    path: Path, value: float, limit: float, side: str, bound: str, sign: str
) -> InvalidRequestError:
    kind = "integer" if isinstance(limit, int) else "decimal"
    return _error(
        f"{kind}_{side}_{bound[:3]}_value",
        path,
        f"Invalid '{{path}}': {kind} {side} {bound} value. Expected a value {sign} "
        f"{int(limit)}, but got {shown(value)} instead.",
    )


def _broken_rule(path: Path, _: object, context: Context) -> InvalidRequestError:
    if context["field"]:
        path = (*path, context["field"])
    return _error(context["code"], path, context["message"])


_TRANSLATIONS: Mapping[str, Callable[[Path, Any, Context], InvalidRequestError]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _literal,
    "union_tag_not_found": _no_type,
    "union_tag_invalid": _unknown_type,
    "string_too_long": _string_too_long,
    "string_too_short": _string_too_short,
    "string_pattern_mismatch": _pattern,
    "too_long": _too_long,
    "too_short": _too_short,
    "less_than_equal": _above,
    "greater_than_equal": _below,
    "broken_rule": _broken_rule,
}


def _error(code: str, path: Path, message: str) -> InvalidRequestError:
    param = ""
    for part in path:
        if isinstance(part, int):
            param += f"[{part}]"
        else:
            param += f".{shown(part)}" if param else shown(part)
    return InvalidRequestError(
        message.replace("{path}", param), code=code, param=param or None
    )


def kind_of(value: object) -> str:
    """Name the JSON type of a value, with its article."""
    for types, name in _KINDS:
        if isinstance(value, types):
            return name
    return f"a Python {type(value).__name__}"


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "null"),
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a decimal"),
    (str, "a string"),
    ((list, tuple), "an array"),
    (Mapping, "an object"),
)


def _quoted(text: str) -> list[str]:
    """Read the names in one of pydantic's lists, without the marks of tags."""
    return re.findall(r"'(?:\\x00)?([^']*)'", text)


def _listed(names: Sequence[str], conjunction: str) -> str:
    """Join names as English does, with the serial comma."""
    if len(names) < 3:
        return f" {conjunction} ".join(names)
    return f"{', '.join(names[:-1])}, {conjunction} {names[-1]}"


def shown(value: object) -> str:
    """Shorten what a caller sent, and keep it printable."""
    text = str(value)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
