"""What a process takes from itself before it runs a stranger's code."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress

from . import landlock, seccomp
from .kernel import prctl, syscall
from .syscalls import is_known

_DISABLE_HUGE_PAGES = 41
_SET_DEATH_SIGNAL, _SET_DUMPABLE, _SET_KEEP_CAPABILITIES = 1, 4, 8
_DROP_FROM_BOUNDS, _SET_NO_NEW_PRIVILEGES = 24, 38
_READ_AND_SEARCH = 2
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION = 0x20080522
NICENESS = 10
_MEMORY_SCORE, _FIRST_TO_GO = "/proc/self/oom_score_adj", "1000"
GO_FIRST_WHEN_MEMORY_ENDS = f"echo {_FIRST_TO_GO} 2>/dev/null >{_MEMORY_SCORE}"
"""As a shell's command, for where /proc cannot be written later."""


class Confinement:
    """Everything that a jail takes; its attributes are JSON."""

    def __init__(
        self,
        *,
        limits: Mapping[str, int],
        read: Sequence[str] = (),
        write: Sequence[str] = (),
        landlock: int = 0,
        uid: int | None = None,
        reads_as_root: bool = False,
        parent: int | None = None,
    ) -> None:
        """Take nothing yet.

        Args:
            limits: rlimits by their names without `RLIMIT_`; lower ones that this
                machine sets stay.
            read: Paths that can be read, under Landlock.
            write: Paths that can be written, under Landlock.
            landlock: The ABI version to use; 0: the mounts decide what is reached.
            uid: The user and group to become; None: it stays what it is.
            reads_as_root: Keep the capability to pass folders that are closed to that
                user, for a Python that lies in one; Landlock then decides alone.
            parent: The process not to outlive; None: it cannot be seen.
        """
        self.limits = limits
        self.read = read
        self.write = write
        self.landlock = landlock
        self.uid = uid
        self.reads_as_root = reads_as_root
        self.parent = parent

    def enter(self, *, is_first: bool = False) -> None:
        """Take it all, for good.

        Args:
            is_first: Whether this is the first process of a namespace: as root it
                gives up its rights but stays root, and code can never look into it.

        Raises:
            OSError: Something could not be taken; run nothing then.
        """
        self._be_modest()
        # What is let go of a part of one stays until memory ends, and nobody counts it.
        prctl(_DISABLE_HUGE_PAGES, 1)
        rules = landlock.Ruleset(self.landlock) if self.landlock else None
        if rules is not None:
            rules.allow_reading(self.read)
            rules.allow_writing(self.write)
        if self.uid is not None:
            self._drop_from_bounds()
            if is_first:
                _set_capabilities(0)
            else:
                self._become(self.uid)
        self._die_with_the_parent()
        for name, limit in self.limits.items():
            _lower(getattr(resource, f"RLIMIT_{name}"), limit)
        prctl(_SET_NO_NEW_PRIVILEGES, 1)
        if rules is not None:
            rules.enforce()
        if is_first:
            prctl(_SET_DUMPABLE, 0)
        seccomp.install(processes=rules is None)

    def _become(self, uid: int) -> None:
        prctl(_SET_KEEP_CAPABILITIES, int(self.reads_as_root))
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        if self.reads_as_root:
            _set_capabilities(1 << _READ_AND_SEARCH)
        # Else the process could not look at its own entries in /proc.
        prctl(_SET_DUMPABLE, 1)

    def _drop_from_bounds(self) -> None:
        for capability in range(64):
            if not (self.reads_as_root and capability == _READ_AND_SEARCH):
                try:
                    prctl(_DROP_FROM_BOUNDS, capability)
                except OSError:  # the kernel's last capability was the one before
                    break

    def _be_modest(self) -> None:
        """Leave the processors and the memory to others."""
        os.nice(NICENESS)
        with suppress(OSError), open(_MEMORY_SCORE, "w") as score:
            score.write(_FIRST_TO_GO)

    def _die_with_the_parent(self) -> None:
        """Set the death signal, which a change of user would have cleared."""
        prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
        if self.parent is not None and os.getppid() != self.parent:
            os._exit(1)


def _set_capabilities(word: int) -> None:
    machine = os.uname().machine
    if not is_known(machine):
        raise OSError(f"There is no table of system calls for {machine}.")
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    words = struct.pack("6I", word, word, 0, 0, 0, 0)
    syscall(_CAPSET[machine], ctypes.c_char_p(header), ctypes.c_char_p(words))


def _lower(kind: int, limit: int) -> None:
    """Set a limit for good, no higher than what this process may have."""
    highest = resource.getrlimit(kind)[1]
    if highest != resource.RLIM_INFINITY:
        limit = min(limit, highest)
    resource.setrlimit(kind, (limit, limit))
