"""A stateful Python interpreter in a child process, for the sandboxes of tests.

It is no jail, and needs POSIX. The child is this file run as a script, so it imports
the stdlib alone.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import linecache
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]

_REPEAT_SECONDS = 0.05
_WATCH_SECONDS = 1.0

_FORMS = {
    "html": "_repr_html_",
    "markdown": "_repr_markdown_",
    "svg": "_repr_svg_",
    "png": "_repr_png_",
    "jpeg": "_repr_jpeg_",
    "pdf": "_repr_pdf_",
    "latex": "_repr_latex_",
    "json": "_repr_json_",
    "javascript": "_repr_javascript_",
}


class PythonKernel:
    """The parent's side: starts the child when it is needed, and asks it.

    Example:
        >>> kernel = PythonKernel(Path("."))
        >>> [event["type"] for event in kernel.execute("6 * 7")]
        ['result']
        >>> kernel.kill()
    """

    def __init__(self, folder: Path, env: dict[str, str] | None = None) -> None:
        """Start nothing yet; code will run in `folder`."""
        self._folder = folder
        # pip may fetch nothing and leave nothing outside the folder.
        pip = {"PIP_NO_INDEX": "1", "PIP_TARGET": str(folder / ".packages")}
        self._env = {"PATH": os.defpath, "HOME": str(folder), **pip, **(env or {})}
        self._child: subprocess.Popen[bytes] | None = None
        self._wedged = False
        self._lock = threading.Lock()
        self._killed: list[subprocess.Popen[bytes]] = []

    def execute(
        self,
        code: str,
        listener: socket.socket | None = None,
        *,
        wedge_after_interrupt: bool = False,
    ) -> Iterator[Event]:
        """Yield what the code puts out, in the form of E2B's stream.

        When the `listener` hangs up, the code is interrupted. A wedged interpreter
        answers nothing until it is killed.

        Raises:
            BrokenPipeError: The child was killed, or the listener of a wedged one left.
        """
        try:
            with self._lock:
                if not self._wedged:
                    yield from self._answers(code, listener, wedge_after_interrupt)
                    return
        finally:
            self._bury()
        if listener is not None:
            listener.recv(1)
        raise BrokenPipeError("the kernel is wedged")

    def _answers(
        self, code: str, listener: socket.socket | None, wedge: bool
    ) -> Iterator[Event]:
        child = self._started()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps({"code": code}).encode() + b"\n")
        child.stdin.flush()
        answers = child.stdout.fileno()
        sources = [answers, *([listener.fileno()] if listener else [])]
        patience = None
        buffer = b""
        while True:
            readable, _, _ = select.select(sources, [], [], patience)
            if readable != [answers]:
                # Nothing follows a request: the listener has hung up. An interrupt may
                # come before the code has begun, so it is repeated.
                sources, patience = [answers], _REPEAT_SECONDS
                self._wedged = wedge
                child.send_signal(signal.SIGINT)
            if answers not in readable:
                continue
            data = os.read(answers, 65_536)
            if not data:
                raise BrokenPipeError("the kernel was killed")
            *lines, buffer = (buffer + data).split(b"\n")
            for event in map(json.loads, lines):
                if event["type"] == "done":
                    return
                yield event

    def kill(self) -> None:
        """End the child and everything it started; its variables are lost.

        It waits for nobody: who tells of the child may be held up by his listener.
        """
        child, self._child = self._child, None
        self._wedged = False
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        self._killed.append(child)
        self._bury()

    def _bury(self) -> None:
        """Close the pipes of the killed, unless somebody reads: then he does it."""
        while self._killed and self._lock.acquire(blocking=False):
            try:
                for child in self._killed[:]:
                    self._killed.remove(child)
                    for pipe in (child.stdin, child.stdout):
                        assert pipe is not None
                        with contextlib.suppress(BrokenPipeError):
                            pipe.close()
            finally:
                self._lock.release()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-I", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._folder,
                env=self._env,
                start_new_session=True,
            )
            # Before this it would die of an interrupt.
            assert self._child.stdout is not None
            os.read(self._child.stdout.fileno(), 65_536)
        return self._child


class _Interrupts:
    """SIGINT, which reaches the code and never our own writing of an event."""

    def __init__(self) -> None:
        self.enabled = False
        self._held = False
        self._pending = False
        signal.signal(signal.SIGINT, self._receive)

    def _receive(self, *_: object) -> None:
        if self.enabled:
            self.enabled = False
            raise KeyboardInterrupt
        self._pending = self._pending or self._held

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        # In this order: one that comes between two lines must not get lost.
        self._held = self.enabled
        self.enabled = False
        yield
        self.enabled = self._held
        self._held = False
        if self._pending:
            self.forget()
            raise KeyboardInterrupt

    def forget(self) -> None:
        self.enabled = self._held = self._pending = False


class _Stream(io.TextIOBase):
    """The child's stdout or stderr, as events."""

    def __init__(self, name: str, kernel: _Child) -> None:
        self._name = name
        self._kernel = kernel

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if text:
            self._kernel.emit(type=self._name, text=text)
        return len(text)


