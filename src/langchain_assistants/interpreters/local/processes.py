"""The processes of this machine, by /proc: who belongs to whom, and what they use."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from langchain_assistants.interpreters.local.inside.kernel import syscall

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = 1 / os.sysconf("SC_CLK_TCK")
GONE = (FileNotFoundError, ProcessLookupError)
"""What is raised when one asks for a process that has ended, or what it closed."""
_GENERATIONS = 16  # that come while their parents are being stopped
# Children that come while others are being stopped; how often none may have come.
_CATCHES, _QUIET_LOOKS = 2_000, 32
_DEAD, _STOPPED = (b"Z", b"X"), b"T"
_TGKILL = {"x86_64": 234, "aarch64": 131}.get(os.uname().machine, -1)
_EXITING = 0x4  # PF_EXITING of the kernel


class Elusive(Exception):
    """Processes come faster than they can be stopped, each from the one before."""


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

    @property
    def teller(self) -> int:
        """The number under which it tells of what its threads share."""
        return self.living or self.pid


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
    return sum(_share(each) + more_memory(each.teller) for each in processes)


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
    """Stop processes; of those that were told before, each thread by its own number.

    One whose first thread waits for what it forked (vfork) hears nothing else.
    """
    for pid in pids:
        if pid not in halted:
            _tell(pid, signal.SIGSTOP)
            continue
        for tid in _threads(pid):
            with suppress(ProcessLookupError, PermissionError):
                syscall(_TGKILL, pid, tid, int(signal.SIGSTOP))
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
    except GONE:
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
    except (*GONE, PermissionError):
        return None


def _threads(pid: int) -> list[int]:
    try:
        return [int(tid) for tid in os.listdir(f"/proc/{pid}/task")]
    except GONE:
        return []


def _share(process: Process) -> int:
    """Return the proportional part of a process, or all of it when that is secret."""
    told = _bytes_of(f"/proc/{process.teller}/smaps_rollup", b"Pss:")
    return process.memory if told is None else told


def _bytes_of(path: str, *names: bytes) -> int | None:
    """Add up lines of a table in kilobytes; None: it has none of them, or is secret."""
    try:
        with open(path, "rb") as file:
            told = [int(line.split()[1]) for line in file if line.startswith(names)]
    except OSError:
        return None
    return sum(told) * 1024 if told else None


def is_leaving(task: str) -> bool:
    """Return whether a process or thread ends, and is nobody's to look at any more."""
    fields = _fields(task)
    return fields is None or fields[0] in _DEAD or bool(int(fields[6]) & _EXITING)
