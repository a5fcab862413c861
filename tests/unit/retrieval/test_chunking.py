"""The chunker: offsets that slice, sizes within bounds, cuts at good places."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_assistants.retrieval.chunking import Chunk, Chunking, chunk
from langchain_assistants.retrieval.tokens import estimate

AUTO = Chunking()
PROSE = "The manual says how to reset the device. Hold the button for five seconds!\n"

_alphabet = st.sampled_from([*"ab .\n\t!日本語กำéж😀0", "\u0301", "\u200d"])
_texts = st.lists(
    st.tuples(st.text(_alphabet, min_size=1, max_size=40), st.integers(1, 120)),
    max_size=12,
).map(lambda parts: "".join(part * times for part, times in parts))
_chunkings = st.integers(100, 400).flatmap(
    lambda size: st.builds(Chunking, st.just(size), st.integers(0, size // 2))
)


def whole(text: str, chunks: list[Chunk]) -> str:
    """Put a text together from its chunks."""
    parts, end = [], 0
    for each in chunks:
        parts.append(text[end : each.end])
        end = each.end
    return "".join(parts)


@settings(max_examples=150, deadline=None)
@given(_texts, _chunkings)
def test_chunks_cover_the_text_within_their_bounds(
    text: str, chunking: Chunking
) -> None:
    chunks = chunk(text, None, chunking, estimate)
    assert [each.index for each in chunks] == list(range(len(chunks)))
    assert whole(text, chunks) == text
    for each in chunks:
        assert each.start < each.end
        tokens = estimate(text[each.start : each.end])
        assert tokens <= chunking.size
        assert each.tokens == round(tokens)
        if each is not chunks[-1]:
            # Nothing weighs more than 4 tokens: a chunk is never smaller than asked.
            assert tokens > chunking.size * 0.75 - 4
    for before, after in pairwise(chunks):
        assert before.start < after.start <= before.end
        shared = estimate(text[after.start : before.end])
        assert shared <= chunking.overlap
        assert shared > chunking.overlap * 0.75 - 4 * 17  # marks stay with their letter


@settings(max_examples=50, deadline=None)
@given(_texts, st.lists(st.integers(0, 3000), max_size=8))
def test_a_chunk_knows_the_page_it_begins_on(text: str, places: list[int]) -> None:
    pages = sorted({0, *(place for place in places if place < len(text))})
    for each in chunk(text, pages, Chunking(100, 20), estimate):
        assert each.page is not None
        following = [*pages, len(text) + 1][each.page]
        assert pages[each.page - 1] <= each.start < following


def test_an_empty_text_has_no_chunks() -> None:
    assert chunk("", None, AUTO, estimate) == []


def test_a_short_text_is_one_chunk() -> None:
    assert chunk(PROSE, None, AUTO, estimate) == [
        Chunk(0, 0, len(PROSE), None, round(estimate(PROSE)))
    ]


@pytest.mark.parametrize(
    ("boundary", "worse"),
    [("\n\n", "a line.\n"), ("\n", "A sentence. "), (". ", "words and "), (" ", "x")],
)
def test_a_chunk_ends_at_the_best_boundary(boundary: str, worse: str) -> None:
    text = worse * 1_000
    place = next(
        place
        for place in range(len(text))
        if estimate(text[:place]) > 90 and text[place - 1] == worse[-1]
    )
    text = text[:place].rstrip() + boundary + text[place:]
    first = chunk(text, None, Chunking(100, 0), estimate)[0]
    assert text[: first.end].endswith(boundary)


def test_an_overlap_begins_with_a_sentence() -> None:
    text = PROSE.strip() + " "
    for each in chunk(text * 200, None, AUTO, estimate)[1:]:
        assert (text * 200)[each.start :].startswith(("The manual", "Hold the"))


def test_a_vowel_sign_stays_with_its_letter() -> None:
    text = "กี่" * 2_000
    for each in chunk(text, None, Chunking(100, 30), estimate):
        assert text[each.start] == "ก"


def test_another_count_of_tokens_may_be_given() -> None:
    text = "one two three four five six seven eight nine ten " * 30
    chunks = chunk(text, None, Chunking(100, 50), lambda part: len(part.split()))
    assert max(each.tokens for each in chunks) <= 101
    assert whole(text, chunks) == text


def test_text_without_weight_does_not_hold_up_the_chunker() -> None:
    text = " " * 20_000 + "日" * 790 + " " * 20_000 + "日" * 790
    chunks = chunk(text, None, Chunking(800, 400), estimate)
    assert whole(text, chunks) == text
    assert len(chunks) < 30
