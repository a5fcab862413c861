"""The processes of this machine, by /proc: who belongs to whom, and what they use."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """One process.

    Attributes:
        memory: Resident bytes, shared ones included.
    """

    pid: int
    parent: int
    tasks: int
    memory: int


class Processes:
    """A look at all processes, at one moment; without /proc none is seen."""

    def __init__(self) -> None:
        """Look."""
        self._children: dict[int, list[Process]] = defaultdict(list)
        self._known: dict[int, Process] = {}
        for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
            if name.isdigit() and (process := _process(int(name))):
                self._children[process.parent].append(process)
                self._known[process.pid] = process

    def tree(self, pid: int) -> list[Process]:
        """Return a process and all that descend from it."""
        found = [self._known[pid]] if pid in self._known else []
        for process in found:
            found.extend(self._children[process.pid])
        return found


def memory(processes: Iterable[Process]) -> int:
    """Return the bytes that processes take together, shared ones counted once."""
    return sum(_share(process) for process in processes)


def nameless_files(processes: Iterable[Process]) -> int:
    """Return the bytes of files that are open but have no name any more."""
    sizes: dict[tuple[int, int], int] = {}
    for process in processes:
        folder = f"/proc/{process.pid}/fd"
        try:
            for name in os.listdir(folder):
                file = os.stat(f"{folder}/{name}")
                if stat.S_ISREG(file.st_mode) and not file.st_nlink:
                    sizes[file.st_dev, file.st_ino] = file.st_blocks * 512
        except OSError:  # it ended, or closed the file, in the meantime
            continue
    return sum(sizes.values())


def _process(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if fields[0] in (b"Z", b"X"):  # dead, and its parent has not heard of it yet
        return None
    return Process(pid, int(fields[1]), int(fields[17]), int(fields[21]) * _PAGE)


def _share(process: Process) -> int:
    """Return the proportional part of a process, or all of it when that is secret."""
    try:
        with open(f"/proc/{process.pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return process.memory
