"""The command `doctor`: what the doctor finds, line by line or as JSON."""

from __future__ import annotations

import asyncio
import json
import time

from rich.console import Console
from rich.table import Table
from rich.text import Text

from langchain_assistants import Settings
from langchain_assistants.engine.diagnosis import Diagnosis, Finding
from langchain_assistants.engine.doctor import examine
from langchain_assistants.engine.location import IN_MEMORY, database_url, sqlite_path
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.interpreters.choice import find_provider
from langchain_assistants.terminal.transcript import printable

_STYLES = {"ok": "green", "notice": "yellow", "problem": "bold red"}


def doctor(
    *, database: str | None = None, repair: bool = False, as_json: bool = False
) -> int:
    """Look over a database without opening an engine on it.

    Args:
        database: A SQLite file or a URL; None: the default engine's.
        repair: Whether to mend what can be mended safely.
        as_json: Whether to print JSON.

    Returns:
        0 where there is no problem (any more), else 1.

    Raises:
        ConfigurationError: The database is none that can be looked at.
    """
    settings = Settings()
    path = sqlite_path(database_url(database, settings))
    if path == IN_MEMORY:
        raise ConfigurationError(
            "A database in memory is seen by its own process only; use engine.doctor()."
        )
    interpreter = find_provider("local")
    assert interpreter is not None  # it is ours

    async def diagnosed() -> Diagnosis:
        try:
            return await examine(
                path, settings, time.time(), repair=repair, interpreter=interpreter
            )
        finally:
            await interpreter.aclose()

    diagnosis = asyncio.run(diagnosed())
    if as_json:
        print(json.dumps(diagnosis.to_dict(), indent=2))
    else:
        _show(diagnosis)
    return 0 if diagnosis.healthy else 1


def _show(diagnosis: Diagnosis) -> None:
    console = Console(highlight=False)
    table = Table.grid(padding=(0, 2))
    for found in diagnosis.findings:
        level = "mended" if found.repaired else found.level
        table.add_row(
            Text(level, _STYLES[found.level]), Text(found.subject), _words(found)
        )
    console.print(table)
    problems = len(diagnosis.problems)
    said = "No problem was found." if not problems else f"Problems found: {problems}."
    console.print()
    console.print(Text(said, _STYLES["problem" if problems else "ok"]))


def _words(found: Finding) -> Text:
    words = Text(printable(found.message), overflow="fold")
    if found.ids:
        words.append(f"\n{printable(', '.join(found.ids))}", "dim")
    if found.advice:
        words.append(f"\n{printable(found.advice)}", "italic")
    return words
