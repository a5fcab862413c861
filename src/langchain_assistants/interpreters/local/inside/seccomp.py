"""The filter of system calls: what is not listed does not exist in the jail."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Iterable

from . import syscalls
from .kernel import prctl

_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _MASK, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000
_UPPER_HALF = 4  # of an argument, on processors whose lower half comes first
_RLIMIT_CORE = 4

_SET_SECCOMP, _FILTER = 22, 2
_NEW_NAMESPACES = 0x7E020000
_EXIT_SIGNAL = 0xFF  # of `clone`: what the parent is told by
_CLONE_THREAD, _CLONE_FILES, _CLONE_FS = 0x00010000, 0x400, 0x200
_MAP_SHARED, _MAP_ANONYMOUS, _MAP_HUGE = 0x01, 0x20, 0x40000
_TO_SWAP = (20, 21)  # MADV_COLD, MADV_PAGEOUT
_TO_HUGE_PAGES = (14, 25)  # MADV_HUGEPAGE, MADV_COLLAPSE
_CLOSE_ON_EXEC_RANGE = 4
_UNIX, _STREAM = 1, 1
# Of processors' time: others name a process by its number, or a device.
_FIRST_OWN_CLOCK, _NO_CLOCK = 0xFFFFFFF8, 0x80000000
_TRUNCATE, _WRITING, _ACCESS = os.O_TRUNC, os.O_WRONLY | os.O_RDWR, os.O_ACCMODE

# Duplicates, flags and questions; owners and signals of a descriptor are left out: they
# make the kernel send a signal to another process.
_FCNTL = (0, 1, 2, 3, 4, 5, 36, 1030, 1032)
# Locks could be put on the host's files, and each takes memory that is nobody's: code
# is told that it has them, for SQLite.
_LOCKING = (6, 7, 37, 38)
# Sizes of terminals and queues, close-on-exec, non-blocking, a file's clone.
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x40049409)
# Names of threads and of memory, and questions; above all not the death signal.
_PRCTL = (3, 15, 16, 21, 23, 39, 0x53564D41)

_ABOUT_A_PROCESS = (
    "getpgid",
    "getsid",
    "sched_getaffinity",
    "sched_getparam",
    "sched_getscheduler",
)
_WITH_A_CLOCK = ("clock_getres", "clock_gettime", "clock_nanosleep")

Instruction = tuple[int, int, int, int]


def install(*, processes: bool) -> None:
    """Filter the calls of this thread and of all that it starts, for good.

    Args:
        processes: Whether it may have children and be the owner of what it sees;
            else it cannot fork, execute, signal others or change a file's metadata.
    """
    instructions = program(os.uname().machine, processes=processes, own_pid=os.getpid())
    code = ctypes.create_string_buffer(
        b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    )
    header = struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(code))
    prctl(_SET_SECCOMP, _FILTER, ctypes.c_char_p(header))


def program(machine: str, *, processes: bool, own_pid: int) -> list[Instruction]:
    """Write the filter in classic BPF; each call's block ends with a verdict."""
    checked = syscalls.numbers(syscalls.CHECKED, machine)
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, syscalls.AUDIT_ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        _refuse(errno.ENOSYS),
    ]
    free = [syscalls.COMMON]
    if processes:
        free += [syscalls.PROCESSES, syscalls.METADATA]
    for table in free:
        for number in syscalls.numbers(table, machine).values():
            code += _block(number, [_allow()])
    for name, rule in _rules(processes=processes, own_pid=own_pid).items():
        if name in checked:
            code += _block(checked[name], rule)
    if not processes:
        # Copying a file copies its mode: that it has no effect must be no error.
        for number in syscalls.numbers(syscalls.METADATA, machine).values():
            code += _block(number, [_refuse(0)])
    for number in syscalls.numbers(syscalls.ATTRIBUTES, machine).values():
        code += _block(number, [_refuse(errno.ENOTSUP)])
    return [*code, _refuse(errno.ENOSYS)]


