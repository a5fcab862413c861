"""What became of an import: counts, and what was repaired or refused where."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

Outcome: TypeAlias = Literal["taken", "unchanged", "repaired", "refused"]

SHOWN = 1_000
"""How many issues are kept in memory; a file of the report has all of them."""


class Issue(NamedTuple):
    """Something that was not taken as it was found.

    Attributes:
        outcome: "repaired": it was taken nevertheless; "refused": it was not.
        source: The file.
        line: Where in the file it begins; 0: the file as a whole.
        kind: The object's `object`; "" where it is none.
        id: The object's id; "" where it has none.
        why: What was wrong; it never quotes what people wrote.
    """

    outcome: Literal["repaired", "refused"]
    source: str
    line: int
    kind: str
    id: str
    why: str

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass
class Report:
    """The result of an import.

    Attributes:
        counts: By an object's `object` and its outcome, how many there are; an object
            that was repaired counts as taken too.
        issues: The first ones.
        issue_count: How many there are.
        dry_run: Whether nothing was stored.

    Example:
        >>> report = Report()
        >>> report.count("thread", "taken")
        >>> report.of("thread", "taken")
        1
    """

    counts: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    issues: list[Issue] = field(default_factory=list)
    issue_count: int = 0
    dry_run: bool = False

    def count(self, kind: str, outcome: Outcome, number: int = 1) -> None:
        """Count objects."""
        self.counts[kind, outcome] += number

    def of(self, kind: str, outcome: Outcome) -> int:
        """Return how many objects of a kind had an outcome."""
        return self.counts[kind, outcome]

    @property
    def kinds(self) -> list[str]:
        """The kinds that were found, in alphabetical order."""
        return sorted({kind for kind, _ in self.counts})

    @property
    def complete(self) -> bool:
        """Whether nothing was refused."""
        return not any(
            number
            for (_, outcome), number in self.counts.items()
            if outcome == "refused"
        )


def write_issues(issues: Iterator[Issue], path: Path) -> None:
    """Write issues as JSON lines.

    Raises:
        OSError: The file cannot be written.
    """
    with path.open("w", encoding="utf-8") as file:
        for issue in issues:
            file.write(json.dumps(issue._asdict(), ensure_ascii=False) + "\n")
