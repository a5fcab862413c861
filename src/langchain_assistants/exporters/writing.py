"""Writes an export to a folder, a file or a stream; whole or not at all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from langchain_assistants.engine.tenant import TenantResources
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.exporters.conversations import ChatFormat, conversations
from langchain_assistants.exporters.objects import objects

Progress: TypeAlias = Callable[[int], None]
"""Is told how many objects are written."""


def write_folder(
    owner: TenantResources,
    folder: Path,
    *,
    thread_id: str | None = None,
    progress: Progress = lambda count: None,
) -> Counter[str]:
    """Write objects as JSON lines, a file for each kind, with the contents of files.

    Args:
        owner: Whose objects.
        folder: A new or an empty one.
        thread_id: Write this thread alone.
        progress: Is told how far it is.

    Returns:
        How many objects of each kind there are.

    Raises:
        ConfigurationError: There is something in the folder already, or it cannot be
            written.
        NotFoundError: There is no such thread.
        StorageError: The content of a file is missing.
    """
    counts: Counter[str] = Counter()
    with _refusing(folder), _new_folder(folder) as place, ExitStack() as stack:
        files: dict[str, TextIO] = {}
        for group, value in objects(owner, thread_id=thread_id):
            if group not in files:
                path = place / f"{group}.jsonl"
                files[group] = stack.enter_context(path.open("w", encoding="utf-8"))
            files[group].write(_line(value))
            counts[group] += 1
            if group == "files":
                contents = place / "files"
                contents.mkdir(exist_ok=True)
                owner.exports.content(value["id"], str(contents / value["id"]))
            progress(counts.total())
    return counts


def write_objects(
    owner: TenantResources,
    stream: TextIO,
    *,
    thread_id: str | None = None,
    progress: Progress = lambda count: None,
) -> Counter[str]:
    """Write objects as JSON lines, without the contents of files.

    Returns:
        How many objects of each kind there are.
    """
    counts: Counter[str] = Counter()
    for group, value in objects(owner, thread_id=thread_id):
        stream.write(_line(value))
        counts[group] += 1
        progress(counts.total())
    return counts


def write_conversations(
    owner: TenantResources,
    stream: TextIO,
    form: ChatFormat,
    *,
    thread_id: str | None = None,
) -> Counter[str]:
    """Write conversations, one thread a line.

    Returns:
        How many threads there are.
    """
    counts: Counter[str] = Counter()
    for piece in conversations(owner, form, thread_id=thread_id):
        stream.write(piece)
        counts["threads"] += piece.endswith("\n")
    return counts


@contextmanager
def new_file(path: Path) -> Iterator[TextIO]:
    """Open a file to write, which appears when all is written.

    Raises:
        ConfigurationError: It is there already, or cannot be written.
    """
    if path.exists():
        raise ConfigurationError(f"{path} is there already; name another file.")
    part = path.with_name(f"{path.name}.part")
    with _refusing(path):
        try:
            with part.open("w", encoding="utf-8") as file:
                yield file
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} is not empty; name another folder.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    yield folder


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}."
        ) from error


def _line(value: dict[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError:  # halves of surrogates, which are JSON as escapes only
        return json.dumps(value, separators=(",", ":")) + "\n"
    return text