def _rules(*, processes: bool, own_pid: int) -> dict[str, list[Instruction]]:
    own_only = [*_one_of(0, [own_pid]), _refuse(errno.EPERM)]
    signalling = [_allow()] if processes else own_only
    # With another error glibc's threads could not ask about themselves.
    about_itself = [*_one_of(0, [0, own_pid]), _refuse(errno.ENOSYS)]
    asking = [_allow()] if processes else about_itself
    return {
        **dict.fromkeys(_ABOUT_A_PROCESS, asking),
        **dict.fromkeys(_WITH_A_CLOCK, _timing()),
        "getpriority": [
            *_unless(0, os.PRIO_PROCESS, _refuse(errno.EPERM)),
            *([] if processes else _one_of(1, [0, own_pid])),
            _allow() if processes else _refuse(errno.EPERM),
        ],
        "clone": _cloning(processes=processes),
        # Whom the host has stopped must not go on before the host says so.
        "kill": [*_no_going_on(1), *signalling],
        "tgkill": [*_no_going_on(2), *signalling],
        "tkill": [*_no_going_on(1), _allow() if processes else _refuse(errno.ENOSYS)],
        "prlimit64": [
            *_unless(0, 0, _refuse(errno.EPERM)),
            *_unless(1, _RLIMIT_CORE, _allow()),
            # Only asking: with another limit the host's program for crashes would run.
            *_argument(2),
            (_EQUAL, 0, 3, 0),
            (_LOAD, 0, 0, _ARGUMENTS + 8 * 2 + _UPPER_HALF),
            (_EQUAL, 0, 1, 0),
            _allow(),
            _refuse(errno.EPERM),
        ],
        "prctl": [*_one_of(0, _PRCTL), _refuse(errno.EPERM)],
        "fcntl": [
            *_one_of(1, _FCNTL),
            *_one_of(1, _LOCKING, _refuse(0)),
            _refuse(errno.EINVAL),
        ],
        "ioctl": [*_one_of(1, _IOCTL), _refuse(errno.ENOTTY)],
        "socket": [_refuse(errno.EACCES)],
        # A datagram socket sends to any name, even one of a connected pair.
        "socketpair": [
            *_unless(0, _UNIX, _refuse(errno.EACCES)),
            *_argument(1),
            (_MASK, 0, 0, 0xF),
            (_EQUAL, 1, 0, _STREAM),
            _refuse(errno.EACCES),
            _allow(),
        ],
        "open": _opening(1),
        "openat": _opening(2),
        # Such memory lives on as long as one page of it is mapped, and only that page
        # is counted. Pages of the host's own pool of huge ones are counted by nobody.
        "mmap": [
            *_not_all_of(3, _MAP_SHARED | _MAP_ANONYMOUS),
            *_not_all_of(3, _MAP_HUGE),
            _allow(),
        ],
        # It fills the disk sooner than anybody can look; others write instead.
        "fallocate": [_refuse(errno.EOPNOTSUPP)],
        # Memory in swap is not seen, nor the rest of a huge page: nobody asks for it.
        "madvise": [
            *_one_of(2, (*_TO_SWAP, *_TO_HUGE_PAGES), _refuse(errno.EINVAL)),
            _allow(),
        ],
        # It can give a thread descriptors of its own, as `clone` could.
        "close_range": [*_one_of(2, [0, _CLOSE_ON_EXEC_RANGE]), _refuse(errno.EINVAL)],
    }


def _no_going_on(signal_index: int) -> list[Instruction]:
    return _one_of(signal_index, [signal.SIGCONT], _refuse(errno.EPERM))


def _timing() -> list[Instruction]:
    """Allow clocks of the machine, and those of the process and thread that asks."""
    return [
        *_argument(0),
        (_AT_LEAST, 0, 1, _FIRST_OWN_CLOCK),
        _allow(),
        (_AT_LEAST, 0, 1, _NO_CLOCK),
        _refuse(errno.EINVAL),
        _allow(),
    ]


def _cloning(*, processes: bool) -> list[Instruction]:
    """Refuse namespaces, and threads with files of their own: nobody sees those.

    Nor may the end of a child send its parent another signal than SIGCHLD.
    """
    thread = _CLONE_THREAD | _CLONE_FILES | _CLONE_FS
    process = [
        *_argument(0),
        (_ANY_BIT, 0, 1, _CLONE_THREAD),
        _refuse(errno.EPERM),
        (_MASK, 0, 0, _EXIT_SIGNAL),
        (_EQUAL, 1, 0, signal.SIGCHLD),
        (_EQUAL, 0, 1, 0),
        _allow(),
        _refuse(errno.EPERM),
    ]
    return [
        *_argument(0),
        (_ANY_BIT, 0, 1, _NEW_NAMESPACES),
        _refuse(errno.EPERM),
        (_MASK, 0, 0, thread),
        (_EQUAL, 0, 1, thread),
        _allow(),
        *(process if processes else [_refuse(errno.EPERM)]),
    ]


def _opening(flags: int) -> list[Instruction]:
    """Refuse what Landlock takes for harmless.

    That is to open with the fourth mode, neither for reading nor for writing, which
    drivers and truncation know, and, in old versions, to truncate while reading.
    """
    return [
        *_not_all_of(flags, _ACCESS),
        *_argument(flags),
        (_ANY_BIT, 1, 0, _TRUNCATE),
        _allow(),
        (_ANY_BIT, 1, 0, _WRITING),
        _refuse(errno.EPERM),
        _allow(),
    ]


def _block(number: int, rule: list[Instruction]) -> list[Instruction]:
    return [(_EQUAL, 0, len(rule), number), *rule]


def _one_of(
    index: int, values: Iterable[int], verdict: Instruction = (_RETURN, 0, 0, _ALLOW)
) -> list[Instruction]:
    judged = [((_EQUAL, 0, 1, value), verdict) for value in values]
    return [*_argument(index), *(step for pair in judged for step in pair)]


def _unless(index: int, value: int, verdict: Instruction) -> list[Instruction]:
    return [*_argument(index), (_EQUAL, 1, 0, value), verdict]


def _not_all_of(index: int, bits: int) -> list[Instruction]:
    return [
        *_argument(index),
        (_MASK, 0, 0, bits),
        (_EQUAL, 0, 1, bits),
        _refuse(errno.EPERM),
    ]


def _argument(index: int) -> list[Instruction]:
    """Load an argument's lower half: the kernel reads no more of those here."""
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * index)]


def _allow() -> Instruction:
    return (_RETURN, 0, 0, _ALLOW)


def _refuse(code: int) -> Instruction:
    return (_RETURN, 0, 0, _ERROR | code)
