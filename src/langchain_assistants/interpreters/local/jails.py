"""The jails: how the worker's process is started in each, and what each one needs."""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import shutil
import sys
from pathlib import Path
from typing import Literal, Protocol

from langchain_assistants.interpreters.local import runtime
from langchain_assistants.interpreters.local.folder import (
    HOME,
    SHARED_MEMORY,
    TEMPORARY,
    SessionFolder,
)
from langchain_assistants.interpreters.local.inside import landlock, syscalls
from langchain_assistants.interpreters.local.inside.confinement import Confinement
from langchain_assistants.interpreters.local.limits import Limits

JailName = Literal["bubblewrap", "landlock", "none"]

# Not /dev/zero, whose shared memory belongs to nobody, and no terminals.
_DEVICES = ("/dev/urandom", "/dev/random", "/dev/full")
# Names of the host's keys, its addresses and timers, how its kernel was started.
_HIDDEN = (
    *("cmdline", "kallsyms", "kcore", "key-users", "keys", "sched_debug"),
    "timer_list",
)
_DESCRIPTORS = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}
_WAITING_SIGNALS = 1_000
# Fewer than a machine has numbers for; a desktop has some thousands.
_MOST_TASKS_OF_A_USER = 10_000
_MACHINE = ("/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu")


class Jail(Protocol):
    """A way to start the worker's process so that it reaches nothing else."""

    name: JailName

    def missing(self) -> str | None:
        """Say what this machine lacks for it, if it is known without trying."""
        ...

    def command(
        self, folder: SessionFolder, limits: Limits, *, requests: int, events: int
    ) -> list[str]:
        """Return the command that starts the worker on two inherited descriptors."""
        ...

    def environment(self, folder: SessionFolder) -> dict[str, str]:
        """Return the whole environment of the worker."""
        ...


class Bubblewrap:
    """Namespaces of its own: mounts, processes, network and users.

    What is not mounted does not exist; https://github.com/containers/bubblewrap.
    """

    name: JailName = "bubblewrap"

    def missing(self) -> str | None:
        """Say what this machine lacks for it, if it is known without trying."""
        if problem := _unfit():
            return problem
        if shutil.which("bwrap") is None:
            return "bubblewrap is not installed (apt, dnf or pacman install bubblewrap)"
        return None

    def command(
        self, folder: SessionFolder, limits: Limits, *, requests: int, events: int
    ) -> list[str]:
        """Return the command that starts the worker on two inherited descriptors."""
        bwrap = shutil.which("bwrap") or "bwrap"
        # Root needs no user namespace, and its worker becomes another user instead.
        namespaces = (
            [f"--unshare-{kind}" for kind in ("pid", "net", "ipc", "uts", "cgroup-try")]
            if _is_root()
            else ["--unshare-all"]
        )
        mounts = ["--proc", "/proc", *_folders_above("/dev/null")]
        for path in (*_DEVICES, "/dev/null"):
            mounts += ["--dev-bind", path, path]
        for name, target in _DESCRIPTORS.items():
            mounts += ["--symlink", f"/proc/self/fd{target}", f"/dev/{name}"]
        for path in (f"/proc/{name}" for name in _HIDDEN):
            if os.path.exists(path):
                mounts += ["--ro-bind", "/dev/null", path]
        mounts += ["--bind", str(folder.shared_memory), SHARED_MEMORY]
        mounts += ["--bind", str(folder.temporary), TEMPORARY]
        for path in runtime.readable():
            mounts += [*_folders_above(path), "--ro-bind", path, path]
        for name in ("bin", "lib", "lib32", "lib64"):
            mounts += _as_on_the_host(f"/{name}")
        mounts += [*_folders_above(HOME), "--bind", str(folder.data), HOME]
        confinement = Confinement(
            limits=_rlimits(limits, own_tasks=_is_root() or _counts_in_namespaces()),
            uid=folder.uid,
        )
        return [
            bwrap,
            *namespaces,
            *["--die-with-parent", "--as-pid-1"],
            *["--hostname", "sandbox"],
            *mounts,
            *["--remount-ro", "/proc", "--remount-ro", "/", "--chdir", HOME, "--"],
            *_worker(confinement, requests, events, alias=None),
        ]

    def environment(self, folder: SessionFolder) -> dict[str, str]:
        """Return the whole environment of the worker."""
        return runtime.environment(HOME, TEMPORARY)


