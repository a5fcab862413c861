"""What the worker tells its host: JSON lines on a pipe, whole or not at all."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from json import dumps
from types import FrameType


class Interrupts:
    """Ctrl-C from the host: it ends the code in hand, and nothing else of ours."""

    def __init__(self) -> None:
        """Take over the signal; the main thread's job."""
        self._main = threading.get_ident()
        self._armed = False
        self._shields = 0
        self._pending = False
        signal.signal(signal.SIGINT, self._on_signal)

    def arm(self) -> None:
        """Let interrupts through from here on."""
        self._pending = False
        self._armed = True
        signal.signal(signal.SIGINT, self._on_signal)  # the code may have replaced it

    def disarm(self) -> None:
        """Keep interrupts out."""
        self._armed = False

    def send(self) -> None:
        """Interrupt the main thread, from another one; harmless when it is idle."""
        if self._armed:
            signal.pthread_kill(self._main, signal.SIGINT)

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Put an interrupt off that comes in the middle of a line."""
        if threading.get_ident() != self._main:
            yield
            return
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
            if self._pending and not self._shields and self._armed:
                self._pending = False
                raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._armed:
            return
        if self._shields:
            self._pending = True
            return
        raise KeyboardInterrupt


class Events:
    """The way out. A child of the worker has none: it would garble the lines."""

    def __init__(self, fd: int, interrupts: Interrupts) -> None:
        """Write to a descriptor that no program started here inherits."""
        os.set_inheritable(fd, False)
        self._fd = fd
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._interrupts = interrupts

    @property
    def in_child(self) -> bool:
        """Whether this process is a fork of the worker."""
        return os.getpid() != self._pid

    def tell(self, **event: object) -> None:
        """Tell one event."""
        if self.in_child:
            return
        line = memoryview((dumps(event) + "\n").encode())
        with self._interrupts.shielded(), self._lock:
            while line:
                line = line[os.write(self._fd, line) :]
