"""The full-text index of one vector store: an FTS5 table without the texts.

A table of its own for each store: it is small, and what words are rare in a store is
that store's own matter.
"""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import text

from langchain_assistants.retrieval.tokenizer import FTS5_TOKENIZER
from langchain_assistants.storage.database import Statement


class FullTextIndex:
    """The statements about the full-text index of one number.

    Attributes:
        create: Make the table, unless it is there.
        drop: Remove it.
        add: Put in a text (`id`, `text`).
        remove: Take out a text (`id`, and the very same `text`): SQLite before 3.43
            has no other way without the texts.
    """

    def __init__(self, number: int) -> None:
        """Name the table, and build what is said about it."""
        name = self.name = f"vs_fts_{number:d}"
        tokenizer = FTS5_TOKENIZER
        self.create = Statement(
            text(
                f"CREATE VIRTUAL TABLE IF NOT EXISTS {name} USING "
                f"fts5(text, content='', tokenize=\"{tokenizer}\")"
            )
        )
        self.drop = Statement(text(f"DROP TABLE IF EXISTS {name}"))
        self.add = Statement(
            text(f"INSERT INTO {name} (rowid, text) VALUES (:p_id, :p_text)")
        )
        self.remove = Statement(
            text(
                f"INSERT INTO {name} ({name}, rowid, text) "
                "VALUES ('delete', :p_id, :p_text)"
            )
        )


@lru_cache(maxsize=1024)
def full_text_index(number: int) -> FullTextIndex:
    """Return the index of a number; its statements are compiled once."""
    return FullTextIndex(number)
