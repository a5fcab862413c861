"""SQL functions of our own, in the SQLite that executes them."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Table, Text, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import UnsupportedCompilationError

from langchain_assistants.storage.database import Statement, param
from langchain_assistants.storage.functions import is_one_of, random_hex

DIALECT = sqlite.dialect(paramstyle="named")
names = Table("names", MetaData(), Column("name", Text))
LISTED = Statement(select(names.c.name).where(is_one_of(names.c.name, param("names"))))


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE names (name TEXT)")
        yield connection


def fill(connection: sqlite3.Connection, *given: str | None) -> None:
    connection.executemany("INSERT INTO names VALUES (?)", [(name,) for name in given])


def listed(connection: sqlite3.Connection, *wanted: Any) -> list[str | None]:
    sql = LISTED.sql(DIALECT)
    rows = connection.execute(
        sql.text, {**sql.constants, "names": json.dumps(list(wanted))}
    )
    return [name for (name,) in rows]


def test_random_hex_is_another_for_each_row(connection: sqlite3.Connection) -> None:
    fill(connection, *map(str, range(1000)))
    sql = Statement(select(random_hex()).select_from(names)).sql(DIALECT)
    found = [row[0] for row in connection.execute(sql.text, sql.constants)]
    assert len(set(found)) == 1000
    assert all(re.fullmatch("[0-9a-f]{24}", value) for value in found)


def test_random_hex_follows_a_prefix() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        sql = Statement(select("msg_" + random_hex())).sql(DIALECT)
        [(value,)] = connection.execute(sql.text, sql.constants)
    assert re.fullmatch("msg_[0-9a-f]{24}", value)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([], []),
        (["a"], ["a"]),
        (["b", "a", "b"], ["a", "b"]),
        (["x"], []),
        (["it's", 'say "hi"', "ünï"], ["it's", 'say "hi"', "ünï"]),
        (["'); DROP TABLE names; --"], []),
        ([None], []),
    ],
)
def test_is_one_of_finds_the_rows_of_a_json_array(
    connection: sqlite3.Connection, wanted: list[Any], found: list[str]
) -> None:
    fill(connection, "a", "b", "it's", 'say "hi"', "ünï", None)
    assert listed(connection, *wanted) == found


def test_a_list_of_any_length_is_one_parameter(connection: sqlite3.Connection) -> None:
    wanted = [f"name {number}" for number in range(100_000)]
    fill(connection, wanted[-1], "another")
    assert listed(connection, *wanted) == [wanted[-1]]


def test_two_columns_may_be_asked_in_one_statement(
    connection: sqlite3.Connection,
) -> None:
    fill(connection, "a", "b", "c")
    either = is_one_of(names.c.name, param("some")) | is_one_of(
        names.c.name, param("others")
    )
    sql = Statement(select(names.c.name).where(either)).sql(DIALECT)
    rows = connection.execute(
        sql.text, {**sql.constants, "some": '["a"]', "others": '["c"]'}
    )
    assert [name for (name,) in rows] == ["a", "c"]


def test_another_dialect_is_told_that_it_lacks_the_functions() -> None:
    from sqlalchemy.dialects import mysql

    with pytest.raises(UnsupportedCompilationError):
        Statement(select(random_hex())).sql(mysql.dialect())
