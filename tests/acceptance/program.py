"""Runs `langchain-assistants` as a user does: a process, a pipe, a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import warm

COMMAND = (sys.executable, "-m", "langchain_assistants.cli")
PATIENCE = 120.0
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])|[\x01\x02\x07\r]")
_SETTINGS = ("OPENAI_", "LANGCHAIN_", "LANGSMITH_", "COLUMNS", "FORCE_COLOR")


def environment(home: Path, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a fresh user with this home, and what is given."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_SETTINGS)
    }
    data = {"HOME": str(home), "XDG_DATA_HOME": str(home), "TMPDIR": str(home)}
    return {**kept, **data, "COLUMNS": "100", "TERM": "xterm", **(given or {})}


def run(
    *arguments: str,
    home: Path,
    env: Mapping[str, str] | None = None,
    typed: str = "",
    command: Sequence[str] = COMMAND,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with a pipe as its input."""
    return warm.run(
        [*command, *arguments],
        typed=typed,
        env=environment(home, env),
        cwd=home,
        timeout=PATIENCE,
    )


def start(*arguments: str, home: Path) -> subprocess.Popen[str]:
    """Start a command without waiting for it."""
    return warm.Popen(
        [*COMMAND, *arguments],
        env=environment(home),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )


class Terminal:
    """A person before a terminal in which a command runs."""

    def __init__(
        self, *arguments: str, home: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.process = warm.Popen(
            [*COMMAND, *arguments],
            env=environment(home, env),
            cwd=home,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self._unread = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._master)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read_until(self, text: str) -> str:
        """Return what the screen showed up to this text; escapes are left out."""
        deadline = time.monotonic() + PATIENCE
        while text not in self._unread:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._master], [], [], max(left, 0))
            assert ready, f"{text!r} never came; the screen showed {self._unread!r}"
            try:
                raw = os.read(self._master, 65536)
            except OSError:  # Linux says so when the process has gone
                raw = b""
            assert raw, f"it ended before {text!r}; the screen showed {self._unread!r}"
            self._unread = _ESCAPES.sub("", self._unread + raw.decode(errors="replace"))
        before, _, self._unread = self._unread.partition(text)
        return before + text

    def exit_code(self) -> int:
        """Wait for the end, and drain the screen so that nothing blocks it."""
        while self.process.poll() is None:
            ready, _, _ = select.select([self._master], [], [], 0.05)
            if ready:
                try:
                    os.read(self._master, 65536)
                except OSError:
                    break
        return self.process.wait(PATIENCE)
