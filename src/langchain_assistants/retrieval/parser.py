"""Reads hostile files: in another process, under limits, one after the other."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

from langchain_assistants.retrieval.chunking import Chunk, Chunking
from langchain_assistants.retrieval.documents import (
    MAX_CHARACTERS,
    RefusedFile,
    invalid,
)
from langchain_assistants.retrieval.parser_process import read
from langchain_assistants.retrieval.parsing import check_extension, is_plain
from langchain_assistants.retrieval.tokens import cache_folder

WALL_SECONDS = 120.0
FILES_A_PROCESS = 200
"""Libraries leak: another process reads the next file."""

# Decoding so little text is no risk, and faster than to start a process.
_DECODED_HERE = 2**18
_LONGEST_HEADER = 64 * 2**20
_KEPT_VARIABLES = ("LANG", "SYSTEMROOT")


class ChunkedDocument(NamedTuple):
    """What was read from a file.

    Attributes:
        text: All of its text.
        chunks: How it is cut; they cover the text.
    """

    text: str
    chunks: list[Chunk]


class Parser:
    """Reads files, one at a time; a broken or hostile one does no harm to the next.

    Args:
        wall_seconds: How long a file may take.

    Example:
        >>> with Parser() as parser:  # doctest: +SKIP
        ...     document = parser.read(Path("upload"), "report.pdf", Chunking())
        >>> first = document.chunks[0]
        >>> document.text[first.start : first.end], first.page
    """

    def __init__(self, *, wall_seconds: float = WALL_SECONDS) -> None:
        """Start nothing; the process starts with the first file that needs it."""
        self._wall_seconds = wall_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._files = 0
        self._closed = False

    def read(self, path: Path, filename: str, chunking: Chunking) -> ChunkedDocument:
        """Read a file and cut it into chunks; blocks until that is done.

        Args:
            path: Where its content lies.
            filename: What its owner calls it: its extension says what it is.
            chunking: How to cut it.

        Raises:
            RefusedFile: It cannot be searched, and why.
        """
        check_extension(filename)
        try:
            small = path.stat().st_size <= _DECODED_HERE
            if small and is_plain(filename):
                document, chunks = read(path, filename, chunking)
                return ChunkedDocument(document.text, chunks)
        except OSError as error:
            raise RefusedFile(
                "server_error", f"The file cannot be read: {error.strerror}."
            ) from error
        request = {
            "path": os.fspath(path.absolute()),
            "filename": filename,
            "chunking": chunking,
        }
        return self._ask(json.dumps(request).encode() + b"\n")

    def close(self) -> None:
        """End the process; what it reads is given up. May be called twice."""
        with self._lock:
            self._closed = True
        self._end()

    def __enter__(self) -> Parser:
        """Return the parser; leaving the block closes it."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the parser."""
        self.close()

    def _ask(self, request: bytes) -> ChunkedDocument:
        process = self._living()
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._wall_seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            return _answered(process, request)
        except RefusedFile:
            raise
        # It has died, or no longer says what it should.
        except (OSError, ValueError, KeyError, TypeError):
            self._end()
            if self._closed:
                raise RefusedFile(
                    "server_error", "The engine was closed while it read the file."
                ) from None
            if late.is_set():
                raise invalid(
                    f"The file takes longer than {self._wall_seconds:.0f} seconds to "
                    "be read. Split it."
                ) from None
            raise invalid(
                "The file cannot be read: its reader ran out of time or memory, or "
                "crashed. The file may be damaged."
            ) from None
        except BaseException:
            self._end()
            raise
        finally:
            timer.cancel()

    def _living(self) -> subprocess.Popen[bytes]:
        if self._files >= FILES_A_PROCESS:
            self._end()
        with self._lock:
            if self._closed:
                raise RefusedFile("server_error", "The parser is closed.")
            if self._process is None or self._process.poll() is not None:
                self._process = _start()
                self._files = 0
            self._files += 1
            return self._process

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _start() -> subprocess.Popen[bytes]:
    """Start a process that has nothing of this one's environment but the code."""
    environment = {
        name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ
    }
    # It may not look for a folder of its own: that would be to write a file.
    environment["TIKTOKEN_CACHE_DIR"] = cache_folder() or ""
    environment["PYTHONPATH"] = os.pathsep.join(
        folder or os.getcwd() for folder in sys.path
    )
    return subprocess.Popen(
        [sys.executable, "-P", "-m", f"{__package__}.parser_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )


def _answered(process: subprocess.Popen[bytes], request: bytes) -> ChunkedDocument:
    """Ask and return the answer; nothing in it is believed that can be checked.

    Raises:
        RefusedFile: The file cannot be searched.
        OSError, ValueError, KeyError, TypeError: There is no (good) answer.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(request)
    process.stdin.flush()
    header: Any = json.loads(process.stdout.readline(_LONGEST_HEADER))
    if "code" in header:
        raise RefusedFile(header["code"], header["message"])
    size = header["bytes"]
    if not 0 < size <= 4 * MAX_CHARACTERS:
        raise ValueError("No file has so much text.")
    text = process.stdout.read(size).decode()
    chunks = [Chunk(*each) for each in header["chunks"]]
    if not all(0 <= each.start < each.end <= len(text) for each in chunks):
        raise ValueError("A chunk is not in the text.")
    return ChunkedDocument(text, chunks)
