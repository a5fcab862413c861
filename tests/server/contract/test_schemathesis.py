"""The server keeps to OpenAI's own document; `make fuzz` looks for longer."""

from __future__ import annotations

from pathlib import Path

from tests.server.contract import document, fuzzing


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    verdict = fuzzing.fuzz(tmp_path, "--max-time", "25", "--seed", "1")
    assert verdict.failures == [], verdict.output
    assert verdict.operations == len(list(document.operations(document.read()))) == 48
    assert verdict.cases > 10 * verdict.operations
