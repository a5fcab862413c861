"""What processes hold that has no name: deleted files and folders, pipes and sockets.

They may do anything meanwhile, and they want to be misunderstood.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from langchain_assistants.interpreters.local.folder import Usage
from langchain_assistants.interpreters.local.processes import (
    GONE,
    Process,
    is_leaving,
)
from langchain_assistants.interpreters.local.trees import Unsteady, instead_of

_PAGE = os.sysconf("SC_PAGE_SIZE")
_DELETED = b" (deleted)"
_ABOVE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_ABOVE = 256
_CHANNELS = (stat.S_IFIFO, stat.S_IFSOCK)
_ANONYMOUS = (b"/dev/zero", b"/SYSV")  # memory that is no file
# Characters that the kernel tells of memory: pandas and matplotlib make it 100,000. Of
# a process with more, calls that lock its memory would take long.
_MOST_MAPS, _MOST_MAPS_OF_ONE = 8_000_000, 1_000_000
_HASTE_SECONDS = 0.2

File = tuple[int, int]
"""A device and an inode."""


class Crowd(Exception):
    """So much is mapped that nobody could look through it in time."""


@dataclass(frozen=True, slots=True)
class Held:
    """What processes hold that has no name.

    Attributes:
        nameless: Files and folders that were deleted.
        channels: Pipes and sockets.
    """

    nameless: Usage
    channels: int


def held(
    processes: Iterable[Process],
    *,
    besides: tuple[str, ...],
    largest: int,
    most: int,
    steady: bool = False,
) -> Held:
    """Return what is held by descriptors, in memory, as a program or as the place.

    Args:
        processes: Who may hold it. Threads of one share it all: the filter of system
            calls sees to it.
        besides: Where they write nothing: a package's upgrade takes files away too.
        largest: What a file is taken for whose size cannot be seen.
        most: After so many files and folders it stops.
        steady: Whether all has to be seen at once, without waiting for locks of memory.

    Raises:
        Crowd: They hold too much to be looked through.
        PermissionError: One keeps secret what it holds.
        Unsteady: They keep us waiting, or put things elsewhere in front of us, and
            `steady` forbids it.
    """
    search = _Search(most, steady=steady)
    mapped: dict[File, str] = {}
    left = _MOST_MAPS
    for process in processes:
        task = f"/proc/{process.living or process.pid}"
        maps = b""
        try:
            places = search.note(task)
            if steady and (None in places.values() or places != search.note(task)):
                raise Unsteady
            maps = _maps(task, search)
        except PermissionError:
            if not is_leaving(task):
                raise
            if steady:
                raise Unsteady from None
        left -= len(maps)
        if left < 0:
            raise Crowd
        mapped |= _mapped_files(task, maps, besides)
        if search.has_enough:
            break
    for file in mapped.keys() - search.sizes.keys():
        search.hurry()
        try:
            search.add(mapped[file])
        except PermissionError:  # the size is told to root alone
            search.sizes[file] = largest
    nameless = Usage(sum(search.sizes.values()), len(search.sizes))
    return Held(nameless, len(search.channels))


class _Search:
    """What was found so far; whoever holds it counts once."""

    def __init__(self, most: int, *, steady: bool) -> None:
        self.sizes: dict[File, int] = {}
        self.channels: set[File] = set()
        self._most = most
        self._until = time.monotonic() + _HASTE_SECONDS if steady else None

    @property
    def has_enough(self) -> bool:
        return len(self.sizes) > self._most

    def hurry(self) -> None:
        """Make no session wait that goes on meanwhile.

        Raises:
            Unsteady: It keeps us waiting.
        """
        if self._until is not None and time.monotonic() > self._until:
            raise Unsteady

    def note(self, task: str) -> dict[str, File | None]:
        """Note what a process holds, until there is enough; return what is where."""
        found: dict[str, File | None] = {}
        for path in _held_files(task):
            self.hurry()
            found[path] = self.add(path)
            if self.has_enough:
                break
        return found

    def add(self, path: str) -> File | None:
        """Note what is somewhere, and return it; None: it is there no more."""
        try:
            found = os.stat(path)
            kind = stat.S_IFMT(found.st_mode)
            if kind in _CHANNELS:
                self.channels.add(_file(found))
            elif kind == stat.S_IFDIR:
                if not found.st_nlink or _is_removed(path):
                    self._add_removed(path)
            elif not found.st_nlink:
                self._put(found)
        except (*GONE, NotADirectoryError):  # it ended, or holds something else now
            return None
        return _file(found)

    def _add_removed(self, path: str) -> None:
        """Note a folder that was removed, and those above it, which it keeps."""
        fd = os.open(path, _ABOVE)
        try:
            for height in range(_MOST_ABOVE):
                found = os.fstat(fd)
                if _file(found) in self.sizes or (height and found.st_nlink):
                    return
                self._put(found)
                fd = instead_of(fd, os.open("..", _ABOVE, dir_fd=fd))
        finally:
            os.close(fd)
        raise Crowd

    def _put(self, found: os.stat_result) -> None:
        self.sizes[_file(found)] = found.st_blocks * 512


def _file(found: os.stat_result) -> File:
    return found.st_dev, found.st_ino


def _held_files(task: str) -> Iterator[str]:
    yield from (f"{task}/exe", f"{task}/cwd")
    with suppress(*GONE):
        yield from (f"{task}/fd/{name}" for name in os.listdir(f"{task}/fd"))


def _is_removed(path: str) -> bool:
    """Ask by the name: not every file system counts the names of folders."""
    try:
        return os.readlink(path).endswith(_DELETED.decode())
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


def _maps(task: str, search: _Search) -> bytes:
    told: list[bytes] = []
    left = _MOST_MAPS_OF_ONE
    with suppress(*GONE), open(f"{task}/maps", "rb", buffering=0) as file:
        while piece := file.read(_PAGE):
            told.append(piece)
            left -= len(piece)
            if left < 0:
                raise Crowd
            search.hurry()
    return b"".join(told)


def _mapped_files(task: str, maps: bytes, besides: tuple[str, ...]) -> dict[File, str]:
    """Return nameless files in memory, by where they can be asked for."""
    if _DELETED not in maps:
        return {}
    found: dict[File, str] = {}
    others = tuple(map(os.fsencode, besides))
    below = (*(path + b"/" for path in others), *_ANONYMOUS)
    for line in maps.split(b"\n"):
        if line.endswith(_DELETED):
            addresses, _, _, device, inode, name = line.split(maxsplit=5)
            if name.startswith(below) or name.removesuffix(_DELETED) in others:
                continue
            major, minor = (int(part, 16) for part in device.split(b":"))
            start, end = (part.lstrip(b"0").decode() for part in addresses.split(b"-"))
            key = os.makedev(major, minor), int(inode)
            found[key] = f"{task}/map_files/{start}-{end}"
    return found
