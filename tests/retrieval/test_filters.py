"""Attribute filters: SQL says the same as the rules in plain Python."""

from __future__ import annotations

import operator
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, Text, select
from sqlalchemy.dialects import sqlite
from tests.retrieval.library import Library

from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.retrieval.filters import holds
from langchain_assistants.storage.database import Statement, to_json

DIALECT = sqlite.dialect(paramstyle="named")
FILES = Table("files", MetaData(), Column("id", Integer), Column("attributes", Text))

KEYS = st.sampled_from(
    ["a", "a.b", 'say "hi"', "$", "[0]", "it's", "ключ", "", "\\", "x');--"]
)
NUMBERS = st.one_of(
    st.integers(-(2**53), 2**53),
    st.sampled_from([0, 1, 1.0, -0.0, 0.1, 0.30000000000000004, 1e300, 10**30]),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.one_of(
    st.booleans(), NUMBERS, st.sampled_from(["", "1", "a", "b", "true", "ä", "机", '"'])
)
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=4)
COMPARISONS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]),
        "key": KEYS,
        "value": VALUES,
    }
)
MEMBERSHIPS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["in", "nin"]),
        "key": KEYS,
        "value": st.lists(VALUES, max_size=4),
    }
)
FILTERS = st.recursive(
    COMPARISONS | MEMBERSHIPS,
    lambda inner: st.fixed_dictionaries(
        {
            "type": st.sampled_from(["and", "or"]),
            "filters": st.lists(inner, min_size=1, max_size=3),
        }
    ),
    max_leaves=8,
)


def passes(filter: Mapping[str, Any], attributes: Mapping[str, Any]) -> bool:
    """The rules, by which the SQL is judged."""
    kind = filter["type"]
    if kind == "and":
        return all(passes(inner, attributes) for inner in filter["filters"])
    if kind == "or":
        return any(passes(inner, attributes) for inner in filter["filters"])
    if kind in ("ne", "nin"):
        plain = {"ne": "eq", "nin": "in"}[kind]
        return not passes({**filter, "type": plain}, attributes)
    if filter["key"] not in attributes:
        return False
    given = attributes[filter["key"]]
    if kind == "in":
        return any(type_of(given) == type_of(v) and given == v for v in filter["value"])
    if type_of(given) != type_of(filter["value"]):
        return False
    name = {"gte": "ge", "lte": "le"}.get(kind, kind)
    return bool(getattr(operator, name)(given, filter["value"]))


def type_of(value: Any) -> type:
    return float if type(value) is int else type(value)


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE files (id INTEGER, attributes TEXT)")
        yield connection


def selected(
    connection: sqlite3.Connection,
    filter: Mapping[str, Any],
    *attributes: Mapping[str, Any],
) -> list[int]:
    connection.execute("DELETE FROM files")
    rows = [(number, to_json(item)) for number, item in enumerate(attributes)]
    connection.executemany("INSERT INTO files VALUES (?, ?)", rows)
    core = select(FILES.c.id).where(holds(filter, FILES.c.attributes))
    sql = Statement(core).sql(DIALECT)
    return [id for (id,) in connection.execute(sql.text, sql.constants)]


def steps_of(
    connection: sqlite3.Connection, filter: Mapping[str, Any], files: int
) -> int:
    """Count the thousands of steps that SQLite takes for a filter of so many files."""
    steps: list[None] = []
    connection.set_progress_handler(lambda: steps.append(None), 1_000)
    selected(connection, filter, *({"n": number} for number in range(files)))
    connection.set_progress_handler(None, 0)
    return len(steps)


@given(filter=FILTERS, attributes=st.lists(ATTRIBUTES, min_size=1, max_size=5))
def test_a_filter_holds_for_the_same_files_in_sql_and_in_python(
    connection: sqlite3.Connection,
    filter: dict[str, Any],
    attributes: list[dict[str, Any]],
) -> None:
    wanted = [n for n, item in enumerate(attributes) if passes(filter, item)]
    assert selected(connection, filter, *attributes) == wanted


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"type": "eq", "key": "n", "value": 1}, {"integer", "float"}),
        ({"type": "eq", "key": "n", "value": "1"}, {"string"}),
        ({"type": "eq", "key": "n", "value": True}, {"boolean"}),
        ({"type": "ne", "key": "n", "value": 1}, {"string", "boolean", "none"}),
        ({"type": "gte", "key": "n", "value": 0}, {"integer", "float"}),
        ({"type": "lt", "key": "n", "value": "2"}, {"string"}),
        ({"type": "in", "key": "n", "value": ["1", True]}, {"string", "boolean"}),
        ({"type": "in", "key": "n", "value": []}, set()),
        ({"type": "nin", "key": "other", "value": [1]}, None),
    ],
)
def test_a_value_equals_only_values_of_its_type(
    library: Library, filter: dict[str, Any], found: set[str] | None
) -> None:
    values = {"integer": 1, "float": 1.0, "string": "1", "boolean": True}
    for name, value in values.items():
        library.add("tide", filename=name, attributes={"n": value})
    library.add("tide", filename="none")
    wanted = {*values, "none"} if found is None else found
    results = library.search("tide", filters=filter)
    assert {result.filename for result in results} == wanted


@pytest.mark.parametrize("kind", ["in", "nin"])
def test_many_values_are_not_looked_through_for_each_file(
    connection: sqlite3.Connection, kind: str
) -> None:
    """One request would occupy the search for minutes: of 10,000 files, say."""
    values = [*range(1_000, 6_000)]
    filter = {"type": kind, "key": "n", "value": values}
    few, many = (steps_of(connection, filter, files) for files in (10, 210))
    # Each of the 200 files more takes a few steps, not thousands.
    assert 0 < few <= many < few + 20


def test_a_key_is_never_part_of_the_statement(library: Library) -> None:
    key = "x') OR 1=1 --"
    library.add("tide", attributes={key: "a"})
    library.add("tide", attributes={"x": "b"})
    [found] = library.search("tide", filters={"type": "eq", "key": key, "value": "a"})
    assert found.attributes == {key: "a"}


def test_new_attributes_are_what_is_filtered(library: Library) -> None:
    file_id = library.add("tide", attributes={"year": 2025})
    newer = {"type": "gt", "key": "year", "value": 2025}
    assert library.search("tide", filters=newer) == []
    files = library.engine.vector_stores.files
    files.update(library.id, file_id, attributes={"year": 2026})
    [found] = library.search("tide", filters=newer)
    assert found.attributes == {"year": 2026}


def test_a_filter_of_the_greatest_size_is_answered(library: Library) -> None:
    library.add("tide", attributes={"n": 63})
    leaves = [{"type": "eq", "key": "n", "value": n} for n in range(64)]
    filter: dict[str, Any] = {"type": "or", "filters": leaves}
    for _ in range(6):
        filter = {"type": "and", "filters": [filter]}
    assert len(library.search("tide", filters=filter)) == 1
    with pytest.raises(InvalidRequestError, match="at most 64 comparisons"):
        library.search("tide", filters={"type": "or", "filters": [*leaves, leaves[0]]})
