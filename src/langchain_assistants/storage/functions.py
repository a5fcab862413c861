"""SQL that databases spell differently, as SQLAlchemy elements; no statements."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text
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


class strings_of(FunctionElement[str]):
    """The strings of a JSON array: as a table with one column, `value`.

    A list of any length is one parameter, so the statement is compiled once.
    """

    inherit_cache = True


@compiles(strings_of, "sqlite")
def _sqlite_strings_of(element: strings_of, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


class members_of(FunctionElement[str]):
    """The members of a JSON object or array: as a table of `key`, `type`, `value`."""

    inherit_cache = True


@compiles(members_of, "sqlite")
def _sqlite_members_of(element: members_of, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"
