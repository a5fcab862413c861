"""The processes of this machine, by /proc: who belongs to whom, and what they use."""

from __future__ import annotations

import errno
import os
import signal
import stat
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from langchain_assistants.interpreters.local.trees import Unsteady

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = 1 / os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError)
_GENERATIONS = 16  # that come while their parents are being stopped
# Children that come while others are being stopped; how often none may have come.
_CATCHES, _QUIET_LOOKS = 2_000, 32
_DEAD, _STOPPED = (b"Z", b"X"), b"T"
_EXITING = 0x4  # PF_EXITING of the kernel
_DELETED = b" (deleted)"
_MOST_ABOVE = 256
_CHANNELS = (stat.S_IFIFO, stat.S_IFSOCK)
_ANONYMOUS = (b"/dev/zero", b"/SYSV")  # memory that is no file
# Characters that the kernel tells of memory: pandas and matplotlib make it 100,000. Of
# a process with more, calls that lock its memory would take long.
_MOST_MAPS, _MOST_MAPS_OF_ONE = 8_000_000, 1_000_000
_HASTE_SECONDS = 0.2

File = tuple[int, int]
"""A device and an inode."""


class Elusive(Exception):
    """Processes come faster than they can be stopped, each from the one before."""


class Crowd(Exception):
    """So much is mapped that nobody could look through it in time."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process.

    Attributes:
        memory: Resident bytes, shared ones included.
        seconds: Processor time, that of children included which it waited for.
        is_stopped: Whether it does nothing until it is told to go on.
        living: Its first thread that lives, and tells of what all share; None: none of
            them lived long enough to be looked at.
    """

    pid: int
    parent: int
    tasks: int
    memory: int
    seconds: float
    is_stopped: bool = False
    living: int | None = None


class Processes:
    """A look at all processes, at one moment; without /proc none is seen."""

    def __init__(self) -> None:
        """Look.

        Raises:
            OSError: There is no descriptor left to look with.
        """
        self._known = {pid: found for pid in _pids() if (found := _process(pid))}
        self._children: dict[int, list[Process]] = defaultdict(list)
        for pid, process in list(self._known.items()):
            # Whose parent has ended meanwhile has another one by now.
            if process.parent not in self._known and (again := _process(pid)):
                self._known[pid] = process = again
            self._children[process.parent].append(process)

    def tree(self, pid: int) -> list[Process]:
        """Return a process and all that descend from it."""
        found = [self._known[pid]] if pid in self._known else []
        for process in found:
            found.extend(self._children[process.pid])
        return found


def more_memory(pid: int) -> int:
    """Return the bytes of a process's page tables, and of what is in swap."""
    return _bytes_of(f"/proc/{pid}/status", b"VmPTE:", b"VmSwap:") or 0


def memory(processes: Iterable[Process]) -> int:
    """Return the bytes that processes take together, shared ones counted once."""
    return sum(_share(each) + more_memory(each.pid) for each in processes)


@dataclass(frozen=True, slots=True)
class Held:
    """What processes hold that has no name.

    Attributes:
        nameless: Bytes of the disk, of files and folders that were deleted.
        channels: Pipes and sockets.
    """

    nameless: int
    channels: int


