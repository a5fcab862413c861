"""What a database is to the engine: statements, transactions, two verbs.

A transaction is a generator: it yields queries, is sent their rows and returns its
result. So the rules are written once and hold no connection; a database drives them
on the thread or the loop that suits it. They must not wait for anything else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from sqlalchemy import BindParameter, bindparam
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.base import Executable

from langchain_assistants.errors import StorageError

T = TypeVar("T")

_PREFIX = "p_"
_PREFIXED = re.compile(rf":{_PREFIX}(\w+)")


class Row(Protocol):
    """A row of a result, read by column name."""

    def __getitem__(self, key: str, /) -> Any: ...


class SQL(NamedTuple):
    """A statement as one dialect's text with the values SQLAlchemy put into it."""

    text: str
    constants: Mapping[str, Any]
    returns_rows: bool


class Statement:
    """One SQLAlchemy Core statement, compiled to text once per dialect.

    Compiling per call costs more than SQLite needs to execute; see design section 7.
    Parameters are written `param("name")` and given as `statement(name=value)`.
    """

    __slots__ = ("_core", "_texts")

    def __init__(self, core: Executable) -> None:
        """Keep the Core statement; nothing is compiled yet."""
        self._core = core
        self._texts: dict[str, SQL] = {}

    def __call__(self, **values: Any) -> Query:
        """Return the query that executes this statement with these values."""
        return Query(self, values)

    def many(self, rows: Sequence[Mapping[str, Any]]) -> Query:
        """Return the query that executes this statement once for each row.

        It has no result: many rows are written faster than one by one.
        """
        return Query(self, rows)

    def sql(self, dialect: Dialect) -> SQL:
        """Return the text for a dialect with `:name` parameters."""
        known = self._texts.get(dialect.name)
        if known is None:
            known = self._texts[dialect.name] = self._compile(dialect)
        return known

    def _compile(self, dialect: Dialect) -> SQL:
        compiled = self._core.compile(dialect=dialect)  # type: ignore[attr-defined]
        text = str(compiled)
        constants = {
            name: value
            for name, value in compiled.params.items()
            if not name.startswith(_PREFIX)
        }
        words = text.upper().split()
        returns_rows = words[0] in ("SELECT", "WITH") or "RETURNING" in words
        return SQL(_PREFIXED.sub(r":\1", text), constants, returns_rows)


class Query(NamedTuple):
    """A statement with the values of its parameters, or with many rows of them."""

    statement: Statement
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]]


Transaction: TypeAlias = Generator[Query, list[Row], T]


class Conflict(StorageError):
    """A unique index refused a row; raised inside the transaction that wrote it."""


class Database(Protocol):
    """Executes transactions; each is all or nothing.

    Both verbs may be awaited on any event loop and on several at once. An exception
    raised in the generator undoes its writes and reaches the caller unchanged; what
    the database itself reports arrives as `StorageError`.
    """

    async def write(self, transaction: Transaction[T], /) -> T:
        """Execute a transaction that writes; it is durable on return."""
        ...

    async def read(self, transaction: Transaction[T], /) -> T:
        """Execute a transaction that only reads; it sees every finished write."""
        ...

    async def survey(self, transaction: Transaction[T], /) -> T:
        """Execute a transaction that reads for long, in one state of the database.

        Neither reads nor writes wait for it; one survey waits for another.
        """
        ...

    def close(self) -> None:
        """Finish what was begun and let go of the database; may be called twice."""
        ...


def param(name: str) -> BindParameter[Any]:
    """Return a named parameter of a statement.

    SQLAlchemy reserves column names for its own parameters, hence the inner prefix.
    """
    return bindparam(_PREFIX + name)


def first(rows: list[Row]) -> Row | None:
    """Return the first row of a result, or None of an empty one."""
    return rows[0] if rows else None


def each(queries: Iterable[Query]) -> Transaction[None]:
    """Return a transaction that executes queries in order."""
    for query in queries:
        _ = yield query  # not `yield from`: a plain sequence cannot be sent rows


def to_json(value: object) -> str:
    """Encode a value as compact JSON text that every database can store.

    A model may answer with lone surrogates or NUL; they survive as escapes only.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def storable(text: str) -> str:
    """Return text without lone surrogates: no provider takes them back."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def from_json(text: str | None) -> Any:
    """Decode a JSON column; NULL is None."""
    return None if text is None else json.loads(text)
