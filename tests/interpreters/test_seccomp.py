"""The filter of system calls, as its program says: also for other processors."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import time

import pytest

from langchain_assistants.interpreters.local.inside import seccomp, syscalls

ALLOWED, KILLED = "allowed", "killed"
TABLES = [
    syscalls.COMMON,
    syscalls.CHECKED,
    syscalls.PROCESSES,
    syscalls.METADATA,
    syscalls.ATTRIBUTES,
]
OWN_PID = 77
NEW_USER_NAMESPACE, ONLY_THREAD = 0x10000000, 0x00010000
CLONE_FILES, CLONE_FS = 0x400, 0x200
THREAD = ONLY_THREAD | CLONE_FILES | CLONE_FS
MAP_SHARED, MAP_SHARED_VALIDATE, MAP_PRIVATE, MAP_ANONYMOUS = 1, 3, 2, 0x20
MAP_HUGE = 0x40000
KEEP_SIZE, UNSHARE, CLOSE_ON_EXEC = 1, 2, 4
# ptrace, mount, bpf, keyctl, unshare, io_uring_setup, userfaultfd, memfd_create,
# process_vm_writev, connect, sendmsg, sendfile, epoll_create1, epoll_ctl, and a call
# that nobody has.
FOREIGN = {
    "x86_64": [101, 165, 321, 250, 272, 425, 323, 319, 311, 42, 46, 40, 291, 233, 1023],
    "aarch64": [117, 40, 280, 219, 97, 425, 282, 279, 271, 203, 211, 71, 20, 21, 1023],
}


class Filter:
    """Runs the program of a processor as the kernel would."""

    def __init__(self, machine: str, *, processes: bool) -> None:
        self.machine = machine
        self.code = seccomp.program(machine, processes=processes, own_pid=OWN_PID)
        self.names = {
            name: number
            for table in TABLES
            for name, number in syscalls.numbers(table, machine).items()
        }

    def verdict(
        self, call: str | int, *arguments: int, architecture: int | None = None
    ) -> str | int:
        """Return what becomes of a call: allowed, killed, or the error's number."""
        number = self.names[call] if isinstance(call, str) else call
        if architecture is None:
            architecture = syscalls.AUDIT_ARCHITECTURES[self.machine]
        data = {0: number, 4: architecture}
        data |= {16 + 8 * n: value for n, value in enumerate(arguments)}
        data |= {20 + 8 * n: value >> 32 for n, value in enumerate(arguments)}
        position = accumulator = 0
        while True:
            operation, if_true, if_false, operand = self.code[position]
            position += 1
            match operation:
                case 0x20:
                    accumulator = data.get(operand, 0) & 0xFFFFFFFF
                case 0x54:
                    accumulator &= operand
                case 0x15:
                    position += if_true if accumulator == operand else if_false
                case 0x35:
                    position += if_true if accumulator >= operand else if_false
                case 0x45:
                    position += if_true if accumulator & operand else if_false
                case 0x06 if operand == 0x7FFF0000:
                    return ALLOWED
                case 0x06 if operand == 0x80000000:
                    return KILLED
                case 0x06:
                    assert operand & 0xFFFF0000 == 0x00050000
                    return operand & 0xFFFF
                case _:
                    raise AssertionError(operation)


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("processes", [True, False])
def test_what_is_not_listed_does_not_exist(machine: str, processes: bool) -> None:
    filter = Filter(machine, processes=processes)
    for number in FOREIGN[machine]:
        assert filter.verdict(number) == errno.ENOSYS
    assert filter.verdict("read") == ALLOWED
    assert filter.verdict("socket", socket.AF_UNIX) == errno.EACCES
    assert filter.verdict("read", architecture=0x40000003) == KILLED
    assert filter.verdict(0x40000000) == errno.ENOSYS
    assert len(filter.code) < 4096
    assert all(max(step[1:3]) < 256 for step in filter.code)


