"""sys.stdout and sys.stderr in the jail, and descriptors 1 and 2 beneath them."""

from __future__ import annotations

import io
import os
import select
import threading
import time
from codecs import getincrementaldecoder
from collections.abc import Iterable
from typing import Any

from .events import Events

_FLUSH_SECONDS = 0.01
_FLUSH_CHARACTERS = 32_768
_PIECE = 65_536


class Stream(io.TextIOBase):
    """Text on its way out, in batches: prompt when quiet, few when it is a flood."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, name: str, fd: int, events: Events, flusher: Flusher) -> None:
        """Write under the name of a stream; `fd` is where a child writes."""
        self.name = name
        self._fd = fd
        self._events = events
        self._flusher = flusher
        self._parts: list[str] = []
        self._size = 0
        self._lock = threading.RLock()
        self._told = 0.0
        self.buffer = _Bytes(self)

    def writable(self) -> bool:
        """Say yes."""
        return True

    def fileno(self) -> int:
        """Return the descriptor that programs inherit."""
        return self._fd

    def write(self, text: str) -> int:
        """Take text; it is told at once, in a moment or when there is much."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._events.in_child:
            os.write(self._fd, text.encode("utf-8", "replace"))
            return len(text)
        with self._lock:
            self._parts.append(text)
            self._size += len(text)
        quiet = time.monotonic() - self._told > _FLUSH_SECONDS
        if (quiet and "\n" in text) or self._size > _FLUSH_CHARACTERS:
            self.flush()
        else:
            self._flusher.wake()
        return len(text)

    def flush(self) -> None:
        """Tell what was taken."""
        if self._events.in_child:
            return
        with self._lock:
            text, self._parts, self._size = "".join(self._parts), [], 0
            self._told = time.monotonic()
            for start in range(0, len(text), _PIECE):
                piece = text[start : start + _PIECE]
                self._events.tell(type=self.name, text=piece)


class _Bytes(io.RawIOBase):
    """The `buffer` of a stream: bytes that are shown as text, whatever they are."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._decode = getincrementaldecoder("utf-8")("replace").decode

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        taken = bytes(data)
        self._stream.write(self._decode(taken))
        return len(taken)

    def flush(self) -> None:
        self._stream.flush()


class Flusher:
    """A thread that tells what lies in the streams a moment later."""

    def __init__(self) -> None:
        """Start it; it never ends."""
        self.streams: list[Stream] = []
        self._wanted = threading.Event()
        threading.Thread(target=self._work, daemon=True).start()

    def wake(self) -> None:
        """Flush soon."""
        self._wanted.set()

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            time.sleep(_FLUSH_SECONDS)
            self._wanted.clear()
            for stream in self.streams:
                stream.flush()


class Pump:
    """Carries what is written to descriptors 1 and 2 into the streams.

    That is how programs, C libraries and forks print.
    """

    def __init__(self, streams: Iterable[Stream]) -> None:
        """Put pipes in place of the descriptors and read them from now on."""
        self._ends: dict[int, tuple[Stream, Any]] = {}
        self._lock = threading.Lock()
        for stream in streams:
            reading, writing = os.pipe()
            os.dup2(writing, stream.fileno())
            os.close(writing)
            os.set_blocking(reading, False)
            decoder = getincrementaldecoder("utf-8")("replace")
            self._ends[reading] = (stream, decoder.decode)
        threading.Thread(target=self._work, daemon=True).start()

    def drain(self) -> None:
        """Carry over what has been written so far."""
        with self._lock:
            for fd, (stream, decode) in self._ends.items():
                for _ in range(16):  # a pipe's worth: a flood must not hold us here
                    try:
                        data = os.read(fd, _PIECE)
                    except BlockingIOError:
                        break
                    if not data:
                        break
                    stream.write(decode(data))

    def _work(self) -> None:
        poll = select.poll()
        for fd in self._ends:
            poll.register(fd, select.POLLIN)
        while self._ends:
            for fd, happened in poll.poll():
                if happened & ~select.POLLIN and not happened & select.POLLIN:
                    poll.unregister(fd)  # the code closed the descriptor
            self.drain()
