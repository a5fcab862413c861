"""Tests the server against OpenAI's document with schemathesis (`make fuzz`).

Schemathesis makes requests from the document, valid ones and others, alone and in
sequences, and checks every answer. `schemathesis.toml` says what is left out, and why.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage
from tests.server.contract import document

from langchain_assistants import AssistantsEngine
from langchain_assistants.server.app import create_app
from langchain_assistants.server.serving import Server
from langchain_assistants.testing import ModelCall, Reply, ScriptedChatModel, call

_CONFIGURATION = Path(__file__).with_name("schemathesis.toml")

_LOOK_UP = {"type": "function", "function": {"name": "look_up"}}
_PAUSED_CALL = "call_paused"


@dataclass(frozen=True)
class Verdict:
    """What schemathesis said.

    Attributes:
        cases: How many requests it made and judged.
        operations: How many operations it tested.
        failures: What it found, one line each.
        output: All that it printed.
    """

    cases: int
    operations: int
    failures: list[str]
    output: str


@dataclass
class Scene:
    """Objects in every state, so that requests find more than 404.

    Attributes:
        known: Ids by the names that paths and fields give them.
        doomed: One more of each kind, to be deleted.
        key: An API key.
    """

    known: dict[str, list[str]] = field(default_factory=dict)
    doomed: dict[str, str] = field(default_factory=dict)
    key: str = ""


def respond(messages: list[BaseMessage], asked: ModelCall) -> Reply:
    """Call the one function that nobody answers by chance, else say something."""
    if messages[-1].type == "human" and "look_up" in asked.tool_names:
        return Reply(tool_calls=[call("look_up", {}, _PAUSED_CALL)])
    return Reply("Here it is.")


def set_scene(engine: AssistantsEngine) -> Scene:
    """Store what requests will name."""
    scene = Scene(key=engine.api_keys.create().key)
    known, doomed = scene.known, scene.doomed
    assistant = engine.assistants.create(model="m")
    caller = engine.assistants.create(model="m", tools=[_LOOK_UP])
    known["assistant_id"] = [assistant.id, caller.id]
    doomed["assistant_id"] = engine.assistants.create(model="m").id

    said = [{"role": "user", "content": "Where is it?"}]
    threads = [engine.threads.create(messages=said) for _ in range(3)]
    answered, paused = (
        engine.runs.wait(engine.runs.create(thread.id, assistant_id=one.id).id)
        for thread, one in zip(threads, (assistant, caller), strict=False)
    )
    known["thread_id"] = [thread.id for thread in threads]
    known["run_id"] = [answered.id, paused.id]
    known["step_id"] = [
        step.id for run in (answered, paused) for step in engine.steps.list(run.id)
    ]
    known["tool_call_id"] = [_PAUSED_CALL]
    messages = list(engine.messages.list(threads[0].id))
    known["message_id"] = [message.id for message in messages]
    doomed["message_id"] = engine.messages.create(threads[0].id, **said[0]).id
    doomed["thread_id"] = engine.threads.create(messages=said).id

    files = [
        engine.files.create(file=(f"{number}.txt", b"text"), purpose="assistants").id
        for number in range(5)
    ]
    known["file_id"] = known["file_ids"] = files[:3]
    doomed["file_id"] = files[4]
    stores = [engine.vector_stores.create(file_ids=files[:4]).id for _ in range(3)]
    batches = [
        engine.vector_stores.file_batches.create(store, file_ids=files[:1]).id
        for store in stores[:2]
    ]
    known["vector_store_id"] = known["vector_store_ids"] = stores[:2]
    known["batch_id"] = batches
    doomed["vector_store_id"] = stores[2]

    upload = {"purpose": "assistants", "mime_type": "text/plain", "bytes": 4}
    uploads = [
        engine.uploads.create(filename=f"{number}.txt", **upload).id
        for number in range(3)
    ]
    known["upload_id"] = uploads
    known["part_ids"] = [engine.uploads.add_part(uploads[0], data=b"text").id]
    return scene


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Scene]]:
    """Serve an engine on loopback; yield the address and what it holds."""
    model = ScriptedChatModel([], respond=respond)
    url = f"sqlite:///{folder / 'fuzzed.db'}"
    with AssistantsEngine(url, chat_model=model) as engine:
        scene = set_scene(engine)
        app = create_app(engine, keys="required")
        server = Server(engine, app, drain_seconds=0.0)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield f"{server.url}/v1", scene
        finally:
            server.stop()
            thread.join()


def fuzz(folder: Path, *options: str) -> Verdict:
    """Run schemathesis on a new engine.

    Args:
        folder: Where the database and the report may lie.
        *options: Further ones of `schemathesis run`.
    """
    report = folder / "report.json"
    asked = folder / "document.json"
    with served(folder) as (url, scene):
        ready = document.with_ids(document.read(), scene.known, scene.doomed)
        asked.write_text(json.dumps(ready), encoding="utf-8")
        program = [sys.executable, "-m", "schemathesis.cli"]
        program += ["--config-file", str(_CONFIGURATION), "run", str(asked)]
        program += ["--url", url, "--header", f"Authorization: Bearer {scene.key}"]
        program += ["--report", "json", "--report-json-path", str(report)]
        program += ["--no-color", *options]
        done = subprocess.run(
            program, cwd=folder, capture_output=True, text=True, check=False
        )
    if not report.exists():
        raise RuntimeError(done.stdout + done.stderr)
    said: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    failures = [
        f"{one['title']}: {', '.join(one['operations'])}" for one in said["failures"]
    ]
    failures += [str(error) for error in said["errors"]]
    return Verdict(
        cases=said["test_cases"]["generated"],
        operations=said["operations"]["tested"],
        failures=failures,
        output=done.stdout + done.stderr,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz as long as is said, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    seconds = parser.parse_args(arguments).seconds
    with tempfile.TemporaryDirectory() as folder:
        verdict = fuzz(Path(folder), "--max-time", str(seconds))
    print(verdict.output)
    return 1 if verdict.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
