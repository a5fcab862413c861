"""Contents of files, in a folder beside the database; it knows no rows.

A blob is named by the id of its object, never by what a caller calls the file. It is
whole or absent: it is written under another name first, and flushed to the disk.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import anyio
from anyio.to_thread import run_sync

from langchain_assistants.errors import FileTooLargeError, StorageError

logger = logging.getLogger(__name__)

CHUNK = 2**20
"""Bytes that are read at once."""

_NAME = re.compile(r"[A-Za-z]+[-_][A-Za-z0-9_-]+", re.ASCII)
_OURS = re.compile(rf"{_NAME.pattern}(\.[0-9a-f]+\.part)?", re.ASCII)


class Stored(NamedTuple):
    """What was stored: how many bytes, and the digest over them in hexadecimal."""

    bytes: int
    sha256: str


class Blobs:
    """A folder of blobs; safe to use from several threads, loops and processes.

    Args:
        folder: Made when the first blob is stored. None: a temporary folder, which
            goes with `close` or with the process.
    """

    def __init__(self, folder: Path | None) -> None:
        """Touch nothing."""
        self._folder = folder
        self._making = threading.Lock()
        self._forget: weakref.finalize[[Path, bool], Blobs] | None = None
        self._closed = False

    @classmethod
    def beside(cls, database: str) -> Blobs:
        """Return the blobs of a SQLite file: the folder `<database>.files`."""
        return cls(Path(f"{database}.files"))

    async def store(
        self, name: str, chunks: AsyncIterable[bytes], *, limit: int
    ) -> Stored:
        """Store a blob from its pieces, in constant memory.

        Args:
            name: The id of the object that it belongs to.
            chunks: The pieces; none is asked for after the limit.
            limit: Most bytes.

        Raises:
            FileTooLargeError: There are more.
            StorageError: It cannot be written.
        """
        writer = await run_sync(_Writer, self._made(), _checked(name))
        try:
            async for chunk in chunks:
                if writer.size + len(chunk) > limit:
                    raise FileTooLargeError(limit)
                await run_sync(writer.write, chunk)
            return await run_sync(writer.finish)
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(writer.abandon)

    async def open(self, name: str) -> OpenBlob:
        """Open a blob, to be read in pieces.

        Raises:
            StorageError: It is missing, or cannot be read.
        """
        path = self._path(name)

        def opened() -> BinaryIO:
            try:
                return path.open("rb", buffering=0)
            except FileNotFoundError:
                raise _missing(name) from None
            except OSError as error:
                raise _unreadable(name, error) from error

        return OpenBlob(name, await run_sync(opened))

    async def read(self, name: str) -> bytes:
        """Return the whole of a blob.

        Raises:
            StorageError: It is missing, or cannot be read.
        """
        path = self._path(name)
        try:
            return await run_sync(path.read_bytes)
        except FileNotFoundError:
            raise _missing(name) from None
        except OSError as error:
            raise _unreadable(name, error) from error

    def path(self, name: str) -> Path:
        """Return where a blob lies, for a process that reads it; it may be missing.

        Raises:
            StorageError: It is missing.
        """
        return self._path(name)

    async def delete(self, names: Iterable[str]) -> None:
        """Delete blobs; what cannot be deleted now is left to the doctor."""
        if self._folder is None:
            return
        paths = [self._path(name) for name in names]

        def unlink() -> None:
            for path in paths:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    logger.warning(
                        "blob_not_deleted",
                        extra={"blob": path.name, "error": type(error).__name__},
                    )

        await run_sync(unlink)

    def names(self, *, older_than: float = 0) -> Iterator[str]:
        """Yield the names of the blobs, and of what dead writers left of some.

        Args:
            older_than: Seconds since it was written to last, by the system's clock.
        """
        written_before = time.time() - older_than
        folder = self._folder
        if folder is None or not folder.is_dir():
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                if not _OURS.fullmatch(entry.name):
                    continue
                with suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime <= written_before:
                        yield entry.name

    def has(self, name: str) -> bool:
        """Tell whether there is a blob of this name."""
        folder = self._folder
        return (
            folder is not None
            and _NAME.fullmatch(name) is not None
            and (folder / name).is_file()
        )

    def discard(self, names: Iterable[str]) -> None:
        """Delete some of `names`, whatever they are.

        Raises:
            StorageError: One cannot be deleted.
        """
        folder = self._folder
        for name in names if folder is not None else ():
            assert folder is not None
            try:
                (folder / Path(name).name).unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(
                    f"Cannot delete {name} in {folder}: {error.strerror}."
                ) from error

    def close(self) -> None:
        """Delete a temporary folder; may be called twice."""
        with self._making:
            self._closed = True
            if self._forget is not None:
                self._forget()

    def _made(self) -> Path:
        """Return the folder, making it where there is none."""
        with self._making:
            if self._closed:
                raise StorageError("The folder of files is closed.")
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="langchain-assistants-"))
                self._forget = weakref.finalize(
                    self, shutil.rmtree, self._folder, ignore_errors=True
                )
            try:
                self._folder.mkdir(mode=0o700, exist_ok=True)
            except OSError as error:
                raise StorageError(
                    f"Cannot store files in {self._folder}: {error.strerror}. Make it "
                    "a folder that can be written."
                ) from error
            return self._folder

    def _path(self, name: str) -> Path:
        if self._folder is None:
            raise _missing(name)
        return self._folder / _checked(name)


class _Writer:
    """Writes one blob on some thread: `write`, `finish`, and `abandon` at the end."""

    def __init__(self, folder: Path, name: str) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._target = folder / name
        self._part = folder / f"{name}.{uuid.uuid4().hex}.part"
        try:
            descriptor = os.open(
                self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600
            )
        except OSError as error:
            raise self._error(error) from error
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def write(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        self._sha256.update(view)
        self.size += len(view)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise self._error(error) from error

    def finish(self) -> Stored:
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._target)
            _synchronise(self._target.parent)
        except OSError as error:
            raise self._error(error) from error
        return Stored(self.size, self._sha256.hexdigest())

    def abandon(self) -> None:
        """Remove what is left of an unfinished blob."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _error(self, error: OSError) -> StorageError:
        return StorageError(
            f"Cannot store {self._target.name} in {self._target.parent}: "
            f"{error.strerror}. Nothing was stored."
        )


class OpenBlob:
    """A blob that is being read: once, in pieces; it closes itself at the end."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        """Take over an open file."""
        self._name = name
        self._file = file

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while chunk := await run_sync(self._file.read, CHUNK):
                yield chunk
        except OSError as error:
            raise _unreadable(self._name, error) from error
        finally:
            self._file.close()

    async def aclose(self) -> None:
        """Close it before its end."""
        self._file.close()


def _checked(name: str) -> str:
    """Refuse what is no id: the one place where names become paths."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no id.")
    return name


def _missing(name: str) -> StorageError:
    return StorageError(
        f"The content of {name} is missing on the disk. Restore the folder of files "
        "from a backup, or delete the file."
    )


def _unreadable(name: str, error: OSError) -> StorageError:
    return StorageError(f"The content of {name} cannot be read: {error.strerror}.")


def _synchronise(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where that can be asked for."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