class Landlock:
    """Rules of the kernel that the worker gives to itself, and a strict seccomp.

    It needs no namespaces, so it works in an ordinary container. Code has no children
    there, /mnt/data is another name of a folder, and names of files outside can be
    asked for, but not their content.
    """

    name: JailName = "landlock"

    def __init__(self, abi: int | None = None) -> None:
        """Use a version of the kernel's interface; None: the newest that it has."""
        self._abi = landlock.abi() if abi is None else abi

    def missing(self) -> str | None:
        """Say what this machine lacks for it, if it is known without trying."""
        if problem := _unfit():
            return problem
        if not self._abi:
            return "the kernel has no Landlock, or it is off (Linux 5.13, lsm=landlock)"
        return None

    def command(
        self, folder: SessionFolder, limits: Limits, *, requests: int, events: int
    ) -> list[str]:
        """Return the command that starts the worker on two inherited descriptors."""
        places = [*runtime.readable(), str(folder.path)]
        confinement = Confinement(
            limits=_rlimits(limits, own_tasks=_is_root()),
            read=[*runtime.readable(), *_DEVICES, *_MACHINE],
            write=[str(folder.data), str(folder.temporary), "/dev/null"],
            landlock=min(self._abi, 6),
            uid=folder.uid,
            reads_as_root=not all(map(runtime.is_open_to_all, places)),
            parent=os.getpid(),
        )
        return _worker(confinement, requests, events, alias=HOME)

    def environment(self, folder: SessionFolder) -> dict[str, str]:
        """Return the whole environment of the worker."""
        return runtime.environment(str(folder.data), str(folder.temporary))


def _worker(
    confinement: Confinement, requests: int, events: int, *, alias: str | None
) -> list[str]:
    serving = {
        "requests": requests,
        "events": events,
        "paths": runtime.packages(),
        "alias": alias,
    }
    return [*runtime.program(), json.dumps(vars(confinement)), json.dumps(serving)]


def _rlimits(limits: Limits, *, own_tasks: bool) -> dict[str, int]:
    """Return the limits that the kernel holds; the warden holds the others.

    Args:
        limits: What a session may use.
        own_tasks: Whether the kernel counts the tasks of the session, and not all
            that its user has on this machine.
    """
    return {
        "AS": limits.memory_bytes,
        "FSIZE": limits.file_bytes,
        "NOFILE": limits.open_files,
        # With 0 a program that the host has for crashes would be started all the same.
        "CORE": 1,
        # Memory of the kernel, of which a user has only so much.
        "SIGPENDING": _WAITING_SIGNALS,
        "NPROC": limits.tasks if own_tasks else _tasks_of_a_user(),
    }


def _tasks_of_a_user() -> int:
    """Return how many tasks a user may have whom sessions share with this process.

    Sessions leave him a quarter of what he may have: this process starts threads too.
    """
    most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if most == resource.RLIM_INFINITY:
        return _MOST_TASKS_OF_A_USER
    return min(_MOST_TASKS_OF_A_USER, most * 3 // 4)


def _counts_in_namespaces() -> bool:
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    return release is not None and tuple(map(int, release.groups())) >= (5, 14)


def _folders_above(path: str) -> list[str]:
    """Make the folders of a mount point, which bubblewrap would close to others."""
    above = [str(folder) for folder in Path(path).parents[:-1]]
    return [
        part for folder in above[::-1] for part in ("--perms", "0755", "--dir", folder)
    ]


def _as_on_the_host(path: str) -> list[str]:
    """Mount a folder of the system that may be a link to one below /usr."""
    if os.path.islink(path):
        return ["--symlink", os.readlink(path), path]
    return ["--ro-bind-try", path, path]


def _is_root() -> bool:
    return os.geteuid() == 0


def _unfit() -> str | None:
    if sys.platform != "linux":
        return "it needs Linux"
    if not syscalls.is_known(platform.machine()):
        return f"there is no table of system calls for {platform.machine()}"
    return None