def test_a_thread_is_started_and_a_namespace_is_not(machine: str) -> None:
    with_children = Filter(machine, processes=True)
    alone = Filter(machine, processes=False)
    for filter in (with_children, alone):
        assert filter.verdict("clone", THREAD) == ALLOWED
        assert filter.verdict("clone", NEW_USER_NAMESPACE) == errno.EPERM
        assert filter.verdict("clone", THREAD | NEW_USER_NAMESPACE) == errno.EPERM
    for exit_signal, told in ((17, ALLOWED), (0, ALLOWED), (18, errno.EPERM)):
        assert with_children.verdict("clone", exit_signal) == told
    assert alone.verdict("clone", 17) == errno.EPERM
    assert alone.verdict("execve") == errno.ENOSYS


def test_a_thread_has_no_files_of_its_own(machine: str) -> None:
    for filter in (
        Filter(machine, processes=True),
        Filter(machine, processes=False),
    ):
        for shared in (0, CLONE_FS, CLONE_FILES):
            assert filter.verdict("clone", ONLY_THREAD | shared) == errno.EPERM
        assert filter.verdict("close_range", 3, 99, 0) == ALLOWED
        assert filter.verdict("close_range", 3, 99, CLOSE_ON_EXEC) == ALLOWED
        assert filter.verdict("close_range", 3, 99, UNSHARE) == errno.EINVAL


def test_memory_and_disk_belong_to_somebody(machine: str) -> None:
    filter = Filter(machine, processes=True)
    for flags in (MAP_PRIVATE | MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED):
        assert filter.verdict("mmap", 0, 4096, 3, flags) == ALLOWED
    for flags in (MAP_SHARED, MAP_SHARED_VALIDATE):
        flags |= MAP_ANONYMOUS
        assert filter.verdict("mmap", 0, 4096, 3, flags) == errno.EPERM
    for flags in (MAP_SHARED, MAP_PRIVATE | MAP_ANONYMOUS):
        assert filter.verdict("mmap", 0, 4096, 3, flags | MAP_HUGE) == errno.EPERM
    for mode in (0, KEEP_SIZE):
        assert filter.verdict("fallocate", 3, mode) == errno.EOPNOTSUPP
    assert filter.verdict("madvise", 0, 4096, 4) == ALLOWED
    for advice in (14, 20, 21, 25):  # MADV_HUGEPAGE, _COLD, _PAGEOUT, _COLLAPSE
        assert filter.verdict("madvise", 0, 4096, advice) == errno.EINVAL
    assert "setsockopt" not in filter.names


def test_without_children_only_itself_is_signalled(machine: str) -> None:
    alone = Filter(machine, processes=False)
    for call in ("kill", "tgkill"):
        assert alone.verdict(call, OWN_PID) == ALLOWED
        for pid in (0, 1, -1, OWN_PID + 1):
            assert alone.verdict(call, pid) == errno.EPERM
    assert Filter(machine, processes=True).verdict("kill", 1) == ALLOWED


def test_nobody_goes_on_whom_the_host_has_stopped(machine: str) -> None:
    bubble, alone = (Filter(machine, processes=flag) for flag in (True, False))
    for number, told in ((signal.SIGCONT, errno.EPERM), (signal.SIGTERM, ALLOWED)):
        for filter in (bubble, alone):
            assert filter.verdict("kill", OWN_PID, number) == told
            assert filter.verdict("tgkill", OWN_PID, OWN_PID + 1, number) == told
        assert bubble.verdict("tkill", OWN_PID, number) == told
    assert "timer_create" not in bubble.names


