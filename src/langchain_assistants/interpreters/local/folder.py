"""A session's own folder on the host, whose content is a stranger's.

Nothing here follows a link: a path is walked component by component, from descriptors.
"""

from __future__ import annotations

import os
import secrets
import stat
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice
from pathlib import Path, PurePosixPath

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters.base import FileInfo
from langchain_assistants.interpreters.local.trees import (
    AS_FOLDER,
    DEEPEST,
    delete_tree,
    walk,
)

HOME = "/mnt/data"
"""The name of the folder in every session."""
TEMPORARY, SHARED_MEMORY = "/tmp", "/dev/shm"
"""The names of two others where they can be mounted."""
LISTED_FILES = 1_000
_LONGEST_PATH = 4_000  # characters; system calls take 4,096 bytes

_NO_FILE = "There is no such file in the session."


File = tuple[int, int]
"""A device and an inode."""


def file_of(found: os.stat_result) -> File:
    """Return which file something is, under whatever name."""
    return found.st_dev, found.st_ino


@dataclass(frozen=True, slots=True)
class Usage:
    """What a folder takes of the disk.

    Attributes:
        size: Bytes.
        entries: Files and folders.
        known: How many of the files that were asked about are among them.
    """

    size: int
    entries: int
    known: int = 0


class SessionFolder:
    """The writable places of one session: its data, and two for temporary files.

    Attributes:
        id: The session's id.
        path: Where it is on the host; nobody else may enter.
        uid: The user that it belongs to; None: the one of this process.
    """

    def __init__(self, base: Path, uid: int | None) -> None:
        """Make an empty one."""
        self.id = f"local_{secrets.token_hex(8)}"
        self.path = base / self.id
        self.uid = uid
        self._deleting = threading.Lock()
        for place in (self.path, self.data):
            self._make(place)

    @property
    def data(self) -> Path:
        """What the session calls /mnt/data."""
        return self.path / "data"

    @property
    def temporary(self) -> Path:
        """Its temporary files, for as long as one worker lives."""
        return self.path / "tmp"

    @property
    def shared_memory(self) -> Path:
        """The same, for what programs share as memory."""
        return self.path / "shm"

    @property
    def places(self) -> frozenset[str]:
        """All of them, by the names of the host and of the session."""
        own = {str(place) for place in (self.data, self.temporary, self.shared_memory)}
        return frozenset(own | {HOME, TEMPORARY, SHARED_MEMORY})

    def prepare(self) -> None:
        """Make it ready for a worker, whatever another one left, which has ended.

        Temporary files go: bubblewrap makes mount points among them where Python lies
        in /tmp, and would follow a stranger's links.

        Raises:
            OSError: Somebody still writes there.
        """
        self.data.chmod(0o700)
        for place in (self.temporary, self.shared_memory):
            if place.exists():
                place.chmod(0o700)
                delete_tree(place)
            self._make(place)

    def add_temporary(self, name: str, files: Mapping[str, bytes]) -> None:
        """Make a folder of temporary files, before code runs that may interfere."""
        place = self.temporary / name
        place.mkdir(mode=0o700)
        for file, data in files.items():
            (place / file).write_bytes(data)
        if self.uid is not None:
            for made in (place, *place.iterdir()):
                os.chown(made, self.uid, self.uid)

    def read(self, path: str, most: int) -> bytes:
        """Read a file of at most so many bytes.

        Raises:
            InterpreterError: There is none, or it is no regular file with one name.
        """
        with self._parent(path) as (folder, name):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            try:
                fd = os.open(name, flags, dir_fd=folder)
            except OSError as error:
                raise InterpreterError(_NO_FILE) from error
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise InterpreterError(_NO_FILE)
            if found.st_size > most:
                raise InterpreterError(
                    f"The file has {found.st_size} bytes; at most {most} are read."
                )
            with open(fd, "rb", closefd=False) as file:
                return file.read(most)
        finally:
            os.close(fd)

    def write(self, path: str, data: bytes) -> str:
        """Write a file, in place of what has its name, and return its path.

        Raises:
            InterpreterError: There is a folder of that name, or no room.
        """
        try:
            with self._parent(path, make=True) as (folder, name):
                self._put(folder, name, data)
        except OSError as error:
            raise InterpreterError(
                f"The file could not be written ({os.strerror(error.errno or 0)})."
            ) from error
        return str(PurePosixPath(HOME, *self._parts(path)))

    def remove(self, path: str) -> None:
        """Delete a file; one that is gone already is no error."""
        with suppress(InterpreterError), self._parent(path) as (folder, name):
            try:
                os.unlink(name, dir_fd=folder)
            except FileNotFoundError:
                return
            except OSError as error:
                raise InterpreterError("Only a file can be removed.") from error

    def files(self, most: int) -> list[FileInfo]:
        """List regular files with one name that can be printed, the newest if many.

        Hidden ones are left out, what lies in hidden folders, and whose path no call
        would take. It ends after `most` entries: folders that move ahead of it would
        keep it going for hours.
        """
        found = (
            FileInfo("/".join((HOME, *parts)), info.st_size, info.st_mtime)
            for parts, info in islice(walk(self.data), most)
            if stat.S_ISREG(info.st_mode)
            and info.st_nlink == 1
            and sum(map(len, parts)) + len(parts) < _LONGEST_PATH
            and all(part.isprintable() and part[0] != "." for part in parts)
        )
        # Names can be long: those of many files are not kept all at once.
        newest = nlargest(LISTED_FILES, found, key=lambda file: file.modified)
        return sorted(newest, key=lambda file: file.path)

    def usage(
        self,
        most: int,
        *,
        since: int | None = None,
        among: Collection[File] = (),
    ) -> Usage:
        """Add up what all files take; stop after `most` entries.

        Args:
            most: Of files and folders.
            since: When everything must have come to rest, in nanoseconds.
            among: Files to look out for.

        Raises:
            PermissionError: Somebody is closing folders in front of us.
            Unsteady: Something has changed since that time, in nanoseconds.
        """
        size = entries = 0
        known: set[File] = set()
        for parts, info in walk(self.path, since=since):
            size += info.st_blocks * 512
            entries += 1
            if (file := file_of(info)) in among:
                known.add(file)
            if len(parts) >= DEEPEST:
                entries = most + 1
            if entries > most:
                break
        return Usage(size, entries, len(known))

    def delete(self) -> None:
        """Delete everything, however deep it is, when no process is left in it."""
        with self._deleting:
            delete_tree(self.path)

    def _make(self, place: Path) -> None:
        place.mkdir(mode=0o700)
        if self.uid is not None:
            os.chown(place, self.uid, self.uid)

    def _put(self, folder: int, name: str, data: bytes) -> None:
        new = f".{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(new, flags, 0o644, dir_fd=folder), "wb") as file:
            try:
                self._own(file.fileno())
                file.write(data)
                file.flush()
                os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                os.unlink(new, dir_fd=folder)
                raise

    def _own(self, fd: int) -> None:
        if self.uid is not None:
            os.fchown(fd, self.uid, self.uid)

    def _parts(self, path: str) -> tuple[str, ...]:
        """Split a path within the folder, by any of its names."""
        pure = PurePosixPath(path)
        for name in (HOME, str(self.data)):
            if pure.is_relative_to(name):
                pure = pure.relative_to(name)
        parts = pure.parts
        if not parts or pure.is_absolute() or ".." in parts or "\0" in path:
            raise InterpreterError(f"Files of a session are in {HOME}.")
        return parts

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """Open the folder that a file is in; yield it with the file's name."""
        *folders, name = self._parts(path)
        fd = os.open(self.data, AS_FOLDER)
        try:
            for folder in folders:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(folder, 0o755, dir_fd=fd)
                        made = os.open(folder, AS_FOLDER, dir_fd=fd)
                        self._own(made)
                        os.close(made)
                try:
                    inner = os.open(folder, AS_FOLDER, dir_fd=fd)
                except OSError as error:
                    raise InterpreterError(_NO_FILE) from error
                os.close(fd)
                fd = inner
            yield fd, name
        finally:
            os.close(fd)
