"""The demo's second process: it opens the same file and goes on in the thread.

Nothing but the file's name, the thread's id and the model's name comes from the first.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from langchain_assistants.errors import AssistantsError
from langchain_assistants.terminal import tutor
from langchain_assistants.terminal.stage import Stage


def main() -> int:
    """Ask the follow-up question; 0 says that what was promised of it held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("thread_id")
    parser.add_argument("model")
    given = parser.parse_args()
    stage = Stage(given.file, given.model)
    try:
        _play(stage, given.thread_id)
    except AssistantsError as error:
        stage.expect(False, str(error))
    return 1 if stage.broken else 0


def _play(stage: Stage, thread_id: str) -> None:
    with stage.engine() as engine:
        stage.note("process", f"{os.getpid()} opened {stage.file.name}")
        exchange = stage.ask(stage.assistant(engine), thread_id, tutor.FOLLOW_UP)
    if stage.scripted:
        remembered = all(fact in exchange.answer for fact in tutor.EARLIER_FACTS)
        stage.expect(
            remembered, "the model was shown what was said and computed before"
        )
    else:
        stage.expect(bool(exchange.answer), "the model answered")


if __name__ == "__main__":
    sys.exit(main())
