"""Starts Python programs at once: forks of a process that has imported everything.

A program is a process of its own all the same, with its own id, pipes, environment and
folder; it can be killed, and ends as every other does. What a start imports, and in
which order, is not to be seen here: tests of that take `subprocess`.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import termios
import types
from functools import cache
from importlib import import_module
from typing import Any

# What programs import for seconds. None of it may start a thread or open anything.
IMPORTED: tuple[str, ...] = (
    "aiosqlite",
    "langchain.agents",
    "langchain_assistants.assistant",
    "langchain_assistants.cli",
    "langchain_assistants.compat",
    "langchain_assistants.engine.engine",
    "langchain_assistants.graph",
    "langchain_assistants.in_process",
    "langchain_assistants.server",
    "langchain_assistants.terminal.demo",
    "langchain_assistants.testing",
    "langchain_openai",
    "langgraph.checkpoint.sqlite.aio",
    "openai.resources.beta",
    "uvicorn",
)
_MEASURED = "COVERAGE_PROCESS_CONFIG"


class Popen(subprocess.Popen[str]):
    """`subprocess.Popen` of `python PROGRAM`, `python -c CODE` or `python -m MODULE`.

    It speaks text, and leads a session of its own; if its input is a terminal, that
    is the terminal of the session.
    """

    def __init__(self, command: list[Any], **options: Any) -> None:
        executable, *arguments = map(str, command)
        assert executable == sys.executable
        assert arguments[0] in ("-c", "-m") or not arguments[0].startswith("-")
        super().__init__(arguments, **{**options, "text": True})

    # In place of fork and exec; its parameters have been the same since Python 3.2.
    def _execute_child(  # type: ignore[override]
        self,
        args: list[str],
        executable: Any,
        preexec_fn: Any,
        close_fds: Any,
        pass_fds: Any,
        cwd: str | os.PathLike[str] | None,
        env: dict[str, str] | None,
        startupinfo: Any,
        creationflags: Any,
        shell: Any,
        *pipes_and_more: Any,
    ) -> None:
        pipes = pipes_and_more[:6]
        its_input, _, _, its_output, _, its_errors = pipes
        streams = [
            given if given != -1 else inherited
            for inherited, given in enumerate((its_input, its_output, its_errors))
        ]
        request = {
            "arguments": args,
            "folder": os.fspath(cwd or os.getcwd()),
            "environment": dict(os.environ if env is None else env),
        }
        line, its_line = socket.socketpair()
        with line:
            with its_line:
                socket.send_fds(_nursery(), [b"!"], [*streams, its_line.fileno()])
            line.sendall(json.dumps(request).encode())
            line.shutdown(socket.SHUT_WR)
            self._told = line.makefile()
        self.pid = int(self._told.readline())
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.returncode = int(self._told.readline())
            self._told.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code at the end."""
        if self.returncode is None:
            select.select([self._told], [], [], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code


def run(
    command: list[Any], *, typed: str | None = None, timeout: float, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; one that is not of Python starts as ever."""
    start = Popen if command[0] == sys.executable else subprocess.Popen[str]
    with start(
        command,
        stdin=subprocess.DEVNULL if typed is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    ) as process:
        try:
            shown, errors = process.communicate(typed, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, shown, errors)


@cache
def _nursery() -> socket.socket:
    """Start the process that forks, once for all tests; return the line to it."""
    line, its_line = socket.socketpair()
    environment = {k: v for k, v in os.environ.items() if k != _MEASURED}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with its_line:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", *IMPORTED],
            stdin=its_line,
            env=environment,
            start_new_session=True,
        )

    def end() -> None:
        line.close()
        process.wait()

    atexit.register(end)
    return line


# The process that forks.


def serve(line: socket.socket) -> dict[str, Any]:
    """Fork for each request, and tell its process's end; return in the forks only."""
    woken, alarm = socket.socketpair()
    alarm.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(alarm.fileno())
    living: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([line, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            _tell_ends(living)
        if line not in ready:
            continue
        _, streams, _, _ = socket.recv_fds(line, 1, 4)
        if not streams:  # the tests have come to their end
            for pid in living:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            sys.exit()
        asker = socket.socket(fileno=streams.pop())
        with asker.makefile() as file:
            request: dict[str, Any] = json.load(file)
        if pid := os.fork():
            living[pid] = asker
            asker.sendall(f"{pid}\n".encode())
            for stream in streams:
                os.close(stream)
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in (line, woken, alarm, asker, *living.values()):
            other.close()
        return {**request, "streams": streams}


def _tell_ends(living: dict[int, socket.socket]) -> None:
    while living:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with living.pop(pid) as asker:
            code = os.waitstatus_to_exitcode(status)
            with contextlib.suppress(BrokenPipeError):  # nobody waits for it
                asker.sendall(f"{code}\n".encode())


def become(
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    streams: list[int],
) -> None:
    """Be the program: everything that the start of Python sets up is set up again."""
    os.setsid()
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = sys.__stdin__ = _reopened(sys.stdin)
    sys.stdout = sys.__stdout__ = _reopened(sys.stdout)
    sys.stderr = sys.__stderr__ = _reopened(sys.stderr)
    sys.stderr.reconfigure(line_buffering=True)
    if _MEASURED in environment:
        import_module("coverage").process_startup()
    kind, *rest = arguments
    if kind == "-m":
        sys.path.insert(0, folder)
        sys.argv = rest
        sys.modules.pop(rest[0], None)  # it is `__main__`, no matter who imported it
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        code, *given = rest
        sys.path.insert(0, "")
        sys.argv = [kind, *given]
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), module.__dict__)
    else:
        sys.path.insert(0, os.path.dirname(os.path.abspath(kind)))
        sys.argv = arguments
        runpy.run_path(kind, run_name="__main__")


def _reopened(stream: Any) -> Any:
    return open(
        stream.fileno(),
        stream.mode,
        encoding=stream.encoding,
        errors=stream.errors,
        closefd=False,
    )


if __name__ == "__main__":
    for name in sys.argv[1:]:
        import_module(name)
    gc.freeze()  # what was imported is not written to in each fork
    become(**serve(socket.socket(fileno=0)))
