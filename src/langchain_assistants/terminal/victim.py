"""The demo's process that is killed: it tells its run and its executions, on a pipe.

It knows nothing of that; left alone it would execute its run to the end.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from langchain_assistants import Settings
from langchain_assistants.errors import AssistantsError
from langchain_assistants.terminal import observatory
from langchain_assistants.terminal.stage import Stage
from langchain_assistants.types import Run


def main() -> int:
    """Give the observatory its order; 0 says that the run reached its regular end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("thread_id")
    parser.add_argument("model")
    given = parser.parse_args()
    try:
        run = _play(Stage(given.file, given.model), given.thread_id)
    except AssistantsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if run is not None and run.status == "completed" else 1


def _play(stage: Stage, thread_id: str) -> Run | None:
    run: Run | None = None
    functions = observatory.Functions(lambda begun: _tell(*begun))
    settings = Settings(lease=observatory.LEASE)
    with stage.engine(observatory.scripted_model, settings=settings) as engine:
        assistant = observatory.assistant(engine, functions, stage.model)
        asked = {"content": observatory.ORDER, "thread_id": thread_id}
        for event in assistant.stream_run(asked):
            if isinstance(event.data, Run):
                run = event.data
            if event.event == "thread.run.created" and run is not None:
                _tell(run.id)
    return run


def _tell(*words: object) -> None:
    # One write a line: two functions may tell at once.
    os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