class _Child:
    """The child's side: executes one piece of code after another."""

    def __init__(self) -> None:
        # What subprocesses print must not end up between the events.
        self._events = os.dup(1)
        os.dup2(2, 1)
        self._interrupts = _Interrupts()
        self._count = 0
        main = types.ModuleType("__main__")
        main.__dict__["display"] = self._display
        sys.modules["__main__"] = main
        self._names = main.__dict__
        sys.path[:0] = [os.getcwd(), os.environ["PIP_TARGET"]]

    def serve(self) -> None:
        threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
        requests = os.fdopen(os.dup(0), "rb")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout = _Stream("stdout", self)
        sys.stderr = _Stream("stderr", self)
        self.emit(type="ready")
        for line in requests:
            self._execute(json.loads(line)["code"])
            self.emit(type="done")

    def emit(self, **event: Any) -> None:
        with self._interrupts.held():
            data = json.dumps(event).encode() + b"\n"
            while data:
                data = data[os.write(self._events, data) :]

    def _execute(self, code: str) -> None:
        self._count += 1
        name = f"<cell {self._count}>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        try:
            self._interrupts.enabled = True
            value = self._value(code, name)
            if value is not None:
                self._show(value, is_main_result=True)
        except BaseException as error:
            self._interrupts.forget()
            frames = error.__traceback__
            while frames and frames.tb_frame.f_code.co_filename == __file__:
                frames = frames.tb_next
            text = "".join(traceback.format_exception(type(error), error, frames))
            self.emit(
                type="error",
                name=type(error).__name__,
                value=str(error),
                traceback=text,
            )
        finally:
            self._interrupts.forget()

    def _value(self, code: str, name: str) -> Any:
        """Execute the code; return the value of its last expression."""
        tree = ast.parse(code, name)
        last = tree.body[-1] if tree.body else None
        if not isinstance(last, ast.Expr):
            exec(compile(tree, name, "exec"), self._names)
            return None
        tree.body.pop()
        exec(compile(tree, name, "exec"), self._names)
        return eval(compile(ast.Expression(last.value), name, "eval"), self._names)

    def _display(self, *values: Any) -> None:
        for value in values:
            self._show(value, is_main_result=False)

    def _show(self, value: Any, *, is_main_result: bool) -> None:
        text = value if isinstance(value, str) else repr(value)
        forms: dict[str, Any] = {"text": text}
        for form, method in _FORMS.items():
            shown = getattr(value, method, None)
            if shown is None or isinstance(value, type):
                continue
            data = shown()
            if isinstance(data, bytes):
                data = base64.b64encode(data).decode()
            if data is not None:
                forms[form] = data
        self.emit(type="result", extra={}, is_main_result=is_main_result, **forms)


def _die_with(parent: int) -> None:
    """End this process with its parent, whatever code it is in the middle of."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    _Child().serve()
