"""A server for the benchmarks, as a process: `python -m benchmarks.served DATABASE`.

Its models differ in how long they take; an assistant chooses one by its name.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from benchmarks.scenario import scripted_model
from langchain_assistants import AssistantsEngine

INSTANT = "instant"
BRISK = "a token each millisecond"
STEADY = "a token each ten milliseconds"
CALLER = "a tool call, then an answer, after 20 ms each"

_ROOT = Path(__file__).parents[1]


def model_called(name: str, **_: Any) -> BaseChatModel:
    """Return the model with one of the names above."""
    models = {
        INSTANT: {},
        BRISK: {"token_delay": 0.001},
        STEADY: {"token_delay": 0.010},
        CALLER: {"calls": 1, "delay": 0.020},
    }
    return scripted_model(**{"calls": 0, **models[name]})


@contextmanager
def served(database: Path) -> Iterator[str]:
    """Serve a new database in a process of its own; yield the base URL."""
    program = [sys.executable, "-m", "benchmarks.served", str(database)]
    with (
        database.with_suffix(".log").open("wb") as log,
        subprocess.Popen(
            program, cwd=_ROOT, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)


def main() -> None:
    """Serve, with a log as `langchain-assistants serve` writes it, until SIGTERM."""
    from langchain_assistants.server.app import create_app
    from langchain_assistants.server.logs import write_logs
    from langchain_assistants.server.serving import Server

    (database,) = sys.argv[1:]
    with AssistantsEngine(f"sqlite:///{database}", chat_model=model_called) as engine:
        write_logs()
        server = Server(engine, create_app(engine, keys="loopback"), drain_seconds=0)
        sys.stdout.write(f"{server.url}/v1\n")
        sys.stdout.flush()
        server.serve()


if __name__ == "__main__":
    main()
