"""Brings a database to the schema of this version of the library, with Alembic."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_assistants.errors import StorageError
from langchain_assistants.storage.sqlite_errors import storage_error

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

HEAD = "0008"
"""The newest revision; known here so that opening a current file needs no Alembic."""

REVISION_TABLE = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)
"""Alembic's own table, as it makes it."""

_OURS = {"assistants", "threads", "runs"}


def revision_of(path: str, *, timeout: float = 5.0) -> str | None:
    """Return the revision of a SQLite file, or None of an empty or new one.

    Raises:
        StorageError: The file is not a database of this library, or is locked.
    """
    if not Path(path).exists():
        return None
    try:
        connection = sqlite3.connect(path, timeout=timeout)
        try:
            names = {
                row[0]
                for row in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table'"
                )
            }
            if "alembic_version" in names and names >= _OURS:
                row = connection.execute(
                    "SELECT version_num FROM alembic_version"
                ).fetchone()
                return str(row[0]) if row else None
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise storage_error(error, path, timeout) from error
    if names & {*_OURS, "alembic_version"}:
        raise StorageError(
            f"The database {path} holds tables of the same names that were not made by "
            "langchain-assistants; give it a file of its own."
        )
    return None


def migrate(path: str, *, timeout: float = 5.0) -> None:
    """Bring a SQLite file to HEAD, under the file's write lock.

    Several processes may open a new file at once: the first migrates, the others wait.

    Raises:
        StorageError: The file is newer than this version, locked, or not writable.
    """
    if revision_of(path, timeout=timeout) == HEAD:
        return
    from alembic import command
    from alembic.util.exc import CommandError
    from sqlalchemy import create_engine, event, exc, pool

    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=pool.NullPool,
        connect_args={"timeout": timeout, "isolation_level": None},
    )

    # pysqlite would begin lazily, and DDL outside a transaction: take the lock first.
    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        # Past SQLAlchemy: the mode cannot change inside the transaction it would begin.
        with closing(sqlite3.connect(path, timeout=timeout)) as plain:
            plain.execute("PRAGMA journal_mode=WAL")
        with engine.begin() as connection:
            command.upgrade(configuration(connection), "head")
    except CommandError as error:
        raise newer_schema(path) from error
    except (sqlite3.Error, exc.DBAPIError) as error:
        reported = error.orig if isinstance(error, exc.DBAPIError) else error
        assert isinstance(reported, sqlite3.Error)
        raise storage_error(reported, path, timeout) from error
    finally:
        engine.dispose()


def newer_schema(path: str) -> StorageError:
    """Return the error for a database that a later version has migrated."""
    return StorageError(
        f"The database {path} was written by a newer langchain-assistants (revision "
        f"unknown to this one, which knows {HEAD}). Upgrade the package, or open "
        "another file."
    )


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration for the migrations of this package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
