"""How results are shown and kept: a table on screen, JSON, the README's table."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.baselines import LEGEND
from benchmarks.rows import Budget, Row

HEADINGS = ("What", "langchain-assistants", "Baseline", "Ratio", "Budget", "Verdict")
_RULES = ("---", "--:", "--:", "--:", "--:", "---")

_PACKAGES = ("langchain", "langchain-core", "langgraph", "langgraph-checkpoint-sqlite")
_STYLES = {"ok": "green", "MISSED": "bold red", "": ""}


class NotUpdated(Exception):
    """Report why the README's table was left as it is."""


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the rows, one section for each benchmark, and what was missed."""
    table = Table(*HEADINGS)
    for heading in table.columns[1:5]:
        heading.justify = "right"
    for _, section in groupby(rows, key=lambda row: row.benchmark):
        for row in section:
            *cells, verdict = row.cells()
            style = _STYLES[verdict]
            table.add_row(*cells, f"[{style}]{verdict}[/]" if style else verdict)
        table.add_section()
    console.print(table)
    missed = [row.what for row in rows if row.met is False]
    judged = sum(row.met is not None for row in rows)
    console.print(LEGEND)
    console.print(f"{judged - len(missed)} of {judged} budgets are kept.")


def machine() -> dict[str, Any]:
    """Describe what the figures depend on besides the code."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in _PACKAGES},
    }


def save(
    rows: Iterable[Row], path: Path, *, complete: bool, on: dict[str, Any]
) -> None:
    """Write rows as JSON.

    Args:
        rows: The rows.
        path: The file.
        complete: Whether every benchmark was run at full length.
        on: The machine, as it was when the run began.
    """
    results = {
        "complete": complete,
        "machine": on,
        "rows": [
            {**asdict(row), "ratio": row.ratio, "verdict": row.verdict} for row in rows
        ],
    }
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def update_page(page: Page, results: Path) -> None:
    """Write the table of a full run between a page's two markers.

    Raises:
        NotUpdated: There is no full run with rows for the page, or the page has not
            got the markers.
    """
    if not results.exists():
        msg = f"There is no {results.name}; run `python -m benchmarks` first."
        raise NotUpdated(msg)
    run = json.loads(results.read_text(encoding="utf-8"))
    if not run["complete"]:
        msg = f"{results.name} is of a part of the benchmarks or of a short run."
        raise NotUpdated(msg)
    rows = [_row(entry) for entry in run["rows"]]
    if not any(row.benchmark in page.benchmarks for row in rows):
        msg = f"{results.name} has no rows for {page.path.name}."
        raise NotUpdated(msg)
    page.write(rows, run["machine"])


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the documentation with a table of some benchmarks.

    Attributes:
        path: The page.
        name: What its markers are called.
        benchmarks: Those whose rows it shows.
        every: Whether it shows every row, or those that stand for a benchmark.
        note: Stands below the table.
    """

    path: Path
    name: str
    benchmarks: frozenset[str]
    every: bool
    note: str

    def write(self, rows: Iterable[Row], on: dict[str, Any]) -> None:
        """Write the page's rows between its markers.

        Raises:
            NotUpdated: The page has not got the markers.
        """
        begin_line, end_line = (
            f"<!-- {self.name}:{word} -->" for word in ("begin", "end")
        )
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        before, begin, rest = text.partition(begin_line)
        _, end, after = rest.partition(end_line)
        if not begin or not end:
            msg = f"{self.path.name} needs the lines {begin_line} and {end_line}."
            raise NotUpdated(msg)
        table = self._markdown(rows, on)
        written = f"{before}{begin}\n{table}\n{end}{after}"
        self.path.write_text(written, encoding="utf-8")

    def _markdown(self, rows: Iterable[Row], on: dict[str, Any]) -> str:
        own = [row for row in rows if row.benchmark in self.benchmarks]
        shown = own if self.every else headlines(own)
        columns = [
            at for at, _ in enumerate(HEADINGS) if any(row.cells()[at] for row in shown)
        ]
        lines = [
            _line(HEADINGS, columns),
            "|" + "|".join(_RULES[at] for at in columns) + "|",
            *(_line(row.cells(), columns) for row in shown),
        ]
        packages = ", ".join(f"{name} {on[name]}" for name in _PACKAGES)
        machine = (
            f"{on['date']}: {on['cores']} cores, load {on['load']} at its "
            f"start, Python {on['python']}, SQLite {on['sqlite']}, {packages}."
        )
        judged = [row.met for row in own if row.met is not None]
        note = self.note.format(machine=machine, kept=sum(judged), judged=len(judged))
        return "\n".join([*lines, "", note])


def headlines(rows: Iterable[Row]) -> list[Row]:
    """Return the first row of each benchmark that has a budget, and those marked."""
    seen: set[str] = set()
    chosen = []
    for row in rows:
        if row.headline or (row.budget and row.benchmark not in seen):
            chosen.append(row)
        if row.budget:
            seen.add(row.benchmark)
    return chosen


def _line(cells: Sequence[str], columns: Sequence[int]) -> str:
    return "| " + " | ".join(cells[at] for at in columns) + " |"


def _row(entry: dict[str, Any]) -> Row:
    fields = {name: entry[name] for name in Row.__dataclass_fields__}
    if fields["budget"] is not None:
        fields["budget"] = Budget(**fields["budget"])
    return Row(**fields)
