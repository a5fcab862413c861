"""Words: the same in a text and in a query, in every script."""

# ruff: noqa: RUF001 -- other scripts have signs of their own
from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_assistants.retrieval.full_text import full_text_index
from langchain_assistants.retrieval.tokenizer import (
    FTS5_TOKENIZER,
    indexed,
    query_terms,
    telling_words,
)


def test_signs_for_words_are_written_out_but_not_without_measure() -> None:
    assert indexed("\ufdfa").startswith("صلى ")
    assert " アパ パー ート " in indexed("Das Apartment (㌀) ist frei. " * 50)
    flood = "\ufdfa" * 1_000
    assert indexed(flood) == flood


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("How do I reset the machine?", ["reset", "machine"]),
        ("the", ["the"]),
        ("", []),
        ("?!...", []),
        ("Reset RESET", ["Reset", "RESET"]),
        ("don't", ["don", "t"]),
        ("ﬁnal ＡＢＣ１", ["final", "ABC1"]),
        ("नमस्ते", ["नमस्ते"]),
        ("机器重置", ["机器", "器重", "重置"]),
        ("ราคา", ["รา", "าค", "คา"]),
        ("C++ 17", ["C", "17"]),
    ],
)
def test_a_query_becomes_quoted_terms(query: str, terms: list[str]) -> None:
    assert query_terms(query) == [f'"{term}"' for term in terms]


def test_a_single_character_of_a_script_without_spaces_begins_pairs() -> None:
    assert query_terms("水") == ['"水"*']
    assert query_terms("a水") == ['"a"', '"水"*']


def test_a_long_query_has_a_bounded_number_of_terms() -> None:
    assert len(query_terms(" ".join(f"word{n}" for n in range(5_000)))) == 64
    assert len(query_terms("word " * 100_000)) == 1


def test_stop_words_stay_where_there_is_nothing_else() -> None:
    assert telling_words("to be or not to be") == ["to", "be", "or", "not", "to", "be"]
    assert telling_words("what is the price") == ["price"]


# What people write; SQLite takes signs of some rare scripts for letters.
BLOCKS = [
    (0x20, 0x52F),
    (0x5D0, 0x5EA),
    (0x620, 0x6FF),
    (0x900, 0x97F),
    (0xE00, 0xE7F),
    (0x1780, 0x17FF),
    (0x1E00, 0x2BFF),
    (0x3000, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0x1F000, 0x1FAFF),
    (0x20000, 0x2A6DF),
]
TEXTS = st.text(
    st.one_of(
        *(
            st.characters(
                min_codepoint=low, max_codepoint=high, exclude_categories=["Cn"]
            )
            for low, high in BLOCKS
        )
    )
)


@given(TEXTS)
def test_no_query_is_an_error_and_no_text_is_lost(text: str) -> None:
    """Whatever is indexed is found by itself, unless it has no letter or digit."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(
            "CREATE VIRTUAL TABLE f USING fts5(text, content='', "
            f'tokenize="{FTS5_TOKENIZER}")'
        )
        connection.execute("INSERT INTO f (rowid, text) VALUES (1, ?)", [indexed(text)])
        for term in query_terms(text):
            rows = connection.execute("SELECT rowid FROM f WHERE f MATCH ?", [term])
            assert rows.fetchall() == [(1,)], term


@given(TEXTS, TEXTS)
def test_what_is_taken_out_of_an_index_leaves_nothing(first: str, second: str) -> None:
    index = full_text_index(1)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(
            f"CREATE VIRTUAL TABLE {index.name} USING fts5(text, content='', "
            f'tokenize="{FTS5_TOKENIZER}")'
        )
        connection.execute(
            f"CREATE VIRTUAL TABLE words USING fts5vocab({index.name}, row)"
        )
        for id, text in ((1, first), (2, second)):
            connection.execute(
                f"INSERT INTO {index.name} (rowid, text) VALUES (?, ?)",
                [id, indexed(text)],
            )
        for id, text in ((1, first), (2, second)):
            connection.execute(
                f"INSERT INTO {index.name} ({index.name}, rowid, text) "
                "VALUES ('delete', ?, ?)",
                [id, indexed(text)],
            )
        assert connection.execute("SELECT * FROM words").fetchall() == []
