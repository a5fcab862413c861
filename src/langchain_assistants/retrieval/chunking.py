"""Cuts a text into overlapping chunks whose offsets slice it exactly.

LangChain's splitters lose the offsets of some chunks that overlap (its issue 29884),
hence a splitter of our own. It knows no files.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

from langchain_assistants.retrieval.tokens import TokenCount

# Tokens are counted piece by piece: short, and cut where words end.
_PIECES = re.compile(r"(?s).{0,63}\s|.{1,64}")
# Where it is best to cut, best first: after a paragraph, a line, a sentence, a word.
_BOUNDARIES = tuple(
    map(
        re.compile,
        (
            r"\n[^\S\n]*\n\s*",
            r"\n\s*",
            r"[.!?…]['\"”’)\]]*\s+|[。！？।؟۔]+\s*",
            r"\s+",
        ),
    )
)
# At least this share of a chunk, and of an overlap, is kept for a better place to cut.
_KEPT = 0.75
# A letter has no more accents and vowel signs than these, in any language.
_MOST_MARKS = 16


class Chunking(NamedTuple):
    """How a file is cut; the original's `auto` is 800 and 400.

    Attributes:
        size: Most tokens of a chunk; 100 to 4096 on the wire.
        overlap: Most tokens that it shares with the next; at most half the size.
    """

    size: int = 800
    overlap: int = 400


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a text: `text[start:end]`.

    Attributes:
        index: Its number in the text, from 0.
        start: Where it begins.
        end: Where it ends.
        page: The page on which it begins, from 1; None: the text has none.
        tokens: How many it has.
    """

    index: int
    start: int
    end: int
    page: int | None
    tokens: int


def chunk(
    text: str,
    pages: Sequence[int] | None,
    chunking: Chunking,
    count: TokenCount,
) -> list[Chunk]:
    """Cut a text into chunks that cover all of it, in order.

    Args:
        text: The text.
        pages: Where its pages begin, ascending.
        chunking: The sizes.
        count: Counts tokens.
    """
    measure = _Measure(text, count)
    size, overlap = chunking
    chunks: list[Chunk] = []
    start = end = 0
    while end < len(text):
        reach = measure.reach(start, size)
        end = _end(text, measure.reach(start, size * _KEPT), reach)
        chunks.append(
            Chunk(
                len(chunks),
                start,
                end,
                (bisect_right(pages, start) or 1) if pages else None,
                round(measure.between(start, end)),
            )
        )
        start = end
        if overlap:
            back = measure.back(end, overlap)
            start = _start(text, back, measure.back(end, overlap * _KEPT))
    return chunks


def _end(text: str, low: int, reach: int) -> int:
    """Return where a chunk ends: from `low` to `reach`."""
    if reach == len(text):
        return reach
    for boundary in _BOUNDARIES:
        ends = [match.end() for match in boundary.finditer(text, low, reach)]
        if ends:
            return ends[-1]
    for place in range(reach, max(low, reach - _MOST_MARKS), -1):
        if not _is_mark(text[place]):
            return place
    return reach


def _start(text: str, back: int, high: int) -> int:
    """Return where the next chunk begins: from `back` to `high`."""
    for boundary in _BOUNDARIES:
        # From one character before, or what ends at `back` would be overlooked.
        match = boundary.search(text, max(0, back - 1), high)
        if match is not None and match.end() >= back:
            return match.end()
    for place in range(back, min(high, back + _MOST_MARKS)):
        if not _is_mark(text[place]):
            return place
    return back


def _is_mark(character: str) -> bool:
    """Tell whether it is an accent or a vowel sign of the letter before it."""
    return unicodedata.category(character)[0] == "M"


class _Measure:
    """The tokens of a text up to any place, from the sums of its pieces."""

    def __init__(self, text: str, count: TokenCount) -> None:
        self._text = text
        self._count = count
        # Where each piece begins, and where the last one ends.
        self._places = [match.start() for match in _PIECES.finditer(text)]
        self._places.append(len(text))
        pieces = (text[start:end] for start, end in pairwise(self._places))
        self._sums = [0.0, *accumulate(map(count, pieces))]

    def upto(self, place: int) -> float:
        """Return the tokens before a place."""
        piece = bisect_right(self._places, place) - 1
        rest = self._text[self._places[piece] : place]
        return self._sums[piece] + self._count(rest)

    def between(self, start: int, end: int) -> float:
        """Return the tokens from one place to another."""
        return self.upto(end) - self.upto(start)

    def reach(self, start: int, tokens: float) -> int:
        """Return how far so many tokens reach; one character at least."""
        limit = self.upto(start) + tokens
        piece = bisect_right(self._sums, limit) - 1
        return self._last(max(self._places[piece], start + 1), piece, limit)

    def back(self, end: int, tokens: float) -> int:
        """Return how far back so many tokens reach."""
        limit = self.upto(end) - tokens
        piece = max(0, bisect_right(self._sums, limit) - 1)
        place = self._last(self._places[piece], piece, limit)
        return place if self.upto(place) >= limit else place + 1

    def _last(self, low: int, piece: int, limit: float) -> int:
        """Return the last place of a piece before which there are so few tokens."""
        high = self._places[min(piece + 1, len(self._places) - 1)]
        while low < high:
            middle = (low + high + 1) // 2
            if self.upto(middle) <= limit:
                low = middle
            else:
                high = middle - 1
        return low
