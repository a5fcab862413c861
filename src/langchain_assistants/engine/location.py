"""Where a database lies: found by its URL or its file, opened, migrated, copied."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from langchain_assistants.errors import (
    ConfigurationError,
    StorageError,
    not_available,
)
from langchain_assistants.settings import Settings
from langchain_assistants.storage.backup import back_up_file
from langchain_assistants.storage.blobs import Blobs
from langchain_assistants.storage.schema import migrate
from langchain_assistants.storage.sqlite import SQLiteDatabase

IN_MEMORY = ":memory:"


def database_url(database: str | None, settings: Settings) -> str:
    """Return the URL of a database that a command names by its URL or its file.

    Args:
        database: What was named; None: the default engine's.
        settings: Say where the default engine's is.
    """
    if database is None:
        return settings.resolved_database_url()
    if "://" in database:
        return database
    return f"sqlite:///{Path(database).expanduser().absolute()}"


def existing_database_url(database: str | None, settings: Settings) -> str:
    """Return the same of a database that a command reads: nothing is made.

    Raises:
        ConfigurationError: What was named is no database that can be used.
        StorageError: It is not there.
    """
    url = database_url(database, settings)
    path = sqlite_path(url)
    if path != IN_MEMORY and not Path(path).exists():
        raise StorageError(
            f"There is no database {path}. Name the one that you mean: "
            "--database FILE, or LANGCHAIN_ASSISTANTS_DATABASE_URL."
        )
    return url


def sqlite_path(url: str) -> str:
    """Return the absolute path of a URL's SQLite file, or ":memory:".

    Raises:
        ConfigurationError: It is no URL of a database that can be used.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            f"'{url}' is not a database URL; use sqlite:///path/to/file.db (three "
            "slashes for a relative path, four for an absolute one)."
        ) from None
    backend = parsed.get_backend_name()
    if backend.startswith("postgres"):
        raise not_available("A PostgreSQL database")
    if backend != "sqlite":
        raise ConfigurationError(
            f"The database '{backend}' is not supported; use sqlite:///..."
        )
    path = parsed.database or IN_MEMORY
    if path == IN_MEMORY:
        return path
    return os.fspath(Path(path).expanduser().absolute())


def open_database(url: str, settings: Settings) -> SQLiteDatabase:
    """Open a database by its URL, making its folder if there is none.

    Raises:
        ConfigurationError: The URL cannot be used.
        StorageError: The database cannot be opened.
    """
    path = sqlite_path(url)
    folder = Path(path).parent
    if path != IN_MEMORY:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"Cannot open the database {path}: {folder} is not a writable "
                f"directory ({error.strerror})."
            ) from error
    return open_sqlite(path, settings)


def open_blobs(url: str) -> Blobs:
    """Return the contents of files that belong to the database of a URL."""
    path = sqlite_path(url)
    return Blobs(None) if path == IN_MEMORY else Blobs.beside(path)


def open_sqlite(path: str, settings: Settings) -> SQLiteDatabase:
    """Open a SQLite database, bringing it to this version's schema first."""
    if path == IN_MEMORY:
        database = SQLiteDatabase(path, synchronous=settings.synchronous)
        database.create_all()
        return database
    migrate(path, timeout=settings.busy_timeout)
    return SQLiteDatabase(
        path, synchronous=settings.synchronous, busy_timeout=settings.busy_timeout
    )


def back_up(url: str, target: Path, *, overwrite: bool = False) -> Path:
    """Copy the database of a URL into a file; return where it lies itself.

    Raises:
        ConfigurationError: The URL cannot be used, or is that of a database in memory.
        StorageError: The database cannot be read, or the file cannot be written.
    """
    path = sqlite_path(url)
    if path == IN_MEMORY:
        raise ConfigurationError(
            "A database in memory is seen by its own process only; use engine.backup()."
        )
    source = Path(path)
    back_up_file(source, target, overwrite=overwrite)
    return source
