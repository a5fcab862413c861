"""What all wire objects and all request bodies are made of.

It knows no resource: those have a module each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    with_config,
)
from pydantic_core import PydanticCustomError

T = TypeVar("T")


def _is_none(value: object) -> bool:
    return value is None


Opt = Annotated[T | None, Field(exclude_if=_is_none)]
"""A field of an object that is absent on the wire, not null, when it has no value."""


class WireObject(BaseModel):
    """Be an object as the Assistants v2 wire shows it.

    Unknown fields are kept: extensions and newer servers add some.
    """

    # Where the object came from (`records.Origin`), for those who display or search
    # it. A slot is no field: never sent, compared, copied or pickled, and free until
    # it is set.
    __slots__ = ("_origin",)

    model_config = ConfigDict(extra="allow")

    def to_dict(self) -> dict[str, Any]:
        """Give the object as plain JSON data, as it goes over the wire."""
        return self.model_dump()

    def _repr_html_(self) -> str | None:
        """Show the object in a notebook; None: as text."""
        from langchain_assistants.types.html import to_html

        return to_html(self)


class Deleted(WireObject):
    """Confirm a deletion; `object` is the type's name and `.deleted`."""

    id: str
    object: str
    deleted: Literal[True] = True


request = with_config(ConfigDict(extra="forbid", strict=True))
"""Make a TypedDict a request body: no other keys, no coercion of types."""

# Callers may pass any sequence or mapping; `validate` turns them into the plain
# types, which pydantic checks much faster.
if TYPE_CHECKING:
    Array = Sequence
    JsonObject = Mapping[str, Any]
else:
    Array = list
    JsonObject = dict[str, Any]

NonEmpty = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
TokenBudget = Annotated[int, Field(ge=256, le=2**31 - 1)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(ge=0, le=1)]
Instructions = Annotated[str, Field(max_length=256_000)]
SafeName = Annotated[
    str, Field(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_-]+$")
]
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16),
]

TAG = "\0"
"""Starts the name of a union's member in pydantic's error paths.

No key of a request can start so: text with a NUL is refused before.
"""


def tag(name: str) -> Tag:
    """Name a member of a union for `by_type` and `one_of`."""
    return Tag(TAG + name)


def type_of(value: object) -> str | None:
    """Read the `type` of an object, plain or ours."""
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", 0)
    return kind if isinstance(kind, str) else None


def _type_tag(value: object) -> str | None:
    kind = type_of(value)
    return None if kind is None else TAG + kind


def _json_tag(value: object) -> str | None:
    if isinstance(value, str):
        return TAG + "string"
    if isinstance(value, list):
        return TAG + "array"
    return TAG + "object" if isinstance(value, dict) else None


by_type = Discriminator(_type_tag)
"""Choose the member of a union by the object's `type`."""


def one_of(expected: str) -> Discriminator:
    """Choose the member by JSON type: `string`, `array` or `object`.

    Args:
        expected: Completes "expected one of ..." in the error.
    """
    return Discriminator(
        _json_tag,
        custom_error_type="not_one_of",
        custom_error_message=f"one of {expected}",
    )


def broken_rule(code: str, message: str, *, field: str = "") -> PydanticCustomError:
    """Make the error of a rule that spans several fields of one object.

    Args:
        code: The wire's error code.
        message: The wire's text, with `{path}` where the field's path belongs.
        field: The field at fault, relative to the object.
    """
    return PydanticCustomError(
        "broken_rule",
        "{message}",
        {"code": code, "message": message, "field": field},
    )


def required_field(field: str) -> PydanticCustomError:
    """Make the error of a field that another field's value makes necessary."""
    return broken_rule(
        "missing_required_parameter",
        "Missing required parameter: '{path}'.",
        field=field,
    )
