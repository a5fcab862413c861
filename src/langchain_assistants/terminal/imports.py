"""The command `import`: how far it is, and what became of everything."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine.location import database_url
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.importers import Issue, Report, import_saved
from langchain_assistants.importers.report import Outcome
from langchain_assistants.terminal.model_map import model_map as pairs_of
from langchain_assistants.terminal.transcript import printable

_SHOWN = 20
_STYLES = {"repaired": "yellow", "refused": "bold red"}
_OUTCOMES: tuple[Outcome, ...] = ("taken", "unchanged", "repaired", "refused")


def take_in(
    path: str | None,
    *,
    from_openai: bool = False,
    database: str | None = None,
    tenant: str = "default",
    model_map: Sequence[str] = (),
    dry_run: bool = False,
    report: str | None = None,
) -> int:
    """Take in what was saved, or what lives on at OpenAI.

    Args:
        path: A folder, a zip archive or a file.
        from_openai: Whether to take files and vector stores from OpenAI instead.
        database: A SQLite file or a URL; None: the default engine's.
        tenant: Whose it is from then on.
        model_map: `name=other` pairs.
        dry_run: Whether to show what would happen, and to store nothing.
        report: A file for every issue.

    Returns:
        0, or 1 where something was refused.

    Raises:
        AssistantsError: There is nothing to take, or it cannot be stored.
    """
    if (path is None) != from_openai:
        raise ConfigurationError(
            "import needs either the PATH of what was saved, or --from-openai."
        )
    pairs = pairs_of(model_map)
    with (
        _downloaded() if from_openai else nullcontext((Path(path or ""), ())) as found,
        AssistantsEngine(database_url(database, Settings()), recover=False) as engine,
        _bar() as progress,
    ):
        folder, issues = found
        result = import_saved(
            engine,
            folder.expanduser(),
            tenant=tenant,
            model_map=pairs,
            dry_run=dry_run,
            report_file=None if report is None else Path(report).expanduser(),
            issues=issues,
            progress=progress,
        )
    _show(result, report)
    return 0 if result.complete else 1


@contextmanager
def _downloaded() -> Iterator[tuple[Path, Sequence[Issue]]]:
    """Save what lives on at OpenAI in a folder, which goes with the block."""
    from langchain_assistants.importers.from_openai import client, save

    with (
        tempfile.TemporaryDirectory(prefix="langchain-assistants-") as folder,
        client() as openai,
    ):
        yield Path(folder), save(openai, Path(folder))


class _Bar:
    """Shows one bar for each thing that is done, one after the other."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            name = printable(what) or "reading"
            self._tasks[what] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)


@contextmanager
def _bar() -> Iterator[_Bar]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield _Bar(progress)


def _show(report: Report, file: str | None) -> None:
    console = Console(highlight=False)
    table = Table("", *_OUTCOMES, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for kind in report.kinds:
        counts = [report.of(kind, outcome) for outcome in _OUTCOMES]
        if any(counts):
            cells = [f"{count:,}" if count else "" for count in counts]
            table.add_row(printable(kind) or "(unreadable)", *cells)
    console.print(table)
    for issue in report.issues[:_SHOWN]:
        console.print(_line(issue), soft_wrap=True)
    hidden = report.issue_count - _SHOWN
    if hidden > 0:
        where = f"{file} has them all" if file else "--report FILE writes them all"
        console.print(Text(f"... and {hidden:,} more; {where}.", "dim"))
    if report.dry_run:
        console.print(Text("This was a dry run: nothing was stored.", "bold"))


def _line(issue: Issue) -> Text:
    line = Text(issue.outcome, _STYLES[issue.outcome])
    line.append(f" {printable(issue.place)}", "bold")
    named = " ".join(filter(None, (issue.kind, issue.id)))
    line.append(f" {printable(named)}" if named else "", "")
    line.append(f": {printable(issue.why)}", "")
    return line
