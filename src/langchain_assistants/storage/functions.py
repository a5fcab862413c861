"""SQL that databases spell differently, as SQLAlchemy elements; no statements."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class random_hex(FunctionElement[str]):
    """Twelve random bytes as 24 hexadecimal digits, another in each row."""

    type = Text()
    inherit_cache = True


@compiles(random_hex, "sqlite")
def _sqlite_random_hex(element: random_hex, compiler: SQLCompiler, **kw: Any) -> str:
    return "lower(hex(randomblob(12)))"


class is_one_of(ColumnElement[bool]):
    """Whether a column is one of the strings of a JSON array.

    A list of any length is one parameter, so the statement is compiled once.
    """

    inherit_cache = False

    def __init__(self, column: ColumnElement[str], values: ColumnElement[Any]) -> None:
        """Take the column and the array."""
        self.column = column
        self.values = values


@compiles(is_one_of, "sqlite")
def _sqlite_is_one_of(element: is_one_of, compiler: SQLCompiler, **kw: Any) -> str:
    column = compiler.process(element.column, **kw)
    values = compiler.process(element.values, **kw)
    return f"{column} IN (SELECT value FROM json_each({values}))"