def test_nothing_is_told_of_other_processes(machine: str) -> None:
    alone, bubble = (Filter(machine, processes=flag) for flag in (False, True))
    for call in ("getpgid", "getsid", "sched_getscheduler", "sched_getaffinity"):
        assert alone.verdict(call, 0) == alone.verdict(call, OWN_PID) == ALLOWED
        assert alone.verdict(call, OWN_PID + 1) == errno.ENOSYS
        assert bubble.verdict(call, OWN_PID + 1) == ALLOWED
    for pid, told in ((0, ALLOWED), (OWN_PID, ALLOWED), (OWN_PID + 1, errno.EPERM)):
        assert alone.verdict("getpriority", os.PRIO_PROCESS, pid) == told
        for group in (os.PRIO_PGRP, os.PRIO_USER):
            assert alone.verdict("getpriority", group, pid) == errno.EPERM
    for filter in (alone, bubble):
        for call in ("clock_gettime", "clock_nanosleep", "clock_getres"):
            for clock in (time.CLOCK_REALTIME, time.CLOCK_THREAD_CPUTIME_ID, 11):
                assert filter.verdict(call, clock) == ALLOWED
            for pid, told in ((0, ALLOWED), (1, errno.EINVAL), (OWN_PID, errno.EINVAL)):
                for kind in range(8):  # whole process or thread, or a device
                    clock = (~pid << 3 | kind) & 0xFFFFFFFF
                    assert filter.verdict(call, clock) == told


def test_metadata_stays_where_landlock_watches(machine: str) -> None:
    alone = Filter(machine, processes=False)
    for call in syscalls.numbers(syscalls.METADATA, machine):
        assert alone.verdict(call) == 0
    for call in syscalls.numbers(syscalls.ATTRIBUTES, machine):
        assert alone.verdict(call) == errno.ENOTSUP
    assert Filter(machine, processes=True).verdict("fchmodat") == ALLOWED


def test_what_is_opened_for_reading_is_not_truncated(machine: str) -> None:
    filter = Filter(machine, processes=False)
    assert filter.verdict("openat", -100, 0, os.O_RDONLY) == ALLOWED
    assert filter.verdict("openat", -100, 0, os.O_WRONLY | os.O_TRUNC) == ALLOWED
    assert filter.verdict("openat", -100, 0, os.O_RDONLY | os.O_TRUNC) == errno.EPERM
    for more in (0, os.O_TRUNC, os.O_CREAT):
        assert filter.verdict("openat", -100, 0, os.O_ACCMODE | more) == errno.EPERM


def test_a_pair_of_sockets_is_of_streams(machine: str) -> None:
    filter = Filter(machine, processes=True)
    cloexec = socket.SOCK_CLOEXEC
    stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
    unix, internet = socket.AF_UNIX, socket.AF_INET
    assert filter.verdict("socketpair", unix, stream | cloexec) == ALLOWED
    assert filter.verdict("socketpair", unix, datagram | cloexec) == errno.EACCES
    assert filter.verdict("socketpair", internet, stream) == errno.EACCES


def test_limits_and_options_are_those_of_the_process_itself(machine: str) -> None:
    filter = Filter(machine, processes=True)
    assert filter.verdict("prlimit64", 0) == ALLOWED
    assert filter.verdict("prlimit64", 1) == errno.EPERM
    core, files, somewhere, far = 4, 7, 0x1000, 1 << 32
    assert filter.verdict("prlimit64", 0, files, somewhere) == ALLOWED
    assert filter.verdict("prlimit64", 0, core, 0, somewhere) == ALLOWED
    for new in (somewhere, far):
        assert filter.verdict("prlimit64", 0, core, new) == errno.EPERM
    assert filter.verdict("prctl", 15) == ALLOWED
    assert filter.verdict("prctl", 1) == errno.EPERM
    assert filter.verdict("fcntl", 3, fcntl.F_SETOWN) == errno.EINVAL
    assert filter.verdict("ioctl", 0, 0x5412) == errno.ENOTTY


def test_no_file_is_locked_in_truth(machine: str) -> None:
    filter = Filter(machine, processes=True)
    of_the_description = (37, 38)
    for locking in (fcntl.F_SETLK, fcntl.F_SETLKW, *of_the_description):
        assert filter.verdict("fcntl", 3, locking) == 0
    assert filter.verdict("fcntl", 3, fcntl.F_GETLK) == ALLOWED
    assert "flock" not in filter.names


def test_no_number_stands_for_two_calls(machine: str) -> None:
    filter = Filter(machine, processes=True)
    assert len(set(filter.names.values())) == len(filter.names)
