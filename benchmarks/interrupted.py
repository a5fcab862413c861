"""A process that is killed while its runs wait in tools, and who takes them over.

`python -m benchmarks.interrupted PATH LEASE RUNS` says `ready` when all of them wait.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_core.tools import BaseTool, tool

from benchmarks.scenario import QUESTION, look_up, scripted_model
from langchain_assistants import AssistantsEngine, Settings

_ROOT = Path(__file__).parents[1]


def open_engine(path: Path, lease: float, look_up: BaseTool) -> AssistantsEngine:
    """Open an engine whose leases are this long and whose tool is this one."""
    return AssistantsEngine(
        f"sqlite:///{path}",
        chat_model=scripted_model(),
        tools=[look_up],
        settings=Settings(lease=lease),
    )


@contextmanager
def waiting_runs(
    path: Path, lease: float, runs: int
) -> Iterator[subprocess.Popen[str]]:
    """Start a process and let its runs come to their tools."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(path), str(lease), str(runs)],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise ChildProcessError("The process ended before its runs waited.")
            yield process
        finally:
            process.kill()


def main(path: Path, lease: float, runs: int) -> None:
    """Start so many runs, each in a thread of its own, and wait to be killed."""
    waiting = threading.Semaphore(0)

    @tool("look_up")
    async def never_returns(topic: str) -> str:
        """Look a topic up, in vain."""
        waiting.release()
        await asyncio.Event().wait()
        return topic

    engine = open_engine(path, lease, never_returns)
    function = {"name": look_up.name, "parameters": look_up.get_input_jsonschema()}
    assistant = engine.assistants.create(
        model="scripted",
        tools=[{"type": "function", "run_on": "engine", "function": function}],
    )

    async def start() -> None:
        question = {"role": "user", "content": QUESTION}
        thread = await engine.threads.acreate(messages=[question])
        await engine.runs.acreate(thread.id, assistant_id=assistant.id)

    async def start_all() -> None:
        await asyncio.gather(*(start() for _ in range(runs)))

    asyncio.run(start_all())
    for _ in range(runs):
        waiting.acquire()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
