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
    continuity,
    durability,
    file_search,
    first_token,
    graph,
    growth,
    ingestion,
    interpreter,
    lcel,
    retrieval_quality,
    startup,
    tools,
    turns,
    wire,
)
from benchmarks.baselines import LEGEND
from benchmarks.measure import Effort
from benchmarks.rows import Row
from benchmarks.table import NotUpdated, Page, machine, save, show, update_page

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
    "wire": wire.rows,
    "interpreter": interpreter.rows,
    "file_search": file_search.rows,
    "retrieval_quality": retrieval_quality.rows,
    "continuity": continuity.rows,
}
RESULTS = Path(__file__).parent / "results.json"
_ROOT = Path(__file__).parents[1]
_EVERY = frozenset(BENCHMARKS)
PAGES = (
    Page(
        _ROOT / "README.md",
        "benchmarks",
        _EVERY,
        every=False,
        note="{kept} of {judged} budgets are kept; [every row](docs/benchmarks.md), "
        "measured in one run on {machine}",
    ),
    Page(
        _ROOT / "docs" / "benchmarks.md",
        "benchmarks",
        _EVERY,
        every=True,
        note="Medians (of cold processes the best) of one interleaved run on {machine} "
        "The model answers at once unless a row says otherwise, so this is overhead "
        f"only. {LEGEND}",
    ),
    Page(
        _ROOT / "docs" / "file-search.md",
        "file-search",
        frozenset({"ingestion", "file_search", "retrieval_quality"}),
        every=True,
        note="Medians of one run on {machine}",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run benchmarks and report them; return the exit status."""
    options = _parser().parse_args(arguments)
    console = Console()
    if options.update_readme:
        return _update_pages(console)
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


def _update_pages(console: Console) -> int:
    for page in PAGES:
        try:
            update_page(page, RESULTS)
        except NotUpdated as reason:
            console.print(str(reason))
            return 1
        console.print(f"{page.path.name} holds its table of {RESULTS.name}.")
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
        help="measure nothing: write the last complete run into README and docs",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
