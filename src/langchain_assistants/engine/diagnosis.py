"""What the doctor finds: levels, words and ids; it examines nothing itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Level: TypeAlias = Literal["ok", "notice", "problem"]
Subject: TypeAlias = Literal[
    "software",
    "settings",
    "file",
    "schema",
    "log",
    "disk",
    "runs",
    "rows",
    "contents",
    "interpreter",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: `ok`, `notice` (to know), `problem` (to mend).
        subject: What was looked at.
        message: What it is like; after a repair, what was done.
        ids: Some of the objects concerned.
        advice: What to do; empty where nothing is to be done.
        repaired: Whether the doctor has mended it.
    """

    level: Level
    subject: Subject
    message: str
    ids: tuple[str, ...] = ()
    advice: str = ""
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found about a database.

    Attributes:
        database: Its file.
        findings: In the order in which it was looked at.

    Example:
        >>> from langchain_assistants import AssistantsEngine
        >>> with AssistantsEngine("sqlite:///:memory:") as engine:
        ...     engine.doctor().healthy
        True
    """

    database: str
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that somebody has to mend."""
        return tuple(found for found in self.findings if found.level == "problem")

    @property
    def healthy(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        return {**asdict(self), "healthy": self.healthy}
