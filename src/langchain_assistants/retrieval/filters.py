"""Attribute filters as SQL conditions; that they are small is checked with requests.

Values are compared with values of their own type only: a string never equals a number,
nor is it less. `ne` and `nin` hold for files that lack the attribute.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    exists,
    literal,
    or_,
    select,
    tuple_,
)

from langchain_assistants.storage.database import (
    Statement,
    Transaction,
    param,
    to_json,
)
from langchain_assistants.storage.functions import members_of
from langchain_assistants.storage.tables import vector_store_files

_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_NEGATED = {"ne": "eq", "nin": "in"}


def matching_files(store_id: str, filter: Mapping[str, Any]) -> Transaction[list[str]]:
    """Return the ids of the files of a vector store for which a filter holds."""
    statement = Statement(
        select(vector_store_files.c.file_id).where(
            vector_store_files.c.vector_store_id == param("store_id"),
            holds(filter, vector_store_files.c.attributes),
        )
    )
    return [row["file_id"] for row in (yield statement(store_id=store_id))]


def holds(
    filter: Mapping[str, Any], attributes: ColumnElement[str]
) -> ColumnElement[bool]:
    """Return the condition that a checked filter holds for attributes (JSON text).

    Keys and values are parameters of it, never a part of its text.
    """
    kind = filter["type"]
    if kind in ("and", "or"):
        inner = [holds(item, attributes) for item in filter["filters"]]
        return and_(*inner) if kind == "and" else or_(*inner)
    if kind in _NEGATED:
        return ~holds({**filter, "type": _NEGATED[kind]}, attributes)
    values = filter["value"] if kind == "in" else [filter["value"]]
    # Both sides are read by the same JSON parser: equal numbers are equal then.
    given = members_of(attributes).table_valued("key", "type", "value")
    asked = members_of(literal(to_json(values))).table_valued("type", "value")
    has_key = given.c.key == literal(filter["key"])
    has_type = _type(given.c.type) == _type(asked.c.type)
    if kind in _COMPARISONS:
        compares = _COMPARISONS[kind](given.c.value, asked.c.value)
        return exists().where(has_key, has_type, compares)
    # A query of its own, read once for all files, however many values there are.
    value = tuple_(_type(given.c.type), given.c.value)
    return exists().where(
        has_key, value.in_(select(_type(asked.c.type), asked.c.value))
    )


def _type(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return the type of a JSON value, of which a number or a boolean has but one."""
    return case({"integer": "real", "false": "true"}, value=column, else_=column)
