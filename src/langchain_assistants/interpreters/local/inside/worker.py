"""The worker: executes code with lasting variables, one piece after the other."""

from __future__ import annotations

import ast
import builtins
import linecache
import os
import sys
import threading
import time
import traceback
import types
from json import loads
from queue import SimpleQueue

from . import figures
from .alias import Alias
from .display import Display
from .events import Events, Interrupts
from .kernel import close_from
from .semaphores import keep_names
from .streams import Flusher, Pump, Stream

TYPE_CHECKING = False  # as `typing` has it, whose import takes long
if TYPE_CHECKING:
    from typing import Any

_REPEAT_SECONDS = 0.05
_LONGEST_MESSAGE, _LONGEST_TRACEBACK = 10_000, 100_000
_HERE = os.path.dirname(__file__)


def serve(*, requests: int, events: int, paths: list[str], alias: str | None) -> None:
    """Take orders until the host goes away.

    Args:
        requests: The descriptor to read orders from.
        events: The descriptor to tell events on.
        paths: Where packages are imported from.
        alias: Another name of the working folder; None: it has its true one.
    """
    _close_all_but(requests, events)
    sys.path[:] = [path for path in sys.path if path != _HERE]
    sys.path += [*paths, ""]
    sys.argv[:] = [""]
    if alias is not None:
        Alias(alias, os.getcwd()).install()
    keep_names()
    worker = Worker(Events(events, interrupts := Interrupts()), interrupts)
    worker.listen(requests)
    worker.work()


class Worker:
    """The namespace of a session, and the loop of its main thread."""

    def __init__(self, events: Events, interrupts: Interrupts) -> None:
        """Begin with an empty namespace."""
        self._events = events
        self._interrupts = interrupts
        self._requests: SimpleQueue[dict[str, Any]] = SimpleQueue()
        flusher = Flusher()
        self._streams = [
            Stream("stdout", 1, events, flusher),
            Stream("stderr", 2, events, flusher),
        ]
        flusher.streams = self._streams
        self._pump = Pump(self._streams)
        self._stdin = open(os.devnull)  # noqa: SIM115 - as long as the process
        self._display = Display(events, self._streams)
        figures.display = self._display
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        self._names = main.__dict__
        self._names["__builtins__"] = builtins
        self._names["display"] = self._display
        self._builtins = vars(builtins)
        self._sound_builtins = dict(self._builtins)
        self._count = 0
        self._finished = 0

    def listen(self, fd: int) -> None:
        """Read orders in a thread of its own: an interrupt must not wait."""
        os.set_inheritable(fd, False)
        threading.Thread(target=self._listen, args=(fd,), daemon=True).start()

    def work(self) -> None:
        """Execute what is asked for, forever."""
        self._events.tell(type="ready")
        while True:
            try:
                request = self._requests.get()
                error = self._execute(request["code"])
                self._finish(request["number"], error)
            except KeyboardInterrupt:  # it came a moment too late
                continue

    def _listen(self, fd: int) -> None:
        with os.fdopen(fd, "rb") as lines:
            for line in lines:
                request = loads(line)
                if "code" in request:
                    self._requests.put(request)
                else:
                    number = request["interrupt"]
                    threading.Thread(
                        target=self._interrupt, args=(number,), daemon=True
                    ).start()
        os._exit(0)

    def _interrupt(self, number: int) -> None:
        """Interrupt again and again: it may not have begun, or swallow it."""
        while self._finished < number:
            self._interrupts.send()
            time.sleep(_REPEAT_SECONDS)

    def _execute(self, code: str) -> dict[str, str] | None:
        """Execute code; return its error."""
        self._count += 1
        sys.stdin, (sys.stdout, sys.stderr) = self._stdin, self._streams
        file = f"<cell {self._count}>"
        linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
        try:
            try:
                self._interrupts.arm()
                self._run(code, file)
                figures.show()
            except Exception:
                figures.show()
                raise
            except BaseException:
                figures.close()
                raise
            finally:
                self._interrupts.disarm()
                self._builtins.update(self._sound_builtins)
        except BaseException as error:
            self._interrupts.disarm()
            self._builtins.update(self._sound_builtins)
            return _described(error)
        return None

    def _run(self, code: str, file: str) -> None:
        tree = ast.parse(code, file)
        last: ast.Expression | None = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body[-1].value)
            del tree.body[-1]
        exec(compile(tree, file, "exec"), self._names)
        if last is not None:
            value = eval(compile(last, file, "eval"), self._names)
            if value is not None:
                self._names["_"] = value
                self._display.show(value, is_result=True)

    def _finish(self, number: int, error: dict[str, str] | None) -> None:
        for stream in self._streams:
            stream.flush()
        if self._events.in_child:  # a fork that came to the end of the code
            os._exit(0)
        self._pump.drain()
        for stream in self._streams:
            stream.flush()
        self._finished = number
        self._events.tell(type="done", number=number, error=error)


def _close_all_but(*kept: int) -> None:
    """Close what else the jail's program left open."""
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    close_from(first)


def _described(error: BaseException) -> dict[str, str]:
    """Write an error down without the frames of the worker."""
    name = type(error).__name__
    try:
        described = traceback.TracebackException.from_exception(error)
        _without_ours(described)
        message, lines = str(error), list(described.format())
    except Exception:  # the error's own methods fail
        message, lines = "", [f"{name}\n"]
    return {
        "name": name[:200],
        "message": message[:_LONGEST_MESSAGE],
        "traceback": "".join(lines)[-_LONGEST_TRACEBACK:],
    }


def _without_ours(described: traceback.TracebackException | None) -> None:
    while described is not None:
        described.stack[:] = [
            frame
            for frame in described.stack
            if os.path.dirname(frame.filename) != _HERE
        ]
        for inner in described.exceptions or ():
            _without_ours(inner)
        _without_ours(described.__cause__)
        described = described.__context__
