"""Words of texts and queries, so that FTS5 finds one by the other; nothing is stored.

A full-text index forgets a text only by what it was given of it: `indexed` must give
the same for ever, or a migration has to make the indexes anew.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

from langchain_assistants.retrieval.stop_words import STOP_WORDS
from langchain_assistants.storage.database import storable

FTS5_TOKENIZER = "porter unicode61 remove_diacritics 2 categories 'L* N* Co M*'"
"""Marks are parts of words: without them Hindi and Thai fall apart at each vowel."""

_MOST_QUERY_CHARS = 10_000
_MOST_TERMS = 64

# Scripts that write no spaces between words, and Hangul, where endings hide the word.
_UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # Kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\uac00-\ud7a3"  # Hangul
    "]+"
)

# Signs between words: SQLite knows an older Unicode and takes newer ones for letters.
_SIGNS = re.compile(
    "["
    "\u2010-\u206f\u20a0-\u20cf\u2190-\u245f\u2500-\u2775\u2794-\u2bff\u2e30-\u2e5f"
    "\U0001f000-\U0001fbef"  # pictures
    "\U00040000-\U0010ffff"  # private use, or nothing yet
    "]+"
)
# Signs of which NFKC makes words: one of 18 letters, in Arabic.
_WORD_SIGNS = re.compile("[\u3200-\u33ff\ufdf0-\ufdfc]")
_MOST_WORD_SIGNS = 1 / 8
_SHORT = 256
# All of these are up here: most texts have next to nothing of it, and are soon done.
_UPPER = re.compile("[\u0e00-\U0010ffff]+")


def indexed(text: str) -> str:
    """Return what the full-text index is given of a text.

    Runs without spaces become overlapping pairs of characters. A long text that is
    full of signs for words stays as it is: it would grow tenfold while it is written,
    and hold up all who write.
    """
    plain = storable(text)
    if plain.isascii():
        return plain
    signs = len(_WORD_SIGNS.findall(plain))
    if signs <= max(_SHORT, len(plain)) * _MOST_WORD_SIGNS:
        plain = unicodedata.normalize("NFKC", plain)
    return _UPPER.sub(_separated, plain)


def query_terms(query: str) -> list[str]:
    """Return the terms of a query in FTS5's syntax, each quoted: none is an operator.

    English stop words are left out, unless there is nothing else.
    """
    terms: dict[str, None] = {}
    for word in telling_words(query):
        for term in indexed(word).split():
            # Of a longer run only pairs are in the index: look for those it begins.
            begins = len(term) == 1 and _UNSPACED.fullmatch(term)
            terms[f'"{term}"*' if begins else f'"{term}"'] = None
    return list(terms)[:_MOST_TERMS]


def telling_words(query: str) -> list[str]:
    """Return the words of a query without stop words; with them if it has no other."""
    words = _words(unicodedata.normalize("NFKC", query[:_MOST_QUERY_CHARS]))
    return [word for word in words if word.lower() not in STOP_WORDS] or words


def _words(text: str) -> list[str]:
    runs = groupby(text, _is_of_word)
    return ["".join(run) for is_word, run in runs if is_word]


def _is_of_word(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LNM" or category == "Co"


def _separated(run: re.Match[str]) -> str:
    return _UNSPACED.sub(_pairs, _SIGNS.sub(" ", run[0]))


def _pairs(run: re.Match[str]) -> str:
    text = run[0]
    pairs = [text[at : at + 2] for at in range(len(text) - 1)]
    return f" {' '.join(pairs or [text])} "
