"""The doctor: looks over a database and what works with it, and mends what it may.

It mends only what is safe beside engines that are open: it ends runs whose lease and
deadline are over, deletes rows and contents that belong to nothing, and empties the
log.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import anyio.to_thread

from langchain_assistants.engine.diagnosis import Diagnosis, Finding
from langchain_assistants.engine.file_audit import (
    contents_without_file,
    files_without_content,
)
from langchain_assistants.engine.location import IN_MEMORY
from langchain_assistants.engine.stray_rows import delete_some_stray_rows, stray_rows
from langchain_assistants.engine.stuck_runs import (
    StuckRuns,
    end_stuck_runs,
    stuck_runs,
    tools_needed,
)
from langchain_assistants.errors import StorageError
from langchain_assistants.interpreters.base import InterpreterProvider
from langchain_assistants.settings import Settings
from langchain_assistants.storage.blobs import Blobs
from langchain_assistants.storage.database import Database, Row
from langchain_assistants.storage.inspection import (
    IS_TOO_OLD,
    OLDEST_SQLITE,
    SQLITE_VERSION,
    SQLiteFile,
)
from langchain_assistants.storage.schema import HEAD, newer_schema, revision_of
from langchain_assistants.storage.sqlite import SQLiteDatabase

_PACKAGES = (
    "langchain-assistants",
    "langchain",
    "langchain-core",
    "langgraph",
    "openai",
)
_LARGE_LOG = 64 * 2**20
_LITTLE_SPACE = 256 * 2**20
_SHOWN_IDS = 3
_REPAIR = "Mend it with `langchain-assistants doctor --repair`."


async def examine(
    path: str,
    settings: Settings,
    now: float,
    *,
    repair: bool = False,
    in_memory: Database | None = None,
    blobs: Blobs | None = None,
    interpreter: InterpreterProvider | None = None,
) -> Diagnosis:
    """Look over a database; whatever is wrong with it is a finding, no exception.

    Args:
        path: Its file, or ":memory:".
        settings: Those that an engine on it would have.
        now: The time by the engines' clock.
        repair: Whether to mend what can be mended safely.
        in_memory: The database itself, where it has no file.
        blobs: The contents of files; None: those beside the database's file.
        interpreter: A provider to try; it stays the caller's.
    """
    findings = [*_software(), *_settings(settings)]
    if interpreter is not None:
        findings.append(await anyio.to_thread.run_sync(_tried, interpreter))
    if in_memory is not None:
        findings += await _rows(
            in_memory, blobs or Blobs(None), settings.lease, now, repair
        )
        return Diagnosis(IN_MEMORY, tuple(findings))
    file = SQLiteFile(path, busy_timeout=settings.busy_timeout)
    found = await anyio.to_thread.run_sync(lambda: list(_file(file, repair)))
    findings += found
    if any(one.subject == "schema" and one.level == "ok" for one in found):
        blobs = blobs or Blobs.beside(path)
        findings += await _rows_of_file(path, blobs, settings, now, repair)
    return Diagnosis(path, tuple(findings))


def _software() -> Iterator[Finding]:
    versions = [f"Python {platform.python_version()}"]
    versions.append(f"SQLite {SQLITE_VERSION}")
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"no {package}")
    yield Finding("ok", "software", ", ".join(versions))
    if IS_TOO_OLD:
        yield Finding(
            "problem",
            "software",
            f"This Python's SQLite is older than {OLDEST_SQLITE}.",
            advice="Use a Python that was built with a newer SQLite.",
        )


def _tried(interpreter: InterpreterProvider) -> Finding:
    """Try a provider as a run would; the local one is attacked by its self-test."""
    problems = interpreter.check()
    if not problems:
        return Finding("ok", "interpreter", f"{interpreter!r} works")
    return Finding(
        "notice",
        "interpreter",
        f"'{interpreter.name}' does not work here: {' '.join(problems)}",
        advice="Assistants without the code interpreter do not need it.",
    )


def _settings(settings: Settings) -> Iterator[Finding]:
    ttl = settings.thread_ttl
    kept = "for ever" if ttl is None else f"for {ttl:g} s after their last use"
    yield Finding(
        "ok",
        "settings",
        f"synchronous {settings.synchronous}, lease {settings.lease:g} s, deadline of "
        f"a run {settings.expires_after:g} s, threads are kept {kept}",
    )
    if settings.synchronous == "OFF":
        yield Finding(
            "notice",
            "settings",
            "With synchronous OFF a power cut may damage the database.",
            advice="Leave Settings.synchronous at NORMAL, or back up often.",
        )
    if settings.keep_checkpoints:
        yield Finding(
            "notice",
            "settings",
            "Every checkpoint of every run is kept: the database grows with each step.",
            advice="Set Settings.keep_checkpoints while you look into runs only.",
        )


def _file(file: SQLiteFile, repair: bool) -> Iterator[Finding]:
    """Look at the file; the schema is found well only if its rows can be read."""
    if not file.path.exists():
        yield Finding(
            "notice", "file", f"{file.path} is not there; the first engine makes it."
        )
        return
    try:
        yield Finding("ok", "file", f"{file.path}, {_bytes(file.size)}")
        revision = revision_of(str(file.path))
        damage = file.damage()
    except (StorageError, OSError) as error:
        yield Finding("problem", "file", str(error))
        return
    if damage:
        yield Finding(
            "problem",
            "file",
            f"{file.path} is damaged: {'; '.join(damage)}.",
            advice="Nothing is mended in it. Keep it, and go on with a backup.",
        )
        return
    yield _writable(file)
    yield from _log(file, repair)
    yield from _disk(file.path.parent)
    yield _schema(revision, str(file.path))


def _writable(file: SQLiteFile) -> Finding:
    try:
        file.check_writable()
    except StorageError as error:
        return Finding("problem", "file", str(error))
    return Finding("ok", "file", "It is sound, and can be written.")


def _log(file: SQLiteFile, repair: bool) -> Iterator[Finding]:
    size = file.log_size
    if repair and size:
        try:
            emptied = file.empty_log()
        except StorageError as error:
            yield Finding("problem", "log", str(error))
            return
        if emptied:
            said = f"The log of {_bytes(size)} was moved into the file."
            yield Finding("ok", "log", said, repaired=True)
            return
    if size < _LARGE_LOG:
        yield Finding("ok", "log", f"The log beside the file has {_bytes(size)}.")
        return
    yield Finding(
        "notice",
        "log",
        f"The log beside the file has {_bytes(size)}: somebody has been reading an "
        "old state for long, or the disk was full.",
        advice=f"End what reads it, such as a long backup. {_REPAIR}",
    )


def _disk(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    if free < _LITTLE_SPACE:
        yield Finding(
            "notice",
            "disk",
            f"Only {_bytes(free)} are free on the disk of {folder}.",
            advice="Free some space; runs wait in the queue while there is none.",
        )


def _schema(revision: str | None, path: str) -> Finding:
    if revision == HEAD:
        return Finding("ok", "schema", f"Revision {revision}, that of this version.")
    if revision is not None and revision > HEAD:
        return Finding("problem", "schema", str(newer_schema(path)))
    known = "It has no tables yet" if revision is None else f"Revision {revision}"
    return Finding("notice", "schema", f"{known}; the next engine brings it to {HEAD}.")


async def _rows_of_file(
    path: str, blobs: Blobs, settings: Settings, now: float, repair: bool
) -> list[Finding]:
    try:
        database = SQLiteDatabase(path, busy_timeout=settings.busy_timeout)
    except StorageError as error:
        return [Finding("problem", "file", str(error))]
    try:
        return await _rows(database, blobs, settings.lease, now, repair)
    finally:
        database.close()


async def _rows(
    database: Database, blobs: Blobs, lease: float, now: float, repair: bool
) -> list[Finding]:
    findings: list[Finding] = []
    try:
        findings += await _runs(database, lease, now, repair)
        findings += await _stray(database, now, repair)
        findings += await _contents(database, blobs, repair)
    except StorageError as error:
        findings.append(Finding("problem", "rows", str(error)))
    return findings


async def _runs(
    database: Database, lease: float, now: float, repair: bool
) -> list[Finding]:
    found = await database.read(stuck_runs(now, lease))
    findings = [*_abandoned(found)]
    over = found.over + found.in_vain
    if over:
        if repair:
            await database.write(end_stuck_runs(now, lease))
        findings.append(
            Finding(
                "ok" if repair else "problem",
                "runs",
                f"{_count(over, 'run')} held or waited for a thread that nobody frees"
                + ("; the threads are free again." if repair else "."),
                _ids(over),
                "" if repair else _REPAIR,
                repair,
            )
        )
    return findings or [Finding("ok", "runs", "No run is stuck.")]


def _abandoned(found: StuckRuns) -> Iterator[Finding]:
    if not found.abandoned:
        return
    tools = tools_needed(found.abandoned)
    needed = f" that has the tools {', '.join(tools)}" if tools else ""
    yield Finding(
        "notice",
        "runs",
        f"The process of {_count(found.abandoned, 'run')} died, and no other has taken "
        "over yet.",
        _ids(found.abandoned),
        f"Open an AssistantsEngine on this database{needed}; else their deadline ends "
        "them.",
    )


async def _stray(database: Database, now: float, repair: bool) -> list[Finding]:
    found = await database.read(stray_rows(now))
    if not found:
        return [Finding("ok", "rows", "Every row belongs to something.")]
    counts = ", ".join(f"{kind.rows} of {kind.table}" for kind in found)
    ids = tuple(dict.fromkeys(id for kind in found for id in kind.ids))
    if not repair:
        said = f"Some rows belong to nothing, or to no run that goes on: {counts}."
        return [Finding("problem", "rows", said, ids, _REPAIR)]
    while await database.write(delete_some_stray_rows(now)):
        pass
    said = f"Rows that belonged to nothing were deleted: {counts}."
    return [Finding("ok", "rows", said, ids, repaired=True)]


async def _contents(database: Database, blobs: Blobs, repair: bool) -> list[Finding]:
    findings = []
    missing = await files_without_content(database, blobs)
    if missing:
        findings.append(
            Finding(
                "problem",
                "contents",
                f"The contents of {len(missing)} files are missing on the disk.",
                tuple(missing[:_SHOWN_IDS]),
                "Restore their folder from a backup, or delete the files.",
            )
        )
    orphans = await contents_without_file(database, blobs)
    if orphans:
        if repair:
            await anyio.to_thread.run_sync(blobs.discard, orphans)
        findings.append(
            Finding(
                "ok" if repair else "problem",
                "contents",
                f"{len(orphans)} contents belonged to no file and were deleted."
                if repair
                else f"{len(orphans)} contents on the disk belong to no file.",
                tuple(orphans[:_SHOWN_IDS]),
                "" if repair else _REPAIR,
                repair,
            )
        )
    return findings or [Finding("ok", "contents", "Every file has its content.")]


def _ids(rows: list[Row]) -> tuple[str, ...]:
    return tuple(row["id"] for row in rows[:_SHOWN_IDS])


def _count(rows: list[Row], noun: str) -> str:
    return f"{len(rows)} {noun}{'s' if len(rows) > 1 else ''}"


def _bytes(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
