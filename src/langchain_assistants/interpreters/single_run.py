"""Executes one piece of code with the worker's files, inside somebody's sandbox.

Python runs this file by its path; it needs the stdlib and POSIX. Events go to a file,
since what a shell prints is no place for them.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

GRACE_SECONDS = 2.0
"""How long code may go on after an interrupt before it is killed."""

_LOOK_SECONDS = 0.1
WORKER = """
import json, sys, types
inside = types.ModuleType("inside")
inside.__path__ = [sys.argv[1]]
sys.modules["inside"] = inside
from inside.worker import serve
serve(**json.loads(sys.argv[2]))
"""


def main(folder: str, request: str, events: str, stop: str) -> None:
    """Execute code until it ends, must end, or somebody stops it.

    Args:
        folder: The worker's files.
        request: JSON with `code`, `timeout` in seconds and `limit`, the bytes of
            events to keep.
        events: Where the worker's events go, a JSON object a line; the last is `end`
            with why the code was `stopped`, and the exit `status` if it died.
        stop: A file that stops the code when it appears.
    """
    with open(request, encoding="utf-8") as file:
        asked = json.load(file)
    worker = _Worker(folder)
    worker.order(number=1, code=asked["code"])
    deadline, kill_at = time.monotonic() + asked["timeout"], float("inf")
    left, stopped, done = asked["limit"], None, False
    try:
        with open(events, "wb") as told:
            for line in worker.lines():
                left -= len(line)
                done = line.startswith(b'{"type": "done"')
                if line and (left >= 0 or done):
                    told.write(line + b"\n")
                now = time.monotonic()
                if done or now > kill_at:
                    break
                if stopped is None:
                    stopped = _reason(left < 0, now > deadline, os.path.exists(stop))
                    if stopped:
                        worker.order(interrupt=1)
                        kill_at = now + GRACE_SECONDS
            status = worker.end()
            end = {"stopped": stopped, "status": None if done else status}
            told.write(json.dumps({"type": "end", **end}).encode() + b"\n")
    finally:
        worker.end()


def _reason(flooded: bool, late: bool, asked: bool) -> str | None:
    if flooded:
        return "output_limit"
    if late:
        return "timeout"
    return "interrupt" if asked else None


class _Worker:
    """The process that executes, and the pipes to it."""

    def __init__(self, folder: str) -> None:
        requests, self._requests = os.pipe()
        self._events, events = os.pipe()
        serving = {"requests": requests, "events": events, "paths": [], "alias": None}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", WORKER, folder, json.dumps(serving)],
            pass_fds=(requests, events),
            env={**os.environ, "MPLBACKEND": "module://inside.backend"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(requests)
        os.close(events)

    def order(self, **order: object) -> None:
        """Tell it what to do; one that has died is no error."""
        line = memoryview((json.dumps(order) + "\n").encode())
        with suppress(BrokenPipeError):
            while line:
                line = line[os.write(self._requests, line) :]

    def lines(self) -> Iterator[bytes]:
        """Yield its events until it ends, and an empty line now and then."""
        rest = b""
        while True:
            ready, _, _ = select.select([self._events], [], [], _LOOK_SECONDS)
            if not ready:
                yield b""
                continue
            data = os.read(self._events, 65_536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from lines

    def end(self) -> int:
        """Kill it with all that it started; return its exit status."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
