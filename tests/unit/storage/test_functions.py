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
from langchain_assistants.storage.functions import random_hex, strings_of

DIALECT = sqlite.dialect(paramstyle="named")
names = Table("names", MetaData(), Column("name", Text))
wanted_names = strings_of(param("names")).table_valued("value")
LISTED = Statement(
    select(names.c.name).where(names.c.name.in_(select(wanted_names.c.value)))
)


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
def test_strings_of_a_json_array_are_a_table(
    connection: sqlite3.Connection, wanted: list[Any], found: list[str]
) -> None:
    fill(connection, "a", "b", "it's", 'say "hi"', "ünï", None)
    assert listed(connection, *wanted) == found


def test_a_list_of_any_length_is_one_parameter(connection: sqlite3.Connection) -> None:
    wanted = [f"name {number}" for number in range(100_000)]
    fill(connection, wanted[-1], "another")
    assert listed(connection, *wanted) == [wanted[-1]]


def test_another_dialect_is_told_that_it_lacks_the_functions() -> None:
    from sqlalchemy.dialects import mysql

    with pytest.raises(UnsupportedCompilationError):
        Statement(select(random_hex())).sql(mysql.dialect())
