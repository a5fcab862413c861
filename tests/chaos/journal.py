"""What really happened, outside the database: one line of a file for each thing.

A line is one write to a file that is open for appending, so lines of many processes
never mix, and a process that is killed leaves whole lines.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class Journal:
    """Writes the lines of one process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, what: str, **facts: Any) -> None:
        """Write down that something happened just now."""
        line = {"what": what, "at": time.time(), "pid": os.getpid(), **facts}
        os.write(self._file, f"{json.dumps(line)}\n".encode())

    def close(self) -> None:
        os.close(self._file)


def entries(path: Path) -> list[Entry]:
    """Read every line, in the order in which they were written."""
    return [json.loads(line) for line in path.read_text().splitlines()]
