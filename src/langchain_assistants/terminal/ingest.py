"""The command `ingest`: puts the files of a folder into a vector store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
)
from rich.text import Text

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine.location import database_url
from langchain_assistants.errors import ConfigurationError, FileTooLargeError
from langchain_assistants.terminal.transcript import printable
from langchain_assistants.types import VectorStore, VectorStoreFile
from langchain_assistants.types.vector_stores import VectorStoreFileCreate

_A_BATCH = 500
_LONGEST_ATTRIBUTE = 512


def ingest(
    folder: str,
    *,
    store: str,
    database: str | None = None,
    embeddings: str | None = None,
) -> int:
    """Index the files of a folder, hidden ones excepted, and show how far it is.

    Args:
        folder: The folder; those in it are looked through too.
        store: The name of a vector store: the newest of that name, or a new one.
        database: A SQLite file or a URL; None: the default engine's.
        embeddings: Makes vectors, as `openai:text-embedding-3-small`; None: words
            alone are compared.

    Returns:
        The exit code: 1 if a file could not be indexed.

    Raises:
        AssistantsError: The folder has no files, or the database cannot be used.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ConfigurationError(f"{printable(folder)} is not a folder.")
    paths = sorted(visible_files(root))
    if not paths:
        raise ConfigurationError(f"There are no files in {printable(folder)}.")
    console = Console(highlight=False)
    url = database_url(database, Settings())
    with AssistantsEngine(url, embeddings=embeddings, recover=False) as engine:
        target = _named(engine, store)
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            transient=True,
        ) as progress:
            failed = _indexed(engine, target, root, paths, progress)
        found = engine.vector_stores.retrieve(target.id)
    _report(console, found, len(paths), failed)
    return 1 if failed else 0


def visible_files(root: Path) -> Iterator[Path]:
    """Yield the files under a folder, but for what is hidden and links."""
    for path in root.iterdir():
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            yield from visible_files(path)
        elif path.is_file():
            yield path


def _named(engine: AssistantsEngine, name: str) -> VectorStore:
    for store in engine.vector_stores.list():
        if store.name == name and store.status != "expired":
            return store
    return engine.vector_stores.create(name=name)


def _indexed(
    engine: AssistantsEngine,
    store: VectorStore,
    root: Path,
    paths: Sequence[Path],
    progress: Progress,
) -> list[tuple[str, str]]:
    """Upload and index files; return the paths of those that failed, and why.

    Each replaces the one that was indexed from the same path before.
    """
    old = {
        file.attributes["path"]: file.id
        for file in engine.vector_stores.files.list(store.id, limit=100)
        if file.attributes and "path" in file.attributes
    }
    failed: list[tuple[str, str]] = []
    bar = progress.add_task("Indexing", total=len(paths))
    for begin in range(0, len(paths), _A_BATCH):
        uploaded: list[VectorStoreFileCreate] = []
        for path in paths[begin : begin + _A_BATCH]:
            name = str(path.relative_to(root))
            try:
                file = engine.files.create(file=path, purpose="assistants")
            except (FileTooLargeError, OSError) as error:
                failed.append((name, str(error)))
                progress.advance(bar)
                continue
            shown = printable(name)[-_LONGEST_ATTRIBUTE:]
            uploaded.append({"file_id": file.id, "attributes": {"path": shown}})
        for ended in _followed(engine, store, uploaded, progress, bar):
            assert ended.attributes is not None
            shown = str(ended.attributes["path"])
            if ended.last_error is not None:
                failed.append((shown, ended.last_error.message))
            outdated = old.get(shown) if ended.last_error is None else ended.id
            if outdated is not None:
                engine.files.delete(outdated)
    return failed


def _followed(
    engine: AssistantsEngine,
    store: VectorStore,
    files: list[VectorStoreFileCreate],
    progress: Progress,
    bar: TaskID,
) -> Iterator[VectorStoreFile]:
    """Index files together, and yield each as soon as it has ended."""
    if not files:
        return
    batches = engine.vector_stores.file_batches
    batch = batches.create(store.id, files=files)
    for event in batches.follow(store.id, batch.id):
        if isinstance(event.data, VectorStoreFile):
            progress.advance(bar)
            yield event.data


def _report(
    console: Console, store: VectorStore, count: int, failed: list[tuple[str, str]]
) -> None:
    for name, message in failed:
        line = Text.assemble((printable(name), "bold"), ": ", printable(message))
        console.print(line, soft_wrap=True)
    total, used = store.file_counts.completed, store.usage_bytes
    console.print(
        Text(
            f"{count - len(failed)} of {count} files are indexed in {store.id}, which "
            f"now holds {total} ({used:,} bytes)."
        ),
        soft_wrap=True,
    )
