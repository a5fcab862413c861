"""What SQLite reports, as errors that say what happened, where, and what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from langchain_assistants.errors import StorageError

_PRIMARY = 0xFF
"""SQLite's extended codes hold the primary one in their lowest byte."""


def storage_error(error: sqlite3.Error, path: str, busy_timeout: float) -> StorageError:
    """Return the error of ours for what SQLite reports about a database.

    Args:
        error: What was raised.
        path: The file.
        busy_timeout: Seconds that were waited for another process.
    """
    text = str(error)
    match getattr(error, "sqlite_errorcode", 0) & _PRIMARY:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageError(
                f"The database {path} was locked by another process for more than "
                f"{busy_timeout:g} s; try again, or raise Settings.busy_timeout."
            )
        case sqlite3.SQLITE_FULL:
            return StorageError(
                f"The disk or the database {path} is full: {text}. Nothing of this "
                "change was stored. Free some space; the engine goes on by itself."
            )
        case sqlite3.SQLITE_READONLY:
            return StorageError(
                f"The database {path} is read-only: nothing was stored. Make the file "
                "and its folder writable, or open a copy."
            )
        case sqlite3.SQLITE_CANTOPEN:
            return StorageError(
                f"Cannot open the database {path}: is {Path(path).parent} a writable "
                "directory? SQLite keeps its log beside the file."
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StorageError(
                f"The database {path} is damaged, or no database: {text}. Keep the "
                "file as it is, and go on with a backup."
            )
        case sqlite3.SQLITE_IOERR:
            return StorageError(
                f"The disk with the database {path} failed: {text}. See whether the "
                "disk and its file system are well."
            )
    return StorageError(f"The database {path} reported: {text}.")
