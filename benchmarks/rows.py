"""What a benchmark finds: a value, what it is compared with, and its budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal[
    "s",
    "ms",
    "kB",
    "MB",
    "turns/s",
    "chunks/s",
    "commits",
    "statements",
    "%",
    "nDCG@10",
]

_DIGITS: dict[Unit, int] = {
    "kB": 1,
    "MB": 0,
    "turns/s": 0,
    "chunks/s": 0,
    "commits": 1,
    "statements": 1,
    "%": 1,
    "nDCG@10": 3,
}


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit of a release, on a row's value or on its ratio to the baseline."""

    limit: float
    of: Literal["value", "ratio"]
    sense: Literal["at most", "at least"] = "at most"

    def met(self, actual: float) -> bool:
        """Return whether an actual value keeps the budget."""
        if self.sense == "at most":
            return actual <= self.limit
        return actual >= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One measured value.

    Attributes:
        benchmark: The benchmark that found it.
        what: What was measured, on our side.
        value: The measured value.
        unit: Its unit.
        baseline: The same of the other side, from the same run.
        versus: What the other side is.
        budget: None reports only.
        headline: Whether the README shows it; it shows each row that has a budget.
    """

    benchmark: str
    what: str
    value: float
    unit: Unit
    baseline: float | None = None
    versus: str = ""
    budget: Budget | None = None
    headline: bool = False

    @property
    def ratio(self) -> float | None:
        """The value in units of the baseline."""
        return self.value / self.baseline if self.baseline else None

    @property
    def met(self) -> bool | None:
        """Whether the budget is kept; None without one."""
        actual = self.ratio if self.budget and self.budget.of == "ratio" else self.value
        if self.budget is None or actual is None:
            return None
        return self.budget.met(actual)

    @property
    def verdict(self) -> str:
        """The outcome in a word; empty without a budget."""
        return {True: "ok", False: "MISSED", None: ""}[self.met]

    def amount(self, value: float | None) -> str:
        """Write a value in the row's unit; empty for None."""
        if value is None:
            return ""
        digits = _DIGITS.get(self.unit, 0 if abs(value) >= 100 else 2)
        return f"{value:,.{digits}f} {self.unit}".replace(".0 ", " ")

    def cells(self) -> tuple[str, str, str, str, str, str]:
        """Write the row for people: what, ours, baseline, ratio, budget, verdict."""
        baseline = self.amount(self.baseline)
        if self.versus:
            baseline = f"{baseline} ({self.versus})".lstrip()
        ratio = ""
        if self.ratio is not None:
            ratio = f"{self.ratio:.2f}x" if self.ratio >= 0.01 else "< 0.01x"
        budget = ""
        if self.budget is not None:
            sign = {"at most": "≤", "at least": "≥"}[self.budget.sense]
            limit = self.budget.limit
            amount = f"{limit:g}x" if self.budget.of == "ratio" else self.amount(limit)
            budget = f"{sign} {amount}"
        value = self.amount(self.value)
        return self.what, value, baseline, ratio, budget, self.verdict
