"""The demo's second process: it opens the same file and goes on in the thread.

Nothing but the file's name, the thread's id and the model's name comes from the first.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

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
    with stage.engine() as engine:
        stage.note(f"process {os.getpid()} opened {stage.file.name}")
        assistant = stage.assistant(engine)
        exchange = stage.ask(assistant, given.thread_id, tutor.FOLLOW_UP)
    if stage.scripted:
        remembered = tutor.STUDENT in exchange.answer and "164.9" in exchange.answer
        stage.expect(remembered, "the model was shown the name and the tool's output")
    else:
        stage.expect(bool(exchange.answer), "the model answered")
    return 1 if stage.broken else 0


if __name__ == "__main__":
    sys.exit(main())
