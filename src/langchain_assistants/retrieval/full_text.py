"""The full-text index of one vector store: an FTS5 table without the texts.

A table of its own for each store: it is small, and what words are rare in a store is
that store's own matter.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import text

from langchain_assistants.retrieval.tokenizer import FTS5_TOKENIZER, query_terms
from langchain_assistants.storage.database import Statement, Transaction, to_json

MOST_POSTINGS = 50_000
"""How many places of its terms one query looks at, those of the rarest terms first."""

_K1 = 1.2
"""As FTS5 has it: a term adds at most idf * (k1 + 1) to bm25."""
_FEW = 100
"""A store of fewer texts is weighed as one of so many: of a handful of texts nobody can
tell which words are rare, and scores are to mean the same in every store."""


class FullTextIndex:
    """The statements about the full-text index of one number.

    Attributes:
        create: Make the table, unless it is there.
        drop: Remove it.
        add: Put in a text (`id`, `text`).
        remove: Take out a text (`id`, and the very same `text`): SQLite before 3.43
            has no other way without the texts.
        frequencies: How many texts have each of some terms (`terms`, JSON).
        size: How many texts there are.
        scores: The best texts (`limit`) by weighted terms (`terms`, JSON).
        scores_in_files: The same among those of some files (`store_id`, `files`).
    """

    def __init__(self, number: int) -> None:
        """Name the table, and build what is said about it."""
        name = self.name = f"vs_fts_{number:d}"
        self.create = _statement(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS {name} USING "
            f"fts5(text, content='', tokenize=\"{FTS5_TOKENIZER}\")"
        )
        self.drop = _statement(f"DROP TABLE IF EXISTS {name}")
        self.add = _statement(
            f"INSERT INTO {name} (rowid, text) VALUES (:p_id, :p_text)"
        )
        self.remove = _statement(
            f"INSERT INTO {name} ({name}, rowid, text) "
            "VALUES ('delete', :p_id, :p_text)"
        )
        self.size = _statement(f"SELECT count(*) AS texts FROM {name}_docsize")
        self.frequencies = _statement(
            "SELECT term.value AS term, "
            f"(SELECT count(*) FROM {name} WHERE {name} MATCH term.value) AS texts "
            "FROM json_each(:p_terms) AS term"
        )
        self.scores = _statement(_SCORES.format(name=name, condition=""))
        self.scores_in_files = _statement(
            _SCORES.format(name=name, condition=_IN_FILES.format(name=name))
        )


# FTS5 computes bm25 with an idf of its own, which is 0 for words that half the texts
# have; each term's part is taken out of it and weighted anew.
_SCORES = """
WITH terms AS MATERIALIZED (
    SELECT json_extract(value, '$[0]') AS term, json_extract(value, '$[1]') AS weight
    FROM json_each(:p_terms)
), hits AS MATERIALIZED (
    SELECT {name}.rowid AS id, -bm25({name}) * terms.weight AS part
    FROM terms CROSS JOIN {name} WHERE {name} MATCH terms.term{condition}
)
SELECT id, sum(part) AS score FROM hits
GROUP BY id ORDER BY score DESC, id LIMIT :p_limit
"""
# `+`: the rows of the index are looked at in turn, not looked up one by one.
_IN_FILES = """
    AND +{name}.rowid IN (
        SELECT id FROM chunks WHERE vector_store_id = :p_store_id
        AND file_id IN (SELECT value FROM json_each(:p_files))
    )"""


@lru_cache(maxsize=1024)
def full_text_index(number: int) -> FullTextIndex:
    """Return the index of a number; its statements are compiled once."""
    return FullTextIndex(number)


class Term(NamedTuple):
    """A term of a query.

    Attributes:
        text: In FTS5's syntax.
        texts: How many texts have it.
        weight: Its idf, as ours is.
        correction: What FTS5's bm25 of the term alone is multiplied with for that.
    """

    text: str
    texts: int
    weight: float
    correction: float

    @classmethod
    def of(cls, text: str, texts: int, size: int) -> Term:
        """Weigh a term that so many of an index' texts have."""
        fts5_idf = math.log((size - texts + 0.5) / (texts + 0.5))
        weight = math.log(1 + (max(size, _FEW) - texts + 0.5) / (texts + 0.5))
        # FTS5 sets a small number for an idf that is not positive.
        return cls(text, texts, weight, weight / (fts5_idf if fts5_idf > 0 else 1e-6))


def best_by_words(
    number: int,
    query: str,
    *,
    limit: int,
    store_id: str,
    files: str | None = None,
) -> Transaction[dict[int, float]]:
    """Return the ids of the chunks that answer a query best, with their scores.

    A score is the part of the query's weight that a chunk answers, 0 to 1: bm25 over
    what it would be if the chunk said nothing but the query's words.

    Args:
        number: Of the index.
        query: Anybody's text.
        limit: How many chunks.
        store_id: The vector store.
        files: Only chunks of these files, as a JSON array of ids.
    """
    index = full_text_index(number)
    [counted] = yield index.size()
    found = yield index.frequencies(terms=to_json(query_terms(query)))
    terms = [Term.of(row["term"], row["texts"], counted["texts"]) for row in found]
    whole = sum(term.weight for term in terms) * (_K1 + 1)
    asked = to_json(
        [[term.text, term.correction / whole] for term in _affordable(terms)]
    )
    if files is None:
        rows = yield index.scores(terms=asked, limit=limit)
    else:
        rows = yield index.scores_in_files(
            terms=asked, limit=limit, store_id=store_id, files=files
        )
    return {row["id"]: min(row["score"], 1.0) for row in rows}


def _affordable(terms: list[Term]) -> list[Term]:
    """Return the rarest terms within the budget; the rarest of all in any case."""
    found: list[Term] = []
    left = MOST_POSTINGS
    for term in sorted((t for t in terms if t.texts), key=lambda term: term.texts):
        if found and term.texts > left:
            break
        found.append(term)
        left -= term.texts
    return found


def _statement(sql: str) -> Statement:
    return Statement(text(sql))
