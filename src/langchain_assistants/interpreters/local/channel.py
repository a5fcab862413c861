"""JSON lines to and from a worker, awaited on whatever event loop asks."""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_PIECE = 262_144
LONGEST_LINE = 2_000_000
"""A worker that sends more without an end is not ours any more."""
MOST_BYTES, MOST_LINES = 200_000_000, 100_000
"""What follows one request at most, far more than any output that is kept."""
_LINES_AT_ONCE = 100
# JSON in few bytes can be objects in many: ours are a few long strings.
_MOST_QUOTES, _MOST_BESIDES_STRINGS = 2_000, 10_000


class Channel:
    """The host's ends of the two pipes. One task at a time may use it."""

    def __init__(self, requests: int, events: int) -> None:
        """Own two descriptors: one to write requests to, one to read events from."""
        for fd in (requests, events):
            os.set_blocking(fd, False)
        self._requests = requests
        self._events = events
        self._lines: deque[bytes] = deque()
        self._rest = bytearray()
        self._received_bytes = self._received_lines = 0
        self._closed = False

    async def send(self, **request: object) -> None:
        """Send a request.

        Raises:
            OSError: The worker is gone.
        """
        self._received_bytes = self._received_lines = 0
        line = memoryview((json.dumps(request) + "\n").encode())
        loop = asyncio.get_running_loop()
        while line:
            try:
                line = line[os.write(self._requests, line) :]
            except BlockingIOError:
                await _ready(loop.add_writer, loop.remove_writer, self._requests)

    def send_now(self, **request: object) -> None:
        """Send a short request if there is room; a worker that is gone is no error."""
        if not self._closed:
            with suppress(OSError):
                os.write(self._requests, (json.dumps(request) + "\n").encode())

    async def receive(self) -> dict[str, Any] | None:
        """Return the next event; None: the worker is gone, or it talks nonsense."""
        if self._received_lines % _LINES_AT_ONCE == _LINES_AT_ONCE - 1:
            await asyncio.sleep(0)  # a flood must not keep others from running
        while not self._lines:
            if self._closed or len(self._rest) > LONGEST_LINE:
                return None
            if not await self._read():
                return None
        line = self._lines.popleft()
        self._received_lines += 1
        self._received_bytes += len(line)
        if self._received_lines > MOST_LINES or self._received_bytes > MOST_BYTES:
            return None
        return _event(line)

    def close(self) -> None:
        """Close both pipes; the worker ends by that too."""
        if not self._closed:
            self._closed = True
            os.close(self._requests)
            os.close(self._events)

    async def _read(self) -> bool:
        """Read what there is; False at the end. It always lets others run."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)
        while True:
            try:
                piece = os.read(self._events, _PIECE)
                break
            except BlockingIOError:
                await _ready(loop.add_reader, loop.remove_reader, self._events)
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = bytes(self._rest) + lines[0]
            self._lines.extend(lines)
            self._rest.clear()
        self._rest += rest
        return bool(piece)


def _event(line: bytes) -> dict[str, Any] | None:
    if not _is_flat(line):
        return None
    try:
        # As bytes it could be UTF-16, which only looks flat.
        event = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _is_flat(line: bytes) -> bool:
    """Return whether a line is little besides the inside of some strings."""
    if len(line) > LONGEST_LINE:
        return False
    parts = line.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"', _MOST_QUOTES)
    return (
        len(parts) <= _MOST_QUOTES
        and sum(map(len, parts[::2])) <= _MOST_BESIDES_STRINGS
    )


async def _ready(
    add: Callable[..., object], remove: Callable[[int], object], fd: int
) -> None:
    """Wait until a descriptor can be read or written."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    add(fd, tell)
    try:
        await ready
    finally:
        remove(fd)
