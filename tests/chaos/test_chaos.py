"""Chaos as `make chaos` makes it, but short."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.acceptance.program import environment

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0


@pytest.mark.chaos
def test_thirty_faults_break_no_invariant(tmp_path: Path) -> None:
    chaos = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--faults", "30", "--seed", "4"],
        env=environment(tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert chaos.returncode == 0, chaos.stdout + chaos.stderr
    assert chaos.stderr == ""
