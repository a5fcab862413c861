"""What processes hold that has no name: deleted files and folders, pipes and sockets.

They may do anything meanwhile, and they want to be misunderstood.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from langchain_assistants.interpreters.local.folder import File, Usage, file_of
from langchain_assistants.interpreters.local.processes import (
    GONE,
    Process,
    is_leaving,
)
from langchain_assistants.interpreters.local.trees import Unsteady, instead_of

_PAGE = os.sysconf("SC_PAGE_SIZE")
_DELETED = " (deleted)"
_ABOVE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_ABOVE = 256
_OF_A_PROCESS = re.compile(r"/proc/(\d+)/(?:task/\d+/)?(\w+)$")
# They are of the memory that there was when they were opened.
_OF_MEMORY = frozenset(
    {"auxv", "environ", "maps", "mem", "numa_maps", "pagemap", "smaps", "smaps_rollup"}
)
_LARGEST_ENTRY = 264  # bytes that a name takes of a folder
_CHANNELS = (stat.S_IFIFO, stat.S_IFSOCK)
_ANONYMOUS = ("/dev/zero", "/SYSV")  # memory that is no file
# Characters that the kernel tells of memory: pandas and matplotlib make it 100,000. Of
# a process with more, calls that lock its memory would take long.
_MOST_MAPS, _MOST_MAPS_OF_ONE = 8_000_000, 500_000
_HASTE_SECONDS = 0.2


class Crowd(Exception):
    """So much is mapped that nobody could look through it in time."""


class TooDeep(Exception):
    """Something is below more folders than anybody can count."""


@dataclass(frozen=True, slots=True)
class Held:
    """What processes hold that has no name.

    Attributes:
        nameless: Files and folders that were deleted.
        unknown: Files in memory whose sizes are told to root alone, and of which one
            name at least was deleted.
        channels: Pipes and sockets.
    """

    nameless: Usage
    unknown: frozenset[File] = frozenset()
    channels: int = 0


def held(
    processes: Iterable[Process],
    *,
    places: Collection[str],
    besides: tuple[str, ...],
    most: int,
    steady: bool = False,
) -> Held:
    """Return what is held by descriptors, in memory, as a program or as the place.

    Args:
        processes: Who may hold it. Threads of one share it all: the filter of system
            calls sees to it.
        places: Where they write, by all names.
        besides: Where they write nothing: a package's upgrade takes files away too.
        most: After so many files and folders it stops.
        steady: Whether all has to be seen at once, without waiting for locks of memory.

    Raises:
        Crowd: They hold too much to be looked through.
        TooDeep: They hold what is too deep to be looked at.
        PermissionError: One keeps secret what it holds, or may hold another's memory.
        Unsteady: They keep us waiting, or put things elsewhere in front of us, and
            `steady` forbids it.
    """
    search = _Search(places, most, steady=steady)
    mapped: dict[str, tuple[File, str]] = {}
    left = _MOST_MAPS
    for process in processes:
        task = f"/proc/{process.teller}"
        maps = b""
        try:
            found = search.note(task)
            if steady and (None in found.values() or found != search.note(task)):
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
    for path, (file, name) in mapped.items():
        search.hurry()
        search.note_name(path, name)
        if file not in search.sizes:
            try:
                search.add(path)
            except PermissionError:
                search.unknown.add(file)
    return search.held


class _Search:
    """What was found so far; whoever holds it counts once."""

    def __init__(self, places: Collection[str], most: int, *, steady: bool) -> None:
        self.sizes: dict[File, int] = {}
        self.unknown: set[File] = set()
        self._above: dict[str, int] = {}
        self._channels: set[File] = set()
        self._places = places
        self._most = most
        self._until = time.monotonic() + _HASTE_SECONDS if steady else None

    @property
    def has_enough(self) -> bool:
        return len(self.sizes) > self._most

    @property
    def held(self) -> Held:
        # As large as they could be.
        above = sum(self._above.values())
        size = sum(self.sizes.values()) + above * self._most * _LARGEST_ENTRY
        nameless = Usage(size, len(self.sizes) + above)
        return Held(nameless, frozenset(self.unknown), len(self._channels))

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
            name = _name(path)
            if stat.S_ISDIR(found.st_mode):
                # Not every file system counts the names of folders.
                if not found.st_nlink or name.endswith(_DELETED):
                    self._add_removed(path)
                return file_of(found)
            self.note_name(path, name)
            if stat.S_IFMT(found.st_mode) in _CHANNELS:
                self._channels.add(file_of(found))
            elif not found.st_nlink:
                self.sizes[file_of(found)] = found.st_blocks * 512
            elif _keeps_memory(path, name, found):
                if self._until is not None:
                    raise Unsteady
                raise PermissionError(errno.EPERM, "It may be the memory of a dead one")
        except (*GONE, NotADirectoryError):  # it ended, or holds something else now
            return None
        return file_of(found)

    def _add_removed(self, path: str) -> None:
        """Note a folder that was removed, and those above it, which it keeps."""
        fd = os.open(path, _ABOVE)
        try:
            for height in range(_MOST_ABOVE):
                found = os.fstat(fd)
                if file_of(found) in self.sizes or (height and found.st_nlink):
                    return
                self.sizes[file_of(found)] = found.st_blocks * 512
                fd = instead_of(fd, os.open("..", _ABOVE, dir_fd=fd))
        finally:
            os.close(fd)
        raise TooDeep

    def note_name(self, path: str, name: str) -> None:
        """Note how many folders are above what has lost its name.

        They may have been removed too, and are there as long as it is held, by this
        one or by another that had the same name; nobody can look at them.
        """
        if name.endswith(_DELETED):
            inside = [
                name[len(place) + 1 :]
                for place in self._places
                if name.startswith(f"{place}/")
            ]
            self._above[path] = min((path.count("/") for path in inside), default=0)


def _held_files(task: str) -> Iterator[str]:
    yield from (f"{task}/exe", f"{task}/cwd")
    with suppress(*GONE):
        yield from (f"{task}/fd/{name}" for name in os.listdir(f"{task}/fd"))


def _name(path: str) -> str:
    """Return what the holder calls something.

    Raises:
        TooDeep: Its path is too long to be told.
    """
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise TooDeep from None
        raise


def _keeps_memory(path: str, name: str, found: os.stat_result) -> bool:
    """Return whether a file may keep the memory of another process than its holder.

    Who reads from it keeps it when that one ends or becomes another program; and
    somebody else may have the number of one that has ended.
    """
    told = _OF_A_PROCESS.match(name)
    if told is None:
        return False
    holder = "/".join(path.split("/")[:3])
    with open(f"{holder}/status", "rb") as file:
        numbers = next(line for line in file if line.startswith(b"NSpid:")).split()
    if int(told[1]) != int(numbers[-1]) and told[2] in _OF_MEMORY:
        return True
    try:
        return file_of(os.stat(f"{holder}/root{name}")) != file_of(found)
    except GONE:
        return True


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


def _mapped_files(
    task: str, maps: bytes, besides: tuple[str, ...]
) -> dict[str, tuple[File, str]]:
    """Return nameless files in memory, and their last names, by where to ask for."""
    found: dict[str, tuple[File, str]] = {}
    if _DELETED.encode() not in maps:
        return found
    below = (*(f"{path}/" for path in besides), *_ANONYMOUS)
    for line in os.fsdecode(maps).split("\n"):
        if line.endswith(_DELETED):
            addresses, _, _, device, inode, name = line.split(maxsplit=5)
            if name.startswith(below) or name.removesuffix(_DELETED) in besides:
                continue
            major, minor = (int(part, 16) for part in device.split(":"))
            start, end = (part.lstrip("0") for part in addresses.split("-"))
            file = os.makedev(major, minor), int(inode)
            found[f"{task}/map_files/{start}-{end}"] = file, name
    return found
