"""Finds the content of a file among what was saved beside its object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from langchain_assistants.engine.import_outcomes import Imported
from langchain_assistants.importers.sources import Entry

_FILE_ID = re.compile(r"file-[A-Za-z0-9]+")


class Contents:
    """The files of a source, by the id in their name or folder and by their name.

    A content is named by the file's id, with anything behind it (`file-abc`,
    `file-abc.png`, `file-abc_report.pdf`), lies in a folder of that name, or has the
    file's own name and size.

    Args:
        entries: The files.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Look at the names."""
        self._by_id: dict[str, list[Entry]] = {}
        self._by_name: dict[str, list[Entry]] = {}
        for entry in entries:
            self._by_name.setdefault(entry.base, []).append(entry)
            for file_id in _ids_in(entry):
                self._by_id.setdefault(file_id, []).append(entry)

    def of(self, file: Imported) -> Iterator[Entry]:
        """Yield what may be the content of a file, the likeliest first."""
        size = file.body["bytes"]
        named = self._by_id.get(file.id, [])
        yield from sorted(named, key=lambda e: (e.is_document, e.size != size, e.name))
        for entry in self._by_name.get(file.body["filename"], []):
            if entry.size == size:
                yield entry


def _ids_in(entry: Entry) -> set[str]:
    path = PurePosixPath(entry.name)
    found = (_FILE_ID.match(part) for part in (path.name, path.parent.name))
    return {match[0] for match in found if match}
