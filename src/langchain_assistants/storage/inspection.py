"""What a SQLite file is like; nothing is changed, but for its log when it is emptied.

What the rows say, and whether it is right, is the engine's matter.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from langchain_assistants.errors import StorageError
from langchain_assistants.storage.sqlite_errors import storage_error

SQLITE_VERSION = sqlite3.sqlite_version
OLDEST_SQLITE = "3.38"
"""The first that decodes JSON however it was built."""
IS_TOO_OLD = sqlite3.sqlite_version_info < (3, 38)

_MOST_REPORTED = 5


class SQLiteFile:
    """A database file that may be damaged, locked, read-only or none.

    Args:
        path: The file.
        busy_timeout: Seconds to wait for another process that holds it.
    """

    def __init__(self, path: str, *, busy_timeout: float = 5.0) -> None:
        """Open nothing."""
        self.path = Path(path)
        self._busy_timeout = busy_timeout

    @property
    def size(self) -> int:
        """Bytes of the file, without its log."""
        return self.path.stat().st_size

    @property
    def log_size(self) -> int:
        """Bytes of the write-ahead log beside it."""
        log = self.path.with_name(f"{self.path.name}-wal")
        return log.stat().st_size if log.exists() else 0

    def damage(self) -> list[str]:
        """Return what SQLite's own check finds wrong, at most a few lines.

        Raises:
            StorageError: The file cannot be read at all.
        """
        check = f"PRAGMA integrity_check({_MOST_REPORTED})"
        with self._connection() as connection:
            lines = [str(row[0]) for row in connection.execute(check)]
        return [] if lines == ["ok"] else lines

    def check_writable(self) -> None:
        """Begin to write, and undo it.

        Raises:
            StorageError: It is read-only, or locked by another process.
        """
        with self._connection() as connection:
            [version] = connection.execute("PRAGMA user_version").fetchone()
            connection.execute("BEGIN IMMEDIATE")
            # Only a write is refused: SQLite begins on a read-only file, too.
            connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("ROLLBACK")

    def empty_log(self) -> bool:
        """Move the log into the file; False if somebody reads what is in it now.

        Raises:
            StorageError: The file cannot be written.
        """
        with self._connection() as connection:
            busy, _, _ = connection.execute(
                "PRAGMA wal_checkpoint(TRUNCATE)"
            ).fetchone()
        return not busy

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(
                sqlite3.connect(
                    f"{self.path.as_uri()}?mode=rw",
                    uri=True,
                    timeout=self._busy_timeout,
                    isolation_level=None,
                )
            ) as connection:
                yield connection
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error) -> StorageError:
        return storage_error(error, os.fspath(self.path), self._busy_timeout)
