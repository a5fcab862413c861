"""Command line: `python -m tests.chaos [--faults N] [--seed N] [--sabotage WHAT]`."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rich.console import Console
from tests.chaos.checks import violations
from tests.chaos.director import Director
from tests.chaos.process import Folder, Sabotage
from tests.chaos.summary import show


def main(arguments: Sequence[str] | None = None) -> int:
    """Make chaos and check what is left; return the exit status."""
    options = _parser().parse_args(arguments)
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    # As Ctrl-C: no process may outlive this one, least of all a frozen one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console, began = Console(), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    with console.status("") as status:
        director = Director(
            Folder(folder),
            seed,
            options.sabotage,
            lambda met: status.update(f"{met} of {options.faults} faults"),
        )
        evidence = asyncio.run(director.run(options.faults))
    found = violations(evidence)
    show(console, evidence, director.met, found, seed, time.monotonic() - began)
    if found or options.keep:
        console.print(f"The database, the journal and the logs are in {folder}.")
    else:
        shutil.rmtree(folder)
    return int(bool(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Kill, freeze and disturb real processes that share one database, "
        "then check that every invariant holds. The seed fixes the faults and their "
        "order; when they meet what is up to the machine.",
    )
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, help="default: another one each time")
    parser.add_argument("--keep", action="store_true", help="keep what it has written")
    parser.add_argument(
        "--sabotage",
        choices=get_args(Sabotage),
        help="break the library on purpose, to see that it is found",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