def held(
    processes: Iterable[Process],
    *,
    besides: tuple[str, ...],
    largest: int,
    steady: bool = False,
) -> Held:
    """Return what is held by descriptors, in memory, as a program or as the place.

    Args:
        processes: Who may hold it. Threads of one share it all: the filter of system
            calls sees to it.
        besides: Where they write nothing: a package's upgrade takes files away too.
        largest: What a file is taken for whose size cannot be seen.
        steady: Whether all has to be seen at once, without waiting for locks of memory.

    Raises:
        Crowd: They hold too much to be looked through.
        PermissionError: One keeps secret what it holds.
        Unsteady: They keep us waiting, or put things elsewhere in front of us, and
            `steady` forbids it.
    """
    sizes: dict[File, int] = {}
    channels: set[File] = set()
    mapped: dict[File, str] = {}
    left = _MOST_MAPS
    until = time.monotonic() + _HASTE_SECONDS if steady else None
    for process in processes:
        task = f"/proc/{process.living or process.pid}"
        maps = b""
        try:
            places = _note(task, sizes, channels)
            if steady and (
                None in places.values() or places != _note(task, sizes, channels)
            ):
                raise Unsteady
            maps = _maps(task, until)
        except PermissionError:
            if not _is_leaving(task):
                raise
            if steady:
                raise Unsteady from None
        left -= len(maps)
        if left < 0:
            raise Crowd
        mapped |= _mapped_files(task, maps, besides)
    for file in mapped.keys() - sizes.keys():
        _hurry(until)
        try:
            _add(mapped[file], sizes, channels)
        except PermissionError:  # the size is told to root alone
            sizes[file] = largest
    return Held(sum(sizes.values()), len(channels))


@contextmanager
def stopped(pid: int, first: int | None) -> Iterator[list[Process]]:
    """Let a process and all that descend from it do nothing for a moment.

    Args:
        pid: The process.
        first: The first one of their namespace, to which those fall whose parents end.

    Raises:
        Elusive: New ones keep coming.
    """
    halted: set[int] = set()
    new: set[int] = set()
    try:
        if first is not None:
            _stop_children(first, halted)
        for _ in range(_GENERATIONS):
            tree = Processes().tree(pid)
            going = {process.pid for process in tree if not process.is_stopped}
            if not going:
                break
            new = going - halted
            _halt(going, halted)
        else:
            if new:
                raise Elusive
        yield tree
    finally:
        for one in halted:
            _tell(one, signal.SIGCONT)


def _stop_children(pid: int, halted: set[int]) -> None:
    """Stop the children of a process, also those that live for a moment only.

    Raises:
        Elusive: Each had another one before it was stopped.
    """
    quiet = 0
    for _ in range(_CATCHES):
        new = _children(pid) - halted
        _halt(new, halted)
        quiet = 0 if new else quiet + 1
        if quiet > _QUIET_LOOKS:
            return
    raise Elusive


def _halt(pids: set[int], halted: set[int]) -> None:
    for pid in pids:
        _tell(pid, signal.SIGSTOP)
    halted |= pids


def _children(pid: int) -> set[int]:
    """Return the children of a process at once; none where the kernel cannot tell."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return set(map(int, file.read().split()))
    except OSError:
        return set()


def running(program: str, argument: str) -> list[int]:
    """Return the processes of a program that have a text in their arguments."""
    found = []
    for pid in _pids():
        try:
            # Its arguments lie in its memory, which somebody else's could keep locked.
            with open(f"/proc/{pid}/comm", "rb") as file:
                if file.read().strip() != program.encode():
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                _, *arguments = file.read().split(b"\0")
        except OSError:
            continue
        if any(argument.encode() in given for given in arguments):
            found.append(pid)
    return found


def user_of(pid: int) -> int | None:
    """Return whose process it is, whatever it shows or hides; None: it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            users = next(line for line in file if line.startswith(b"Uid:"))
    except _GONE:
        return None
    return int(users.split()[1])


