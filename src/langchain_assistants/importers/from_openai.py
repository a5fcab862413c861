"""Saves what lives on at OpenAI, files and vector stores, as a folder to take in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.importers.report import Issue

if TYPE_CHECKING:
    from openai import OpenAI

SOURCE = "OpenAI"


@contextmanager
def client() -> Iterator[OpenAI]:
    """Return OpenAI's client, with its key and address from the environment.

    Raises:
        ConfigurationError: It is not installed, there is no key, or OpenAI cannot be
            reached or refuses.
    """
    try:
        from openai import OpenAI, OpenAIError
    except ImportError as error:
        raise ConfigurationError(
            "--from-openai needs the package openai:\n"
            '  pip install "langchain-assistants[openai]"'
        ) from error
    try:
        with OpenAI() as opened:
            yield opened
    except OpenAIError as error:
        raise ConfigurationError(f"OpenAI: {error}") from error


def save(openai: OpenAI, folder: Path) -> list[Issue]:
    """Save all files with their contents, and all vector stores.

    What was uploaded for assistants cannot be downloaded: of a file in a vector store
    the text that OpenAI read from it is saved in its place, under its id.

    Args:
        openai: The client.
        folder: An empty folder.

    Returns:
        What could not be saved as it is.
    """
    issues: list[Issue] = []
    stores_of: dict[str, str] = {}
    with (folder / "vector_stores.jsonl").open("w", encoding="utf-8") as lines:
        for store in openai.vector_stores.list(order="asc", limit=100):
            _write(lines, store)
            for attached in openai.vector_stores.files.list(
                store.id, order="asc", limit=100
            ):
                _write(lines, attached)
                if attached.status == "completed":
                    stores_of.setdefault(attached.id, store.id)
    contents = folder / "files"
    contents.mkdir()
    with (folder / "files.jsonl").open("w", encoding="utf-8") as lines:
        for file in openai.files.list(order="asc"):
            fields = _fields(file)
            name = contents / Path(file.id).name
            if not _download(openai, file.id, name):
                store_id = stores_of.get(file.id)
                if store_id is None:
                    issues.append(_issue("refused", file.id, _NO_DOWNLOAD))
                    continue
                size = _save_text(openai, file.id, store_id, name)
                fields |= {"bytes": size, "filename": f"{file.filename}.txt"}
                issues.append(_issue("repaired", file.id, _TEXT_ONLY))
            lines.write(json.dumps(fields) + "\n")
    return issues


_NO_DOWNLOAD = "OpenAI does not let it be downloaded, and no vector store has its text"
_TEXT_ONLY = (
    "OpenAI does not let it be downloaded: the text is taken that was read from it "
    "for a vector store, and .txt is added to its name"
)


def _download(openai: OpenAI, file_id: str, path: Path) -> bool:
    """Save the content of a file; false: that is not allowed."""
    from openai import BadRequestError, NotFoundError, PermissionDeniedError

    try:
        with openai.files.with_streaming_response.content(file_id) as answer:
            answer.stream_to_file(path)
    except (BadRequestError, NotFoundError, PermissionDeniedError):
        return False
    return True


def _save_text(openai: OpenAI, file_id: str, store_id: str, path: Path) -> int:
    """Save the text that was read from a file; return its size."""
    with path.open("wb") as target:
        return sum(
            target.write((piece.text or "").encode())
            for piece in openai.vector_stores.files.content(
                file_id, vector_store_id=store_id
            )
        )


def _issue(outcome: Any, file_id: str, why: str) -> Issue:
    return Issue(outcome, SOURCE, 0, "file", file_id, why)


def _write(lines: TextIO, item: Any) -> None:
    lines.write(json.dumps(_fields(item)) + "\n")


def _fields(item: Any) -> dict[str, Any]:
    fields: dict[str, Any] = item.to_dict(mode="json")
    return fields
