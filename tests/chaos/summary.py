"""Prints what a run of chaos was, and what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from tests.chaos.checks import CHECKS, Evidence
from tests.chaos.plan import Kind


def show(
    console: Console,
    evidence: Evidence,
    faults: Mapping[Kind, int],
    found: Sequence[tuple[str, str]],
    seed: int,
    seconds: float,
) -> None:
    """Print the table, and every violation below it."""
    table = Table(title=f"chaos, seed {seed}, {seconds:.0f} s", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    total = sum(faults.values())
    for name, count in {"faults": total, **_numbers(evidence, faults)}.items():
        table.add_row(name, str(count))
    table.add_section()
    broken = Counter(name for name, _ in found)
    for check in CHECKS:
        table.add_row(check.__name__, str(broken[check.__name__] or "holds"))
    table.add_section()
    table.add_row("violations", str(len(found)))
    console.print(table)
    for name, what in found:
        console.print(f"{name}: {what}", markup=False, highlight=False)


def _numbers(evidence: Evidence, faults: Mapping[Kind, int]) -> dict[str, int]:
    runs = evidence.tables["runs"]
    statuses = Counter(run["status"] for run in runs)
    begun = Counter((e["run"], e["call"]) for e in evidence.noted("tool_begun"))
    return {
        **{f"  {kind}": count for kind, count in sorted(faults.items())},
        "runs": len(runs),
        **{f"  {status}": count for status, count in sorted(statuses.items())},
        "runs of more than one attempt": sum(run["attempt"] > 1 for run in runs),
        "most attempts of a run": max((run["attempt"] for run in runs), default=0),
        "take-overs": _take_overs(evidence),
        "messages": len(evidence.tables["messages"]),
        "tool executions": begun.total(),
        "  recorded": len(evidence.outputs),
        "  again, for want of a record": begun.total() - len(begun),
    }


def _take_overs(evidence: Evidence) -> int:
    """Count the claims of runs that another process had executed before."""
    workers: dict[str, str] = {}
    count = 0
    for change in evidence.changes:
        if change["status"] != "in_progress" or change["was"] == "in_progress":
            continue
        before = workers.get(change["run"])
        count += before not in (None, change["worker"])
        workers[change["run"]] = change["worker"]
    return count
