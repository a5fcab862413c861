"""Breaks text into lines while it is still coming; it writes none of it."""

from __future__ import annotations

import re

from rich.cells import cell_len

_WORDS_AND_SPACES = re.compile(r"\s+|\S+")
# Languages without spaces shall not wait for one.
_LONGEST_WORD = 24


class WordWrap:
    """Breaks lines at spaces; line breaks and indentation of the text stay.

    A word is held back until it is complete, as a model's tokens are often less than
    a word.

    Args:
        width: Of the terminal.
        margin: Where each line but the first begins; the first is taken to be there.
    """

    def __init__(self, width: int, margin: int = 0) -> None:
        """Begin at the margin."""
        self._width = width
        self._break = "\n" + " " * margin
        self._column = margin
        self._gap = ""
        self._word = ""

    def add(self, piece: str) -> str:
        """Take a piece of text and return what can be written."""
        parts = _WORDS_AND_SPACES.findall(self._word + piece)
        self._word = ""
        if parts and not parts[-1].isspace() and len(parts[-1]) <= _LONGEST_WORD:
            self._word = parts.pop()
        return "".join(map(self._place, parts))

    def rest(self) -> str:
        """Return the word that was held back: the text has ended."""
        word, self._word = self._word, ""
        return self._place(word) if word else ""

    def _place(self, part: str) -> str:
        if part.isspace():
            self._gap += part
            return ""
        gap, self._gap = self._gap, ""
        if "\n" in gap:
            gap = gap.replace("\n", self._break)
        elif gap and self._column + cell_len(gap + part) > self._width:
            gap = self._break
        if "\n" in gap:
            self._column = 0
        self._column += cell_len(gap.rpartition("\n")[2] + part)
        return gap + part
