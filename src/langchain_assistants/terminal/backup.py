"""The command `backup`: copies a database while others use it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from langchain_assistants import Settings
from langchain_assistants.engine.location import (
    back_up,
    database_url,
)


def backup(path: str, *, database: str | None = None, overwrite: bool = False) -> int:
    """Copy a database of whatever version into a file, without opening an engine.

    Args:
        path: The file to make.
        database: A SQLite file or a URL; None: the default engine's.
        overwrite: Whether to replace a file that is there.

    Returns:
        The exit code.

    Raises:
        AssistantsError: The database cannot be read, or the file cannot be written.
    """
    target = Path(path).expanduser().absolute()
    source = back_up(database_url(database, Settings()), target, overwrite=overwrite)
    said = f"{source} is backed up in {target} ({target.stat().st_size:,} bytes)."
    Console(highlight=False).print(Text(said), soft_wrap=True)
    return 0
