"""What it takes to bring 100,000 messages in, and out again.

Each is a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Effort, peak_megabytes
from benchmarks.rows import Budget, Row

_ROOT = Path(__file__).parents[1]
_MESSAGES_OF_A_THREAD = 5_000
_PAGE = 100
_OBJECTS = "a run and two steps for each answer"
_SECONDS, _MEMORY = Budget(30, "value"), Budget(200, "value")


def rows(effort: Effort, folder: Path) -> Iterator[Row]:
    """Measure messages alone, then the same with a run for each answer."""
    threads = effort.of(full=20, short=1)
    messages = f"{threads * _MESSAGES_OF_A_THREAD:,} messages"
    _save(folder / "alone", threads, kinds=("messages",))
    for what, command in (
        ("import of", ("import", "alone", "alone.db")),
        ("import again of", ("import", "alone", "alone.db")),
        ("export of", ("export", "alone.db", "alone-out")),
    ):
        seconds, megabytes = _measured(folder, command)
        yield Row("continuity", f"{what} {messages}", seconds, "s", budget=_SECONDS)
        memory = f"{what} {messages}: memory at its most"
        yield Row("continuity", memory, megabytes, "MB", budget=_MEMORY)
    if effort.short:
        return
    _save(folder / "all", threads, kinds=("messages", "runs", "steps"))
    for what, command in (
        ("import of", ("import", "all", "all.db")),
        ("export of", ("export", "all.db", "all-out")),
    ):
        seconds, _ = _measured(folder, command)
        name = f"{what} {messages}, {_OBJECTS}"
        yield Row("continuity", name, seconds, "s")


def _measured(folder: Path, command: tuple[str, str, str]) -> tuple[float, float]:
    name, source, target = command
    paths = str(folder / source), str(folder / target)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.continuity", name, *paths],
        cwd=_ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, megabytes = json.loads(done.stdout)
    return seconds, megabytes


def main(command: str, source: str, target: str) -> None:
    """Import a folder or export to one; print seconds and megabytes."""
    from langchain_assistants import AssistantsEngine
    from langchain_assistants.exporters.writing import write_folder
    from langchain_assistants.importers import import_saved

    begun = time.perf_counter()
    if command == "import":
        with AssistantsEngine(f"sqlite:///{target}", recover=False) as engine:
            assert import_saved(engine, Path(source)).complete
    else:
        with AssistantsEngine(f"sqlite:///{source}", recover=False) as engine:
            write_folder(engine.for_tenant("default"), Path(target))
    print(json.dumps([time.perf_counter() - begun, peak_megabytes()]))


def _save(folder: Path, threads: int, kinds: Sequence[str]) -> None:
    """Write what a person has saved: pages as they were listed, the newest first."""
    assistant = {
        "id": "asst_1",
        "object": "assistant",
        "created_at": 1,
        "model": "gpt-4o",
    }
    _write(folder / "assistant.json", assistant)
    for number in range(threads):
        name = f"thread_{number:04d}"
        thread = {"id": name, "object": "thread", "created_at": 1, "metadata": {}}
        _write(folder / name / "thread.json", thread)
        made = [_exchange(name, place) for place in range(0, _MESSAGES_OF_A_THREAD, 2)]
        for kind in kinds:
            items = [item for one in made for item in one[kind]][::-1]
            for start in range(0, len(items), _PAGE):
                page = {"object": "list", "data": items[start : start + _PAGE]}
                _write(folder / name / f"{kind}-{start:06d}.json", page)


def _write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + os.linesep, encoding="utf-8")


def _exchange(thread_id: str, place: int) -> dict[str, list[dict[str, Any]]]:
    """Return a question, the run on it, its steps and the answer."""
    at, own = 1_750_000_000 + 10 * place, f"{thread_id.removeprefix('thread_')}{place}"
    of_thread = {"thread_id": thread_id, "assistant_id": "asst_1"}
    run_id, answer_id = f"run_{own}", f"msg_{own}b"
    text = "What is the state of order 4711, and when will it be here? " * 3
    function = {"name": "look_up", "arguments": '{"order": 4711}', "output": "paid"}
    call = {"id": f"call_{own}", "type": "function", "function": function}
    details: list[dict[str, Any]] = [
        {"type": "tool_calls", "tool_calls": [call]},
        {"type": "message_creation", "message_creation": {"message_id": answer_id}},
    ]
    messages = [
        _message(thread_id, f"msg_{own}a", at, "user", None, text),
        _message(thread_id, answer_id, at + 5, "assistant", run_id, text),
    ]
    run = {
        **of_thread,
        "id": run_id,
        "object": "thread.run",
        "created_at": at + 1,
        "started_at": at + 1,
        "completed_at": at + 6,
        "status": "completed",
        "model": "gpt-4o",
        "instructions": "",
        "tools": [],
        "metadata": {},
    }
    steps = [
        {
            **of_thread,
            "id": f"step_{own}{number}",
            "object": "thread.run.step",
            "created_at": at + 2 + number,
            "completed_at": at + 3 + number,
            "run_id": run_id,
            "type": detail["type"],
            "status": "completed",
            "step_details": detail,
        }
        for number, detail in enumerate(details)
    ]
    return {"messages": messages, "runs": [run], "steps": steps}


def _message(
    thread_id: str, message_id: str, at: int, role: str, run_id: str | None, text: str
) -> dict[str, Any]:
    return {
        "id": message_id,
        "object": "thread.message",
        "created_at": at,
        "thread_id": thread_id,
        "run_id": run_id,
        "role": role,
        "content": [{"type": "text", "text": {"value": text, "annotations": []}}],
        "attachments": [],
        "metadata": {},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
