"""Command line: `python -m benchmarks [--short] [--only NAME] [--json PATH]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from benchmarks import (
    concurrency,
    durability,
    first_token,
    graph,
    growth,
    ingestion,
    lcel,
    startup,
    tools,
    turns,
)
from benchmarks.measure import Effort
from benchmarks.rows import Row
from benchmarks.table import NotUpdated, machine, save, show, update_readme

BENCHMARKS: dict[str, Callable[[Effort, Path], Iterator[Row]]] = {
    "turns": turns.rows,
    "growth": growth.rows,
    "graph": graph.rows,
    "lcel": lcel.rows,
    "tools": tools.rows,
    "concurrency": concurrency.rows,
    "durability": durability.rows,
    "startup": startup.rows,
    "first_token": first_token.rows,
    "ingestion": ingestion.rows,
}
RESULTS = Path(__file__).parent / "results.json"
README = Path(__file__).parents[1] / "README.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run benchmarks and report them; return the exit status."""
    options = _parser().parse_args(arguments)
    console = Console()
    if options.update_readme:
        return _update_readme(console)
    names = options.only or list(BENCHMARKS)
    on = machine()
    rows = list(_measured(names, Effort(short=options.short), console))
    show(rows, console)
    complete = set(names) == set(BENCHMARKS) and not options.short
    # Only a complete run replaces the one that the README's table is made of.
    path = options.json or (RESULTS if complete else None)
    if path is not None:
        save(rows, path, complete=complete, on=on)
        console.print(f"Saved as {path.name}.")
    return int(options.strict and any(row.met is False for row in rows))


def _measured(names: Sequence[str], effort: Effort, console: Console) -> Iterator[Row]:
    for name in names:
        with TemporaryDirectory() as folder, console.status(f"Measuring {name}"):
            yield from BENCHMARKS[name](effort, Path(folder))


def _update_readme(console: Console) -> int:
    try:
        update_readme(README, RESULTS)
    except NotUpdated as reason:
        console.print(str(reason))
        return 1
    console.print(f"{README.name} holds the table of {RESULTS.name}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare assistants with create_agent, side by side in one run.",
    )
    parser.add_argument(
        "--short", action="store_true", help="just long enough to see that all runs"
    )
    parser.add_argument(
        "--only", action="append", choices=list(BENCHMARKS), help="may be repeated"
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="PATH",
        help=f"where to save the rows; a complete run is saved as {RESULTS.name}",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 when a budget is missed"
    )
    parser.add_argument(
        "--update-readme",
        action="store_true",
        help="measure nothing: write the last complete run's table into the README",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