def _tell(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _pids() -> Iterator[int]:
    # The newest first: some end soon.
    for name in reversed(os.listdir("/proc")) if os.path.isdir("/proc") else ():
        if name.isdigit():
            yield int(name)


def _process(pid: int) -> Process | None:
    fields = _fields(f"/proc/{pid}")
    if fields is None:
        return None
    tasks = int(fields[17])
    living: int | None = pid
    if fields[0] in _DEAD:
        if tasks <= 1:  # its parent has not heard of it yet
            return None
        # Other threads live on: what they use is told by them alone.
        # What is below /proc/PID/task has no map_files.
        told = ((tid, _fields(f"/proc/{tid}")) for tid in _threads(pid))
        alive = ((tid, of) for tid, of in told if of and of[0] not in _DEAD)
        living, fields = next(alive, (None, fields))
    return Process(
        pid,
        parent=int(fields[1]),
        tasks=tasks,
        memory=int(fields[21]) * _PAGE,
        seconds=sum(map(int, fields[11:15])) * _TICK,
        is_stopped=fields[0] == _STOPPED,
        living=living,
    )


def _fields(folder: str) -> list[bytes] | None:
    """Return what is told of a process or thread, from its state on."""
    try:
        with open(f"{folder}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (*_GONE, PermissionError):
        return None


def _threads(pid: int) -> list[int]:
    try:
        return [int(tid) for tid in os.listdir(f"/proc/{pid}/task")]
    except _GONE:
        return []


def _share(process: Process) -> int:
    """Return the proportional part of a process, or all of it when that is secret."""
    told = _bytes_of(f"/proc/{process.pid}/smaps_rollup", b"Pss:")
    return process.memory if told is None else told


def _bytes_of(path: str, *names: bytes) -> int | None:
    """Add up lines of a table in kilobytes; None: it has none of them, or is secret."""
    try:
        with open(path, "rb") as file:
            told = [int(line.split()[1]) for line in file if line.startswith(names)]
    except OSError:
        return None
    return sum(told) * 1024 if told else None


def _is_leaving(task: str) -> bool:
    """Return whether a process or thread ends, and is nobody's to look at any more."""
    fields = _fields(task)
    return fields is None or fields[0] in _DEAD or bool(int(fields[6]) & _EXITING)


def _note(
    task: str, sizes: dict[File, int], channels: set[File]
) -> dict[str, File | None]:
    """Note what a process holds; return what is where."""
    return {path: _add(path, sizes, channels) for path in _held_files(task)}


def _held_files(task: str) -> Iterator[str]:
    yield from (f"{task}/exe", f"{task}/cwd")
    with suppress(*_GONE):
        yield from (f"{task}/fd/{name}" for name in os.listdir(f"{task}/fd"))


def _maps(task: str, until: float | None) -> bytes:
    told: list[bytes] = []
    left = _MOST_MAPS_OF_ONE
    with suppress(*_GONE), open(f"{task}/maps", "rb", buffering=0) as file:
        while piece := file.read(_PAGE):
            told.append(piece)
            left -= len(piece)
            if left < 0:
                raise Crowd
            _hurry(until)
    return b"".join(told)


def _hurry(until: float | None) -> None:
    if until is not None and time.monotonic() > until:
        raise Unsteady


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


def _add(path: str, sizes: dict[File, int], channels: set[File]) -> File | None:
    """Note what is somewhere, and return it; None: it is there no more."""
    try:
        found = os.stat(path)
        key, kind = (found.st_dev, found.st_ino), stat.S_IFMT(found.st_mode)
        if kind in _CHANNELS:
            channels.add(key)
        elif kind == stat.S_IFDIR:
            _add_removed(path, found, sizes)
        elif not found.st_nlink:
            sizes[key] = found.st_blocks * 512
    except _GONE:  # it ended, or closed the file, in the meantime
        return None
    return key


def _is_removed(path: str) -> bool:
    """Ask by the name: not every file system counts the names of folders."""
    try:
        return os.readlink(path).endswith(_DELETED.decode())
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


def _add_removed(path: str, found: os.stat_result, sizes: dict[File, int]) -> None:
    """Note a folder that was removed, and those above it, which it keeps."""
    if not found.st_nlink or _is_removed(path):
        for _ in range(_MOST_ABOVE):
            key = found.st_dev, found.st_ino
            if key in sizes:
                return
            sizes[key] = found.st_blocks * 512
            path = f"{path}/.."
            found = os.stat(path)
            if found.st_nlink:
                return
        raise Crowd
