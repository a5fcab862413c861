"""Takes saved data into an engine: finds it, puts it in order, writes it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from langchain_assistants.engine.engine import AssistantsEngine
from langchain_assistants.engine.imports import Imports
from langchain_assistants.engine.workplace import DEFAULT_TENANT
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.importers.json_stream import Fault, Found, find_objects
from langchain_assistants.importers.records import Refused, is_object, to_records
from langchain_assistants.importers.report import Issue, Report, write_issues
from langchain_assistants.importers.sources import (
    UNREADABLE,
    Entry,
    Source,
    as_text,
    open_source,
)
from langchain_assistants.importers.staging import Staging
from langchain_assistants.importers.writer import Progress, Telling, Writer

_SOMETIMES = 500
_KIND = re.compile(r"[a-z._-]{1,60}")
_ID = re.compile(r"[A-Za-z]+[_-][A-Za-z0-9_-]{1,80}")


def import_saved(
    engine: AssistantsEngine,
    path: Path,
    *,
    tenant: str = DEFAULT_TENANT,
    model_map: Mapping[str, str] | None = None,
    dry_run: bool = False,
    report_file: Path | None = None,
    issues: Sequence[Issue] = (),
    progress: Progress = lambda what, done, total: None,
) -> Report:
    """Take in what was saved of the Assistants API.

    Objects are recognised by their `object` field, in JSON files of any shape: single
    objects, list pages, JSON lines, arrays, whatever is around them. Ids and times
    are kept. A second import of the same changes nothing; where an id is there with
    other content, that stays. Memory does not grow with what is read.

    Args:
        engine: Where it goes to.
        path: A folder, a zip archive, or a file.
        tenant: Whose it is from then on.
        model_map: New names for the models of assistants.
        dry_run: Whether to work on a copy of the database, to see what would happen.
        report_file: Where to write all issues, as JSON lines.
        issues: What is to be reported besides.
        progress: Is told how far it is.

    Raises:
        ConfigurationError: There is nothing at the path, or the report cannot be
            written.
        StorageError: The database cannot be written; what was taken so far stays.

    Example:
        >>> import_saved(engine, Path("saved.zip")).of("thread", "taken")
        ... # doctest: +SKIP
        10
    """
    report = Report(dry_run=dry_run)
    with open_source(path) as source, Staging() as staging:
        telling = Telling(staging, report)
        for issue in issues:
            report.count(issue.kind, issue.outcome)
            telling.issue(issue)
        for name, why in source.unreadable:
            report.count("", "refused")
            telling.issue(Issue("refused", name, 0, "", "", why))
        _read(source, staging, telling, model_map or {}, progress)
        staging.put_in_order()
        with _destination(engine, tenant, dry_run=dry_run) as imports:
            writer = Writer(imports, staging, source, telling, contents=not dry_run)
            writer.write(progress)
        telling.finish()
        if report_file is not None:
            try:
                write_issues(staging.issues(), report_file)
            except OSError as error:
                raise ConfigurationError(
                    f"The report {report_file} cannot be written: {error.strerror}. "
                    "The import itself is done."
                ) from error
    return report


@contextmanager
def _destination(
    engine: AssistantsEngine, tenant: str, *, dry_run: bool
) -> Iterator[Imports]:
    """Return where objects go to; in a dry run a copy, which is thrown away."""
    if not dry_run:
        yield engine.for_tenant(tenant).imports
        return
    with tempfile.TemporaryDirectory(prefix="langchain-assistants-") as folder:
        copy = engine.backup(Path(folder, "copy.db"))
        url = f"sqlite:///{copy}"
        with AssistantsEngine(url, settings=engine.settings, recover=False) as scratch:
            yield scratch.for_tenant(tenant).imports


def _read(
    source: Source,
    staging: Staging,
    telling: Telling,
    model_map: Mapping[str, str],
    progress: Progress,
) -> None:
    documents = source.documents
    total, before = sum(entry.size for entry in documents), 0
    for entry in documents:
        try:
            with source.open(entry) as file, as_text(file) as text:
                for number, found in enumerate(find_objects(text, is_object)):
                    _keep(found, entry, staging, telling, model_map)
                    if number % _SOMETIMES == 0:
                        progress("", before + file.tell(), total)
        except UNREADABLE as error:
            _tell_fault(Fault(0, f"it cannot be read: {error}"), entry, telling)
        before += entry.size
        progress("", before, total)


def _keep(
    found: Found | Fault,
    entry: Entry,
    staging: Staging,
    telling: Telling,
    model_map: Mapping[str, str],
) -> None:
    if isinstance(found, Fault):
        _tell_fault(found, entry, telling)
        return
    kind = _if_named(_KIND, found.value["object"])
    object_id = _if_named(_ID, found.value.get("id"))
    try:
        for record in to_records(found.value, model_map, plain=found.plain):
            first = staging.add(record, entry.name, found.line, listed=found.listed)
            if first is None:
                continue
            if first.json == record.json:
                telling.report.count(record.kind, "unchanged")
            else:
                where = f"{first.source}:{first.line}"
                raise Refused(f"its id has other content in {where}, which counts")
    except Refused as refusal:
        telling.report.count(kind, "refused")
        telling.issue(
            Issue("refused", entry.name, found.line, kind, object_id, str(refusal))
        )


def _tell_fault(fault: Fault, entry: Entry, telling: Telling) -> None:
    telling.report.count("", "refused")
    telling.issue(Issue("refused", entry.name, fault.line, "", "", fault.why))


def _if_named(pattern: re.Pattern[str], given: object) -> str:
    """Return a name that may be shown, or nothing: it may be anything in there."""
    return given if isinstance(given, str) and pattern.fullmatch(given) else ""
