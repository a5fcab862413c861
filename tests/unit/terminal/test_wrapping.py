"""How streamed text is broken into lines."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_assistants.terminal.wrapping import WordWrap

TEXT = """\
A paragraph with words.

    def code():
        return "indented"
and \ttabs"""


def wrapped(pieces: Iterable[str], width: int, margin: int = 0) -> str:
    wrap = WordWrap(width, margin)
    return "".join(map(wrap.add, pieces)) + wrap.rest()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_the_pieces_that_text_comes_in_make_no_difference(size: int) -> None:
    pieces = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    assert wrapped(pieces, width=60) == TEXT


def test_a_word_that_comes_in_two_pieces_is_not_torn() -> None:
    assert wrapped(["one two", " astro", "nomy"], width=12) == "one two\nastronomy"


def test_lines_begin_at_the_margin_and_keep_their_indentation() -> None:
    assert (
        wrapped(["a\n  b\n\nc d"], width=5, margin=4)
        == "a\n      b\n    \n    c\n    d"
    )


def test_a_language_without_spaces_does_not_wait() -> None:
    wrap = WordWrap(80)
    text = "天文单位是地球到太阳的平均距离大约一亿四千九百六十万公里"
    assert wrap.add(text) == text


def test_wide_characters_count_twice() -> None:
    assert wrapped(["距离 距离 x"], width=9) == "距离 距离\nx"


@given(st.lists(st.text(alphabet="ab \n", max_size=12)), st.integers(4, 20))
def test_no_word_is_lost_and_no_line_too_long(pieces: list[str], width: int) -> None:
    text = "".join(pieces)
    lines = wrapped(pieces, width).split("\n")
    assert " ".join(lines).split() == text.split()
    for line in lines:
        assert len(line.rstrip()) <= width or len(line.split()) == 1
