"""How results are shown and kept: a table on screen, JSON, the README's table."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict
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
BEGIN = "<!-- benchmarks:begin -->"
END = "<!-- benchmarks:end -->"

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


def update_readme(readme: Path, results: Path) -> None:
    """Write the table of a full run between the README's two markers.

    Raises:
        NotUpdated: There is no full run, or the README has not got the markers.
    """
    if not results.exists():
        msg = f"There is no {results.name}; run `python -m benchmarks` first."
        raise NotUpdated(msg)
    run = json.loads(results.read_text(encoding="utf-8"))
    if not run["complete"]:
        msg = f"{results.name} is of a part of the benchmarks or of a short run."
        raise NotUpdated(msg)
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        msg = f"{readme.name} needs the lines {BEGIN} and {END}."
        raise NotUpdated(msg)
    table = markdown([_row(entry) for entry in run["rows"]], run["machine"])
    readme.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


def markdown(rows: Iterable[Row], on: dict[str, Any]) -> str:
    """Return the rows that are meant for the README as a Markdown table."""
    lines = [
        "| " + " | ".join(HEADINGS) + " |",
        "|---|--:|--:|--:|--:|---|",
        *(
            "| " + " | ".join(row.cells()) + " |"
            for row in rows
            if row.budget or row.headline
        ),
    ]
    packages = ", ".join(f"{name} {on[name]}" for name in _PACKAGES)
    note = (
        f"Medians (of cold processes the best) of one interleaved run on {on['date']}: "
        f"{on['cores']} cores, load {on['load']} at its start, "
        f"Python {on['python']}, SQLite {on['sqlite']}, {packages}. "
        "The model answers at once unless a row says otherwise, so this is overhead "
        "only; `make bench` repeats it. "
        f"{LEGEND}"
    )
    return "\n".join([*lines, "", note])


def _row(entry: dict[str, Any]) -> Row:
    fields = {name: entry[name] for name in Row.__dataclass_fields__}
    if fields["budget"] is not None:
        fields["budget"] = Budget(**fields["budget"])
    return Row(**fields)
