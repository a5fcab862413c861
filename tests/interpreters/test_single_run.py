"""The program that executes one piece of code in somebody's sandbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from langchain_assistants.interpreters import single_run
from langchain_assistants.interpreters.local.runtime import INSIDE


def events(folder: Path, code: str, *, timeout: float = 30) -> list[dict[str, Any]]:
    """Execute code; return what was told."""
    request, told = folder / "request", folder / "events"
    request.write_text(json.dumps({"code": code, "timeout": timeout, "limit": 10_000}))
    single_run.main(str(INSIDE), str(request), str(told), str(folder / "stop"))
    return [json.loads(line) for line in told.read_bytes().splitlines()]


def test_the_events_are_the_workers_and_an_end(tmp_path: Path) -> None:
    ready, printed, done, end = events(tmp_path, "print('hi', end='')")
    assert ready == {"type": "ready"}
    assert printed == {"type": "stdout", "text": "hi"}
    assert done == {"type": "done", "number": 1, "error": None}
    assert end == {"type": "end", "stopped": None, "status": None}


def test_code_is_interrupted_at_its_deadline(tmp_path: Path) -> None:
    *_, done, end = events(tmp_path, "while True: pass", timeout=0.2)
    assert done["error"]["name"] == "KeyboardInterrupt"
    assert end["stopped"] == "timeout"


def test_code_that_goes_on_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_run, "GRACE_SECONDS", 0.2)
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    code = f"{deaf}while True: pass"
    *_, end = events(tmp_path, code, timeout=0.2)
    assert end == {"type": "end", "stopped": "timeout", "status": -9}


def test_code_is_stopped_by_a_file(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'stop')!r}, 'w')\nwhile True: pass"
    *_, end = events(tmp_path, code)
    assert end["stopped"] == "interrupt"


def test_a_flood_is_stopped_and_cut(tmp_path: Path) -> None:
    told = events(tmp_path, "while True: display('x' * 99)")
    assert told[-1]["stopped"] == "output_limit"
    assert len(told) < 200


def test_the_death_of_the_worker_is_told(tmp_path: Path) -> None:
    *_, end = events(tmp_path, "import os; os._exit(3)")
    assert end == {"type": "end", "stopped": None, "status": 3}
