"""Chaos as `make chaos` makes it, but short."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.acceptance.program import environment

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0


def chaos(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Make chaos from a fixed seed, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--seed", "4", *arguments],
        env=environment(home),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_thirty_faults_break_no_invariant(tmp_path: Path) -> None:
    found = chaos(tmp_path, "--faults", "30")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "violations" in found.stdout


def test_a_library_that_forgets_its_waiting_runs_is_found_out(tmp_path: Path) -> None:
    found = chaos(tmp_path, "--faults", "3", "--sabotage", "queue")
    assert found.returncode == 1, found.stdout + found.stderr
    assert "no_thread_left_busy: stuck" in found.stdout
