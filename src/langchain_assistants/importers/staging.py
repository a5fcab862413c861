"""What was found, on disk until it is taken: messages come in any order and place.

A temporary SQLite file puts them in the order in which they were written, however
many there are.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

from langchain_assistants.importers.records import Record
from langchain_assistants.importers.report import Issue

_SCHEMA = """
CREATE TABLE records (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    parent TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    line INTEGER NOT NULL,
    listed INTEGER NOT NULL,
    rank INTEGER,
    place INTEGER,
    run_id TEXT,
    repairs TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, key)
);
CREATE TABLE issues (
    number INTEGER PRIMARY KEY,
    outcome TEXT, source TEXT, line INTEGER, kind TEXT, id TEXT, why TEXT
);
CREATE INDEX issues_of_source ON issues (source);
"""
_INDEXES = """
CREATE INDEX of_source ON records (source);
CREATE INDEX in_order ON records (kind, parent, created_at, rank);
CREATE INDEX of_run ON records (parent, run_id, place) WHERE run_id IS NOT NULL;
"""
_ADD = (
    "INSERT INTO records (kind, key, parent, created_at, source, line, listed, run_id, "
    "repairs, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
# Pages list the newest first unless they were asked for otherwise. The times of a
# file's records say which; where all are equal, a page of the API is taken as such.
_RANK = """
CREATE TABLE directions (
    kind TEXT, parent TEXT, source TEXT, direction INTEGER,
    PRIMARY KEY (kind, parent, source)
) WITHOUT ROWID;
INSERT INTO directions
SELECT ends.kind, ends.parent, ends.source, CASE
    WHEN a.created_at > b.created_at THEN -1
    WHEN a.created_at < b.created_at THEN 1
    WHEN ends.listed AND a.number < b.number THEN -1
    ELSE 1 END
FROM (
    SELECT kind, parent, source, min(number) AS first, max(number) AS last,
        max(listed) AS listed
    FROM records WHERE kind IN ('thread.message', 'thread.run', 'thread.run.step')
    GROUP BY kind, parent, source
) AS ends
JOIN records AS a ON a.number = ends.first
JOIN records AS b ON b.number = ends.last;
UPDATE records SET rank = number * coalesce((
    SELECT direction FROM directions
    WHERE directions.kind = records.kind AND directions.parent = records.parent
        AND directions.source = records.source
), 1);
"""


class Staged(NamedTuple):
    """An object with the place where it was found.

    Attributes:
        number: Its number in the staging.
        source: The file.
        line: The line.
        parent: The id of what it belongs to.
        created_at: In seconds.
        repairs: What was mended, in words; "": nothing.
        json: Its fields, as JSON.
    """

    number: int
    source: str
    line: int
    kind: str
    id: str
    parent: str
    created_at: int
    repairs: str
    json: str


class Staging:
    """Records and issues of one import; use it in a `with` block."""

    def __init__(self) -> None:
        """Make a temporary file; it goes with the block or with the process."""
        self._folder = tempfile.TemporaryDirectory(prefix="langchain-assistants-")
        self._db = sqlite3.connect(
            Path(self._folder.name, "staging.db"), isolation_level=None
        )
        self._db.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8000;"
            + _SCHEMA
        )
        self._db.execute("BEGIN")

    def add(
        self, record: Record, source: str, line: int, *, listed: bool
    ) -> Staged | None:
        """Keep a record; return the one of the same id that is kept already, if any."""
        values = (
            record.kind,
            _key(record),
            record.parent,
            record.created_at,
            source,
            line,
            listed,
            record.run_id,
            "; ".join(record.repairs),
            record.json,
        )
        added = self._db.execute(_ADD, values)
        if added.rowcount:
            return None
        return next(self._staged("kind = ? AND key = ?", record.kind, _key(record)))

    def tell(self, issue: Issue) -> None:
        """Keep an issue."""
        self._db.execute(
            "INSERT INTO issues (outcome, source, line, kind, id, why) "
            "VALUES (?,?,?,?,?,?)",
            issue,
        )

    def forget_issues_of(self, source: str) -> list[tuple[str, int]]:
        """Drop the issues of a file; return how many there were of each kind."""
        sql = "SELECT kind, count(*) FROM issues WHERE source = ? GROUP BY kind"
        dropped = self._db.execute(sql, (source,)).fetchall()
        self._db.execute("DELETE FROM issues WHERE source = ?", (source,))
        return dropped

    def put_in_order(self) -> None:
        """Find out in which order everything happened; nothing is added afterwards."""
        self._db.executescript(_RANK + _INDEXES)
        self._db.execute("BEGIN")

    def count(self, kind: str) -> int:
        """Return how many records there are of a kind."""
        sql = "SELECT count(*) FROM records WHERE kind = ?"
        return int(self._db.execute(sql, (kind,)).fetchone()[0])

    def in_order(self, kind: str) -> Iterator[Staged]:
        """Yield the records of a kind: those of a parent together, the oldest first."""
        return self._staged("kind = ? ORDER BY parent, created_at, rank", kind)

    def _staged(self, where: str, *values: Any) -> Iterator[Staged]:
        rows = self._db.execute(
            "SELECT number, source, line, kind, key, parent, created_at, repairs, body "
            f"FROM records WHERE {where}",
            values,
        )
        for number, source, line, kind, key, *rest in rows:
            object_id = key.rpartition("/")[2]
            yield Staged(number, source, line, kind, object_id, *rest)

    def has_records_of(self, source: str) -> bool:
        """Tell whether objects were found in a file."""
        sql = "SELECT 1 FROM records WHERE source = ? LIMIT 1"
        return self._db.execute(sql, (source,)).fetchone() is not None

    def place(self, places: Sequence[tuple[int, int]]) -> None:
        """Note where in their threads messages stand now.

        Args:
            places: Pairs of the number in the thread, and that of the record.
        """
        self._db.executemany("UPDATE records SET place = ? WHERE number = ?", places)

    def place_of(self, message_id: str) -> int | None:
        """Return where in its thread a message of the import stands."""
        sql = "SELECT place FROM records WHERE kind = 'thread.message' AND key = ?"
        found = self._db.execute(sql, (message_id,)).fetchone()
        return None if found is None else cast("int | None", found[0])

    def cursor_of(self, run: Staged) -> int | None:
        """Return the place of the message before a run; None: none is known."""
        first = self._db.execute(
            "SELECT min(place) FROM records WHERE parent = ? AND run_id = ?",
            (run.parent, run.id),
        ).fetchone()[0]
        if first is not None:
            return int(first) - 1
        before = self._db.execute(
            "SELECT place FROM records WHERE kind = 'thread.message' AND parent = ? "
            "AND created_at <= ? AND place IS NOT NULL "
            "ORDER BY created_at DESC, rank DESC LIMIT 1",
            (run.parent, run.created_at),
        ).fetchone()
        return None if before is None else int(before[0])

    def issues(self) -> Iterator[Issue]:
        """Yield all issues in the order in which they came up."""
        for row in self._db.execute(
            "SELECT outcome, source, line, kind, id, why FROM issues ORDER BY number"
        ):
            yield Issue(*row)

    def close(self) -> None:
        """Delete the file."""
        self._db.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        """Return the staging."""
        return self

    def __exit__(self, *error: object) -> None:
        """Delete the file."""
        self.close()


def _key(record: Record) -> str:
    """Return what is unique among the records of a kind."""
    if record.kind == "vector_store.file":
        return f"{record.parent}/{record.id}"
    return record.id
