"""The command `export`: everything of a tenant, or one thread, out of the database."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Literal, TextIO

from rich.console import Console
from rich.text import Text

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine.location import existing_database_url
from langchain_assistants.engine.tenant import TenantResources
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.exporters.conversations import ChatFormat
from langchain_assistants.exporters.writing import (
    new_file,
    write_conversations,
    write_folder,
    write_objects,
)

_FILES = (".json", ".jsonl", ".ndjson")


def take_out(
    output: str,
    *,
    form: Literal["openai"] | ChatFormat = "openai",
    thread_id: str | None = None,
    database: str | None = None,
    tenant: str = "default",
) -> int:
    """Write objects or conversations.

    Args:
        output: A folder, a file or "-", standard output.
        form: Objects as OpenAI's API gave them, or conversations in some form.
        thread_id: Write this thread alone.
        database: A SQLite file or a URL; None: the default engine's.
        tenant: Whose objects.

    Returns:
        The exit code.

    Raises:
        AssistantsError: There is no such database or thread, or the output cannot be
            written.
    """
    path = Path(output).expanduser()
    to_file = path.suffix.lower() in _FILES
    url = existing_database_url(database, Settings())
    with AssistantsEngine(url, recover=False) as engine:
        owner = engine.for_tenant(tenant)
        if output == "-":
            counts = _write(owner, sys.stdout, form, thread_id)
        elif to_file:
            with new_file(path) as file:
                counts = _write(owner, file, form, thread_id)
        elif form == "openai":
            counts = write_folder(owner, path, thread_id=thread_id)
        else:
            raise ConfigurationError(
                f"{path} is no file: --format {form} writes one, whose name ends in "
                f"{' or '.join(_FILES)}."
            )
    _tell(counts, output, without_contents=form == "openai" and to_file)
    return 0


def _write(
    owner: TenantResources,
    stream: TextIO,
    form: Literal["openai"] | ChatFormat,
    thread_id: str | None,
) -> Counter[str]:
    if form == "openai":
        return write_objects(owner, stream, thread_id=thread_id)
    return write_conversations(owner, stream, form, thread_id=thread_id)


def _tell(counts: Counter[str], output: str, *, without_contents: bool) -> None:
    console = Console(stderr=True, highlight=False)
    parts = [f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()]
    said = f"Written to {output}: {', '.join(parts) or 'nothing'}."
    if without_contents and counts["files"]:
        said += " The contents of files are not in it; export to a folder for them."
    console.print(Text(said), soft_wrap=True)
