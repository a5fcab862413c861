"""Takes what was found into an engine, in batches, and tells what became of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

from langchain_assistants.engine.import_outcomes import Imported, Outcome
from langchain_assistants.engine.imports import Imports
from langchain_assistants.importers.contents import Contents
from langchain_assistants.importers.records import KINDS
from langchain_assistants.importers.report import SHOWN, Issue, Report
from langchain_assistants.importers.sources import UNREADABLE, Entry, Source
from langchain_assistants.importers.staging import Staged, Staging

BATCH = 500
"""Objects of one transaction."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Is told what is done, how much of it, and how much there is."""


class Telling:
    """Keeps issues and counts as they come up."""

    def __init__(self, staging: Staging, report: Report) -> None:
        """Begin with what the report has."""
        self._staging = staging
        self.report = report

    def issue(self, issue: Issue) -> None:
        """Keep an issue."""
        self._staging.tell(issue)

    def refused(self, found: Staged, why: str) -> None:
        """Tell of an object that was not taken."""
        self.report.count(found.kind, "refused")
        self.issue(
            Issue("refused", found.source, found.line, found.kind, found.id, why)
        )

    def outcome(self, found: Staged, outcome: Outcome) -> None:
        """Tell what became of an object."""
        if outcome.refusal is not None:
            self.refused(found, outcome.refusal)
            return
        if not outcome.taken:
            self.report.count(found.kind, "unchanged")
            return
        self.report.count(found.kind, "taken")
        why = "; ".join(filter(None, (found.repairs, outcome.repair)))
        if why:
            self.report.count(found.kind, "repaired")
            self.issue(
                Issue("repaired", found.source, found.line, found.kind, found.id, why)
            )

    def forget(self, source: str) -> None:
        """Drop what was told of a file that holds no objects after all."""
        for kind, number in self._staging.forget_issues_of(source):
            self.report.count(kind, "refused", -number)

    def finish(self) -> None:
        """Put the first issues into the report."""
        for issue in self._staging.issues():
            self.report.issue_count += 1
            if len(self.report.issues) < SHOWN:
                self.report.issues.append(issue)


class Writer:
    """Takes the records of a staging into an engine.

    Args:
        imports: Where they go to.
        staging: Where they are.
        source: Where the contents of files lie.
        telling: Is told what became of each.
        contents: Whether to keep the contents of files.
    """

    def __init__(
        self,
        imports: Imports,
        staging: Staging,
        source: Source,
        telling: Telling,
        *,
        contents: bool = True,
    ) -> None:
        """Take nothing yet."""
        self._imports = imports
        self._staging = staging
        self._source = source
        self._telling = telling
        self._keep = contents
        self._step_of_run: tuple[str, int | None] = ("", None)

    def write(self, progress: Progress) -> None:
        """Take everything: what is named comes before what names it."""
        for kind in KINDS:
            total, done = self._staging.count(kind), 0
            for batch in _batches(self._staging.in_order(kind)):
                if kind == "file":
                    self._write_files(batch)
                else:
                    self._write(batch)
                done += len(batch)
                progress(kind, done, total)

    def _write(self, batch: list[Staged]) -> None:
        outcomes = self._imports.take([self._imported(found) for found in batch])
        places: list[tuple[int, int]] = []
        for found, outcome in zip(batch, outcomes, strict=True):
            self._telling.outcome(found, outcome)
            if outcome.place is not None:
                places.append((outcome.place, found.number))
        self._staging.place(places)

    def _imported(self, found: Staged) -> Imported:
        body, place = json.loads(found.json), None
        if found.kind == "thread.run":
            place = self._staging.cursor_of(found)
        elif found.kind == "thread.run.step":
            place = self._place_of_step(found.parent, body["step_details"])
        return Imported(found.kind, found.id, found.parent, body, place)

    def _place_of_step(self, run_id: str, details: Mapping[str, Any]) -> int | None:
        """Return the place of the message that a step wrote, or was made behind."""
        if self._step_of_run[0] != run_id:
            self._step_of_run = (run_id, None)
        if details["type"] == "message_creation":
            message_id = details["message_creation"]["message_id"]
            place = self._staging.place_of(message_id)
            if place is not None:
                self._step_of_run = (run_id, place)
        return self._step_of_run[1]

    def _write_files(self, batch: Iterable[Staged]) -> None:
        contents = Contents(self._source.entries)
        for found in batch:
            item = self._imported(found)
            entry = self._content_of(contents, item, found.source)
            if entry is None:
                self._telling.refused(
                    found,
                    "its content is not there: put it beside it, under its id or name",
                )
                continue
            try:
                with self._source.open(entry) as content:
                    outcome = self._imports.take_file(item, content, store=self._keep)
            except UNREADABLE as error:
                why = f"its content {entry.name} cannot be read: {error}"
                self._telling.refused(found, why)
                continue
            self._telling.outcome(found, outcome)
            self._telling.forget(entry.name)

    def _content_of(
        self, contents: Contents, file: Imported, source: str
    ) -> Entry | None:
        for entry in contents.of(file):
            if entry.name != source and not self._staging.has_records_of(entry.name):
                return entry
        return None


def _batches(found: Iterator[Staged]) -> Iterator[list[Staged]]:
    while batch := list(islice(found, BATCH)):
        yield batch
