"""Copies of a SQLite database, made while it is in use; it restores none.

The copy is one file without a log beside it: to restore it, put it where the database
was while no process has that open.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from langchain_assistants.errors import StorageError
from langchain_assistants.storage.sqlite_errors import storage_error

_PAGES_A_STEP = 1024
_BUSY_TIMEOUT = 5.0
_LOGS = ("-wal", "-journal")


class _Stopped(Exception):
    """Nobody waits for the copy any more."""


def back_up_file(
    source: Path,
    target: Path,
    *,
    overwrite: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Copy a database file as it is now; whoever writes to it goes on.

    Args:
        source: The database, of whatever version.
        target: The file to make; it appears complete or not at all.
        overwrite: Whether to replace a file that is there.
        stopped: Asked between steps: whether to give up.

    Raises:
        StorageError: There is no such database, it cannot be read, or the target
            cannot be written, is in use, or is there already.
    """
    if not source.is_file():
        raise StorageError(f"There is no database {source} to back up.")
    try:
        uri = f"{source.as_uri()}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None
        )
        with closing(connection):
            # One snapshot for all steps: a write of somebody else would otherwise make
            # SQLite begin the copy anew.
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            back_up_connection(
                connection,
                target,
                source=source,
                overwrite=overwrite,
                stopped=stopped,
            )
    except sqlite3.Error as error:
        raise storage_error(error, os.fspath(source), _BUSY_TIMEOUT) from error


def back_up_connection(
    connection: sqlite3.Connection,
    target: Path,
    *,
    source: Path | None = None,
    overwrite: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Copy the database of a connection that is in no writing transaction.

    Args:
        connection: Where to read.
        target: The file to make; it appears complete or not at all.
        source: The connection's file, if it has one.
        overwrite: Whether to replace a file that is there.
        stopped: Asked between steps: whether to give up.

    Raises:
        StorageError: The target cannot be written, is in use, or is there already.
    """

    def go_on(status: int, remaining: int, total: int) -> None:
        if stopped():
            raise _Stopped

    _check_target(target, source, overwrite)
    with suppress(_Stopped), _written(target) as part:
        with closing(sqlite3.connect(part)) as copy:
            # Nobody reads it before it is complete, and then it is synchronised.
            copy.execute("PRAGMA synchronous=OFF")
            connection.backup(copy, pages=_PAGES_A_STEP, progress=go_on)
            copy.execute("PRAGMA journal_mode=DELETE")
        if source is not None:
            part.chmod(source.stat().st_mode)
        _synchronise(part)
        # It may have appeared meanwhile.
        _check_target(target, source, overwrite)
        part.replace(target)
        _synchronise(target.parent)


def _check_target(target: Path, source: Path | None, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise StorageError(
            f"Cannot write the backup {target}: there is no folder {target.parent}."
        )
    if target.is_dir():
        raise StorageError(
            f"Cannot write the backup {target}: it is a folder; name a file in it."
        )
    if target.exists():
        if source is not None and target.samefile(source):
            raise StorageError(
                f"Cannot write the backup {target}: it is the database itself."
            )
        if not overwrite:
            raise StorageError(
                f"The backup {target} is there already; name another file, or replace "
                "it with overwrite=True (--overwrite)."
            )
    # SQLite would apply a log that is left beside another database to this one.
    for log in (target.with_name(target.name + ending) for ending in _LOGS):
        if log.exists():
            raise StorageError(
                f"Cannot write the backup {target}: {log} shows that a database of "
                "that name is in use, or was not closed; name another file."
            )


@contextmanager
def _written(target: Path) -> Iterator[Path]:
    """Yield a new file beside the target to write to, and remove what is left of it."""
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        part.touch(mode=0o600, exist_ok=False)
        yield part
    except (OSError, sqlite3.Error) as error:
        raise StorageError(
            f"Cannot write the backup {target}: {error}. Nothing was left there."
        ) from error
    finally:
        for left in (part, *(part.with_name(part.name + log) for log in _LOGS)):
            with suppress(OSError):
                left.unlink()


def _synchronise(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
